import { Agent } from 'undici'
import { ConnectFailed, type ConnectInput, type Connection, connect, type Prior } from './connection.ts'
import { resolveEnvironment } from './environment.ts'
import { createHttpTransport, type HttpTransport } from './http-transport.ts'
import { createStdioTransport, type StdioTransport } from './stdio-transport.ts'
import { type Caller, defaults, type Log, type UpstreamServer } from './types.ts'
import type { Exchanges, Wire } from './wire.ts'

/**
 * The open connections to one server, by whoever shares a session. Owns them, the sockets beneath and the child process.
 * A connection that can serve no further request is dropped at its next use; what is still under way on it may finish.
 */
export type ServerPool = {
  /** The connection for a caller, opened when there is none. @throws ConnectFailed */
  connectionFor(caller: Caller): Promise<Connection>
  /** The connection for Holdfast's own questions (lists, changes). @throws ConnectFailed */
  readonly own: () => Promise<Connection>
  /** Closes what nobody used for a while. Called now and then. */
  sweep(): void
  /** The child, if there is one, lives so long from now on. */
  prolong(lifeMs: number): void
  /** Closes all there is; the next use opens anew. Resolves when the child is gone. */
  end(): Promise<void>
  close(): Promise<void>
}

export type ServerPoolDeps = {
  readonly log: Log
  readonly now: () => number
  readonly env: Readonly<Record<string, string | undefined>>
  /** A session that nobody used for so long is closed. */
  readonly idleMs: number
  readonly onToolsChanged: () => void
  /** True while somebody waits for changes: then Holdfast's own connection is never idle. */
  readonly isWatched: () => boolean
  /** How long a child of this server may live from now on; zero: none may be started; undefined: as long as this process. */
  readonly lifeOf: (server: string) => number | undefined
}

type Slot = { readonly opening: Promise<Connection>; ready: Connection | undefined; lastUsed: number }

const maxSessions = 512
const sharedKey = 'shared'
const ownKey = 'own'
/** A child that lived this long was well: its end is not held against the next. */
const healthyMs = 10_000
const longestPauseMs = 30_000

