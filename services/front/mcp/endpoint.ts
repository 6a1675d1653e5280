/**
 * `POST /mcp` and `POST /mcp/{server}`: one body, either protocol era, legacy batches. What is wrong with a body is
 * answered here; what is wrong with a message by the SDK; what is wrong with a call by `calls/`.
 */
import type { ServerResponse } from 'node:http'
import {
  createMcpHandler,
  isLegacyRequest,
  WebStandardStreamableHTTPServerTransport,
} from '@modelcontextprotocol/server'
import type { Json } from '../../../shared/call/fingerprint.ts'
import { type LosslessResult, parseLossless } from '../../../shared/json/lossless.ts'
import type { RawAnswer } from '../calls/settled.ts'
import { cancelCall, type RequestId } from '../calls/cancels.ts'
import { clientOf, type Incoming } from '../calls/incoming.ts'
import type { Identity } from '../deps.ts'
import { isObject } from '../schema/declares.ts'
import { type Exchange, type ProgressToken, respond, type ResponseTimes } from './exchange.ts'
import { createServer, type McpDeps } from './server.ts'
import type { Session, Sessions } from './session.ts'

export type McpPost = {
  readonly response: ServerResponse
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: string
  readonly identity: Identity
  readonly route: string | undefined
  readonly origin: string | undefined
}

export type Endpoint = {
  /** Answers one POST on its response. Rejects only where our own code is broken, before anything was written. */
  post(input: McpPost): Promise<void>
  /** Tells modern clients that listen. */
  readonly toolsChanged: () => void
  close(): Promise<void>
}

export type EndpointDeps = McpDeps & { readonly sessions: Sessions; readonly times: ResponseTimes }

/** The SDK wants one and reads nothing from it. */
const anyUrl = 'http://localhost/mcp'
const sessionHeader = 'mcp-session-id'

export function createEndpoint(deps: EndpointDeps): Endpoint {
  const onerror = (error: Error) => deps.log.debug({ err: error }, 'an MCP request was refused')
  const modern = createMcpHandler(({ authInfo }) => createServer(deps, authInfo?.extra?.exchange as Exchange), {
    legacy: 'reject',
    keepAliveMs: deps.times.keepAliveMs,
    onerror,
  })

  const work = async (request: Request, parsedBody: unknown, exchange: Exchange): Promise<Response> => {
    const authInfo = { token: '', clientId: exchange.agent, scopes: [], extra: { exchange } }
    if (exchange.era === 'modern') return modern.fetch(request, { authInfo, parsedBody })
    const server = createServer(deps, exchange)
    const transport = new WebStandardStreamableHTTPServerTransport({ enableJsonResponse: true })
    transport.onerror = onerror
    await server.connect(transport)
    try {
      return await transport.handleRequest(request, { authInfo, parsedBody })
    } finally {
      await server.close()
    }
  }

  return {
    async post(input) {
      const { response, headers, identity } = input
      const parsed = parse(input.body)
      if (parsed === undefined) return refuse(response, 400, -32700, 'Parse error: the body is not JSON.')
      const request = new Request(anyUrl, { method: 'POST', headers: webHeaders(headers) })
      const era = (await isLegacyRequest(request, parsed)) ? 'legacy' : 'modern'
      const sealed = headers[sessionHeader]
      const session = era === 'legacy' && typeof sealed === 'string' ? deps.sessions.open(sealed, identity) : undefined
      const opening = openingOf(parsed)
      // The specification's answer to a session that is over: the client begins a new one.
      if (era === 'legacy' && sealed !== undefined && session === undefined && opening === undefined) {
        return refuse(response, 404, -32001, 'Session not found: send initialize without a session id.')
      }
      const messages = Array.isArray(parsed) ? parsed : [parsed]
      if (hasSameIds(messages)) return refuse(response, 400, -32600, 'Two requests of the batch have the same id.')
      passCancels(deps, { messages, agent: identity.agent, session })

      const progress = { message: undefined as string | undefined }
      const exchange = exchangeOf(input, { parsed, messages, era, session, progress })
      await respond(deps.times, {
        response,
        exchange,
        work: work(request, withoutCancels(parsed), exchange),
        headers:
          opening === undefined
            ? {}
            : { [sessionHeader]: deps.sessions.seal({ ...opening, ...identityOf(identity), id: deps.ids.ulid() }) },
        takesEvents: String(headers.accept ?? '').includes('text/event-stream'),
        progressTokens: tokensOf(messages),
        progressMessage: () => progress.message,
      })
    },
    toolsChanged: () => modern.notify.toolsChanged(),
    close: () => modern.close(),
  }
}

