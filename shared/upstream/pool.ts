import { ConfigError, UnavailableError } from '../errors.ts'
import { ConnectFailed, type Connection } from './connection.ts'
import { createExchange, type Exchange } from './exchange.ts'
import { headerDeclarations, paramHeaders } from './param-headers.ts'
import { createServerPool, type ServerPool, type ServerPoolDeps } from './server-pool.ts'
import {
  type DispatchRequest,
  defaults,
  type Log,
  type UpstreamServer,
  type Upstreams,
  type UpstreamTool,
} from './types.ts'
import { watchTools } from './watch.ts'

export type UpstreamsDeps = {
  readonly servers: readonly UpstreamServer[]
  readonly log: Log
  /** Monotonic milliseconds; deadlines are compared with it. Default `performance.now`. */
  readonly now?: (() => number) | undefined
  /** Where `${env:NAME}` looks. Default the process's own environment. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined
  /** A session that nobody used for so long is closed. Default five minutes. */
  readonly idleMs?: number | undefined
  /** How long the child of a `command` server may live from now on. Default: as long as this process. */
  readonly lifeOf?: ((server: string) => number | undefined) | undefined
}

type Upstream = {
  readonly server: UpstreamServer
  readonly pool: ServerPool
  readonly callbacks: Set<() => void>
  watching: AbortController | undefined
  /** Which arguments travel as headers too, by tool; unknown until the first listing. */
  declarations: Promise<ReadonlyMap<string, ReturnType<typeof headerDeclarations>>> | undefined
}

const longestSweepMs = 30_000
/** Header mismatch (MCP 2026-07-28): the tool list that the headers were made from is out of date. */
const headerMismatch = -32020

/**
 * Clients to all configured servers. Nothing connects before the first use.
 * @throws ConfigError when a server has neither or both of `url` and `command`
 */
export function createUpstreams(deps: UpstreamsDeps): Upstreams {
  const { servers, log, now = () => performance.now(), env = process.env, idleMs = 5 * 60_000 } = deps
  const { lifeOf = () => undefined } = deps
  const upstreams = new Map(
    servers.map(server => [server.id, createUpstream({ log, now, env, idleMs, lifeOf }, server)]),
  )
  const sweep = () => upstreams.forEach(({ pool }) => pool.sweep())
  const sweeper = setInterval(sweep, Math.min(longestSweepMs, idleMs)).unref()
  let closed = false

  const find = (id: string): Upstream => {
    const upstream = upstreams.get(id)
    if (upstream === undefined || closed)
      throw new UnavailableError(`upstream:${id}`, closed ? 'stopping' : `no server ${id}`)
    return upstream
  }

  return {
    dispatch: async request => {
      const upstream = upstreams.get(request.server)
      const exchange = createExchange({ now }, exchangeInput(request, upstream?.server))
      if (upstream === undefined) {
        exchange.fail({ notSent: 'connect', lost: 'sdk', message: `no server ${request.server}` })
      } else if (closed) {
        exchange.fail({ notSent: 'stopping', lost: 'closed', message: 'stopping' })
      } else {
        send(upstream, exchange, request).catch(error => exchange.fail(causesOf(error)))
      }
      const seen = await exchange.seen
      if (upstream !== undefined && seen.kind === 'error' && seen.rpcCode === headerMismatch)
        upstream.declarations = undefined
      return seen
    },
    tools: id => listTools(find(id)),
    serverInfo: async id => {
      const upstream = find(id)
      return (await upstream.pool.own().catch(unavailable(id))).info
    },
    onToolsChanged: (id, callback) => {
      const upstream = find(id)
      upstream.callbacks.add(callback)
      watch(upstream, { log, now })
      return () => {
        upstream.callbacks.delete(callback)
        if (upstream.callbacks.size > 0) return
        upstream.watching?.abort()
        upstream.watching = undefined
      }
    },
    prolong: (id, lifeMs) => upstreams.get(id)?.pool.prolong(lifeMs),
    end: async id => upstreams.get(id)?.pool.end(),
    close: async () => {
      closed = true
      clearInterval(sweeper)
      for (const upstream of upstreams.values()) upstream.watching?.abort()
      await Promise.all([...upstreams.values()].map(({ pool }) => pool.close()))
    },
  }
}