export function createServerPool(deps: ServerPoolDeps, server: UpstreamServer): ServerPool {
  const { log, now, env } = deps
  const timeoutMs = server.connectTimeoutMs ?? defaults.connectTimeoutMs
  const maxBytes = server.maxResultBytes ?? defaults.maxResultBytes
  const slots = new Map<string, Slot>()
  /** Transports whose handshake is under way: at the end nobody waits for it. */
  const opening = new Set<Wire>()
  const retired = new Set<Connection>()
  const agent =
    server.url === undefined
      ? undefined
      : new Agent({
          connections: server.maxConnections ?? defaults.maxConnections,
          pipelining: 1,
          connect: { timeout: timeoutMs },
          headersTimeout: 0,
          bodyTimeout: 0,
        })
  let prior: Prior
  const isAlwaysShared = server.command !== undefined || server.sessions === 'shared'
  let isShared = isAlwaysShared
  let opened = 0
  let failures = 0
  let notBefore = 0
  let closed = false

  const keyOf = (caller: Caller) => {
    if (isShared) return sharedKey
    if (server.sessions === 'conversation' && caller.conversation !== undefined)
      return `conversation:${caller.conversation}`
    return `agent:${caller.agent}`
  }

  const resolvedHeaders = () => {
    const headers = Object.entries(resolveEnvironment(server.headers ?? {}, env, server.id))
    return Object.fromEntries(headers.map(([name, value]) => [name.toLowerCase(), value]))
  }
  const openHttp = (exchanges: Exchanges): Wire =>
    createHttpTransport(
      { agent: agent as Agent, exchanges, log },
      {
        url: new URL(server.url as string),
        headers: resolvedHeaders(),
        maxBytes,
      },
    )
  const children = new Set<StdioTransport>()
  const openChild = (exchanges: Exchanges): Wire => {
    const lifeMs = deps.lifeOf(server.id)
    if (lifeMs !== undefined && lifeMs <= 0)
      throw new ConnectFailed('stopping', `${server.id} is run by another process`)
    const child = createStdioTransport(
      { exchanges, log, env },
      {
        server: server.id,
        command: server.command as readonly string[],
        env: resolveEnvironment(server.env ?? {}, env, server.id),
        cwd: server.cwd,
        maxBytes,
        lifeMs,
      },
    )
    for (const other of children) if (other.isSpent()) children.delete(other)
    children.add(child)
    return child
  }

  const openConnection = async (): Promise<Connection> => {
    if (closed) throw new ConnectFailed('stopping', 'stopping')
    const input = { server: server.id, timeoutMs, prior }
    try {
      const connection = await (server.command === undefined
        ? handshake({ ...input, open: openHttp })
        : openWithFallback(input))
      if (connection.info.era === 'legacy') prior = { kind: 'legacy' }
      connection.wire.onToolsChanged = deps.onToolsChanged
      // A child that was started again may be another version.
      if (opened > 0 && server.command !== undefined) deps.onToolsChanged()
      opened += 1
      log.info({ server: server.id, ...connection.info, instructions: undefined }, 'connected to upstream')
      return connection
    } catch (error) {
      prior = undefined
      if (closed) throw new ConnectFailed('stopping', 'stopping', { cause: error })
      if (error instanceof ConnectFailed) throw error
      throw new ConnectFailed('connect', (error as Error).message, { cause: error })
    }
  }
  const handshake = async (input: ConnectInput): Promise<Connection> => {
    let wire: Wire | undefined
    const open = (exchanges: Exchanges) => {
      wire = input.open(exchanges)
      opening.add(wire)
      return wire
    }
    try {
      return await connect({ log }, { ...input, open })
    } finally {
      if (wire !== undefined) opening.delete(wire)
    }
  }

  /** Some stdio servers of the legacy era end at any request before `initialize`: start such a one again, the old way. */
  const openWithFallback = async (input: { server: string; timeoutMs: number; prior: Prior }): Promise<Connection> => {
    pauseBetweenStarts()
    let child: StdioTransport | undefined
    const open = (exchanges: Exchanges) => {
      child = openChild(exchanges) as StdioTransport
      return child
    }
    const startedAt = now()
    try {
      return await handshake({ ...input, open })
    } catch (error) {
      if (input.prior === undefined && child?.diedAfterStart() === true && !closed) {
        return await handshake({ ...input, prior: { kind: 'legacy' }, open }).catch(again => {
          throw notedFailure(startedAt, again)
        })
      }
      throw notedFailure(startedAt, error)
    }
  }
  const pauseBetweenStarts = () => {
    const waitMs = Math.ceil(notBefore - now())
    if (waitMs > 0)
      throw new ConnectFailed('spawn', `${server.id} ended ${failures} times in a row; next start in ${waitMs} ms`)
  }
  const notedFailure = (startedAt: number, error: unknown) => {
    noteEnd(startedAt)
    return error
  }
  const noteEnd = (startedAt: number) => {
    failures = now() - startedAt < healthyMs ? failures + 1 : 0
    // The first restart is at once, then half a second, doubling.
    notBefore = failures < 2 ? 0 : now() + Math.min(longestPauseMs, 250 * 2 ** (failures - 1))
  }

  const use = (key: string): Promise<Connection> => {
    const existing = slots.get(key)
    if (existing !== undefined && existing.ready?.isSpent() !== true) {
      existing.lastUsed = now()
      return existing.opening
    }
    if (existing !== undefined) drop(key, existing)
    if (slots.size >= maxSessions && !closeLeastUsed()) {
      return Promise.reject(new ConnectFailed('connect', `${server.id}: ${maxSessions} sessions are busy`))
    }
    return openSlot(key)
  }
  const openSlot = (key: string) => {
    const slot: Slot = { opening: openConnection(), ready: undefined, lastUsed: now() }
    slots.set(key, slot)
    const openedAt = now()
    slot.opening.then(
      connection => {
        slot.ready = connection
        if (closed) void connection.close()
        if (server.command !== undefined)
          connection.wire.onclose = chain(connection.wire.onclose, () => noteEnd(openedAt))
        // No sessions in the modern era: the first client that learns it serves everybody.
        isShared = isAlwaysShared || connection.info.era === 'modern'
        if (isShared && !slots.has(sharedKey)) slots.set(sharedKey, slot)
      },
      () => slots.get(key) === slot && slots.delete(key),
    )
    return slot.opening
  }
  const drop = (key: string, slot: Slot) => {
    slots.delete(key)
    if (slot.ready !== undefined) retired.add(slot.ready)
    closeRetired()
  }
  const closeRetired = () => {
    for (const connection of retired) {
      if (connection.inFlight() > 0) continue
      retired.delete(connection)
      void closeConnection(connection)
    }
  }
  const closeConnection = async (connection: Connection) => {
    if ('endSession' in connection.wire) await withLimit((connection.wire as HttpTransport).endSession())
    await connection.close().catch(() => {})
  }
  const idle = () =>
    [...slots]
      .filter(([key, slot]) => slot.ready?.inFlight() === 0 && !(deps.isWatched() && isOwnKey(key)))
      .sort(byLastUse)
  const isOwnKey = (key: string) => key === (isShared ? sharedKey : ownKey)
  const closeLeastUsed = () => {
    const [least] = idle()
    if (least === undefined) return false
    drop(...least)
    return true
  }

  const end = async () => {
    const open = [...new Set(slots.values())].map(slot => slot.opening.then(closeConnection, () => {}))
    const unused = [...retired].map(closeConnection)
    slots.clear()
    retired.clear()
    await Promise.all([...opening].map(wire => wire.close()))
    await Promise.all([...open, ...unused])
  }

  return {
    connectionFor: caller => use(keyOf(caller)),
    own: () => use(isShared ? sharedKey : ownKey),
    sweep: () => {
      closeRetired()
      // A child holds no session that could be opened again: it lives as long as Holdfast.
      if (server.command !== undefined) return
      for (const [key, slot] of idle()) if (now() - slot.lastUsed > deps.idleMs) drop(key, slot)
    },
    prolong: lifeMs => children.forEach(child => child.prolong(lifeMs)),
    end,
    close: async () => {
      closed = true
      await end()
      await agent?.destroy()
    },
  }
}

const byLastUse = ([, a]: [string, Slot], [, b]: [string, Slot]) => a.lastUsed - b.lastUsed

const chain = (first: (() => void) | undefined, second: () => void) => () => {
  first?.()
  second()
}

/** A courtesy gets a second. */
const withLimit = (work: Promise<void>) => {
  let timer: NodeJS.Timeout | undefined
  const limit = new Promise<void>(resolve => {
    timer = setTimeout(resolve, 1_000)
  })
  return Promise.race([work, limit]).finally(() => clearTimeout(timer))
}