const identityOf = ({ tenant, agent }: Identity) => ({ tenant, agent })

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function refuse(response: ServerResponse, status: number, code: number, message: string): void {
  const text = JSON.stringify({ jsonrpc: '2.0', id: null, error: { code, message } })
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) })
  response.end(text)
}

/** The SDK reads these alone; hop-by-hop headers would be refused by `Headers`. */
function webHeaders(headers: McpPost['headers']): Headers {
  const wanted = Object.entries(headers).filter(
    ([name]) => name === 'accept' || name === 'content-type' || name.startsWith('mcp-'),
  )
  return new Headers(wanted.map(([name, value]) => [name, Array.isArray(value) ? value.join(', ') : (value ?? '')]))
}

type Message = { readonly [name: string]: Json }
const isCall = (message: unknown): message is Message & { id: RequestId; params: Message } =>
  isObject(message) && message.method === 'tools/call' && isId(message.id) && isObject(message.params)
const isId = (id: unknown): id is RequestId => typeof id === 'string' || typeof id === 'number'

/** What `initialize` says of the client; undefined where the body is something else. */
function openingOf(parsed: unknown): Pick<Session, 'client' | 'version'> | undefined {
  if (!isObject(parsed) || parsed.method !== 'initialize' || !isObject(parsed.params)) return undefined
  const { clientInfo, protocolVersion } = parsed.params
  return { client: clientOf(clientInfo), version: typeof protocolVersion === 'string' ? protocolVersion : '' }
}

function hasSameIds(messages: readonly unknown[]): boolean {
  const ids = messages.flatMap(message =>
    isObject(message) && message.method !== undefined && isId(message.id) ? [message.id] : [],
  )
  return new Set(ids).size < ids.length
}

/** In a batch the SDK would drop the answer of a cancelled call, and the batch would never be answered. */
const withoutCancels = (parsed: unknown): unknown => {
  if (!Array.isArray(parsed)) return parsed
  const others = parsed.filter(message => !(isObject(message) && message.method === 'notifications/cancelled'))
  return others.length === 0 ? parsed : others
}

function passCancels(
  deps: EndpointDeps,
  { messages, agent, session }: { messages: readonly unknown[]; agent: string; session: Session | undefined },
): void {
  for (const message of messages) {
    if (!isObject(message) || message.method !== 'notifications/cancelled' || !isObject(message.params)) continue
    const { requestId, reason } = message.params
    if (isId(requestId))
      deps.background('cancel', cancelCall(deps, { ref: { agent, session: session?.id, requestId }, reason }))
  }
}

function tokensOf(messages: readonly unknown[]): ProgressToken[] {
  return messages.flatMap(message => {
    const meta = isCall(message) && isObject(message.params._meta) ? message.params._meta : undefined
    return isId(meta?.progressToken) ? [meta.progressToken] : []
  })
}

function exchangeOf(
  { body, headers, identity, route, origin }: McpPost,
  {
    parsed,
    messages,
    era,
    session,
    progress,
  }: {
    parsed: unknown
    messages: readonly unknown[]
    era: Exchange['era']
    session: Session | undefined
    progress: { message: string | undefined }
  },
): Exchange {
  let checked: LosslessResult | undefined
  const lossless = () => (checked ??= parseLossless(body))
  const common = {
    headers,
    batch: Array.isArray(parsed),
    era,
    route,
    identity,
    session,
    origin,
    lossless,
    progress: (message: string) => {
      progress.message = message
    },
  }
  const calls = messages
    .filter(isCall)
    .map(({ id, params }): [RequestId, Incoming] => [id, { ...common, requestId: id, params }])
  return { era, route, agent: identity.agent, calls: new Map(calls), answers: new Map<RequestId, RawAnswer>() }
}