type UpstreamDeps = Omit<ServerPoolDeps, 'onToolsChanged' | 'isWatched'>

function createUpstream(deps: UpstreamDeps, server: UpstreamServer): Upstream {
  if ((server.url === undefined) === (server.command === undefined)) {
    throw new ConfigError([`server ${server.id}: give either url or command`])
  }
  const callbacks = new Set<() => void>()
  const onToolsChanged = () => {
    upstream.declarations = undefined
    for (const callback of callbacks) callback()
  }
  const pool = createServerPool({ ...deps, onToolsChanged, isWatched: () => callbacks.size > 0 }, server)
  const upstream: Upstream = { server, pool, callbacks, watching: undefined, declarations: undefined }
  return upstream
}

const exchangeInput = (request: DispatchRequest, server: UpstreamServer | undefined) => ({
  deadline: request.deadline,
  timeoutMs: request.timeoutMs,
  maxBytes: server?.maxResultBytes ?? defaults.maxResultBytes,
  onSent: request.onSent,
  onProgress: request.onProgress,
})

async function send(upstream: Upstream, exchange: Exchange, request: DispatchRequest): Promise<void> {
  const connection = await upstream.pool.connectionFor(request.caller)
  const headers = {
    ...request.headers,
    ...(await headersFor(upstream, connection, request)),
    ...traceHeaders(upstream, request),
  }
  if (!exchange.isSettled()) await connection.dispatch(exchange, request, headers)
}

/** What stands between here and the server may know of traces too, and read headers only. */
function traceHeaders({ server }: Upstream, { meta }: DispatchRequest): Record<string, string> {
  if (server.url === undefined || !isHeader(meta?.traceparent)) return {}
  return { traceparent: meta.traceparent, ...(isHeader(meta.tracestate) && { tracestate: meta.tracestate }) }
}

const isHeader = (value: unknown): value is string => typeof value === 'string' && /^[\x20-\x7e]{1,512}$/.test(value)

async function headersFor(
  upstream: Upstream,
  connection: Connection,
  request: DispatchRequest,
): Promise<Record<string, string>> {
  if (connection.info.era === 'legacy' || upstream.server.url === undefined) return {}
  upstream.declarations ??= connection.tools().then(declarationsOf, () => {
    upstream.declarations = undefined
    return new Map()
  })
  const declarations = (await upstream.declarations).get(request.tool)
  return declarations === undefined ? {} : paramHeaders(declarations, JSON.parse(request.argumentsJson))
}

function declarationsOf(tools: readonly UpstreamTool[]) {
  const declared = tools.map(tool => [tool.name, headerDeclarations(tool.inputSchema)] as const)
  return new Map(declared.filter(([, declarations]) => declarations.length > 0))
}

/** Once more on a new connection when the session had ended: a listing changes nothing. */
async function listTools(upstream: Upstream): Promise<UpstreamTool[]> {
  const { id } = upstream.server
  const connection = await upstream.pool.own().catch(unavailable(id))
  const tools = await connection.tools().catch(async error => {
    if (!connection.isSpent()) return unavailable(id)(error)
    const next = await upstream.pool.own().catch(unavailable(id))
    return next.tools().catch(unavailable(id))
  })
  upstream.declarations = Promise.resolve(declarationsOf(tools))
  return tools
}

function watch(upstream: Upstream, { log, now }: { log: Log; now: () => number }): void {
  if (upstream.watching !== undefined) return
  upstream.watching = new AbortController()
  const onGap = () => upstream.callbacks.forEach(callback => callback())
  void watchTools({ log, now, own: upstream.pool.own }, onGap, upstream.watching.signal)
}

const unavailable =
  (id: string) =>
  (cause: unknown): never => {
    if (cause instanceof UnavailableError) throw cause
    throw new UnavailableError(`upstream:${id}`, (cause as Error).message, { cause })
  }

function causesOf(error: unknown) {
  const { message } = error as Error
  return { notSent: error instanceof ConnectFailed ? error.why : ('connect' as const), lost: 'sdk' as const, message }
}
