/**
 * A scriptable upstream server on bare `node:http`, for tests of what happens when things go wrong. It does what each
 * call tells it to (argument `behave`, or `lab.behave` beforehand) and keeps its own log of effects as ground truth.
 */
import { randomUUID } from 'node:crypto'
import { EventEmitter } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { openLedger } from './ledger.ts'
import { type Behaviour, behave, event, json, notification, rpcError, stream } from './lab-behaviours.ts'
import { type Effect, type LabCall, type LabTool, labTools, runTool } from './lab-tools.ts'

export type LabOptions = {
  readonly era: 'modern' | 'legacy'
  /** Default 0: a free one. */
  readonly port?: number
  /** Legacy era: hand out sessions and insist on them. Default true. */
  readonly sessions?: boolean
  /** Tools on one page of `tools/list`. Default all. */
  readonly pageSize?: number
  /** Instead of the usual ones. */
  readonly tools?: readonly LabTool[]
  /** What becomes of the handshake. Default `answer`. */
  readonly handshake?: 'answer' | 'hang' | `http_${number}`
  /** Answers without a `Keep-Alive` hint and closes idle connections after this time. Default: Node's own 5 s, hinted. */
  readonly keepAliveTimeoutMs?: number
  /** A file that every effect is in, fsynced, before its call is answered. */
  readonly ledger?: string
}

export type Lab = {
  readonly url: string
  readonly port: number
  /** Everything that was done, in order. */
  effects(): Effect[]
  /** Every `tools/call` that arrived, in order, whether or not it had an effect. */
  calls(): LabCall[]
  /** Requests by JSON-RPC method or HTTP verb, as they came. */
  requests(): string[]
  /** Sessions handed out and not ended. */
  sessions(): string[]
  /** Resolves with the n-th call (from 1) once it has arrived. */
  waitForCall(n?: number): Promise<LabCall>
  /** Resolves with the n-th effect (from 1) once it has happened. */
  waitForEffect(n?: number): Promise<Effect>
  /** How the next calls behave that do not say so themselves; one for each, then back to `answer`. */
  behave(...next: Behaviour[]): void
  /** Lets every call answer that is held back (`late`). */
  release(): void
  /** Ends every session without telling anybody. */
  forgetSessions(): void
  /** Resolves when somebody listens for changes. */
  waitForListener(): Promise<void>
  /** Replaces the tools and says so to whoever listens. */
  setTools(tools: readonly LabTool[]): void
  /** Sockets that are open. */
  connections(): Promise<number>
  readonly stop: () => Promise<void>
}

type State = {
  readonly options: LabOptions
  readonly effects: Effect[]
  readonly calls: LabCall[]
  readonly requests: string[]
  readonly sessions: Set<string>
  readonly next: Behaviour[]
  readonly listeners: Map<ServerResponse, string | undefined>
  readonly signals: EventEmitter
  readonly record: (effects: readonly Effect[]) => void
  /** What came of each `Idempotency-Key`: the result, or that it is being worked on. */
  readonly keys: Map<string, string | typeof underway>
  tools: readonly LabTool[]
}

const underway = Symbol('underway')

export async function startLab(options: LabOptions): Promise<Lab> {
  const state: State = {
    options,
    effects: [],
    calls: [],
    requests: [],
    sessions: new Set(),
    next: [],
    listeners: new Map(),
    signals: new EventEmitter().setMaxListeners(0),
    record: options.ledger === undefined ? () => {} : openLedger(options.ledger),
    keys: new Map(),
    tools: options.tools ?? labTools,
  }
  const http = createServer((request, response) => {
    serve(state, request, response).catch(error => {
      if (!response.headersSent) json(response, 500, rpcError(null, -32603, String(error)))
    })
  })
  if (options.keepAliveTimeoutMs !== undefined) http.keepAliveTimeout = options.keepAliveTimeoutMs
  await new Promise<void>(resolve => http.listen(options.port ?? 0, '127.0.0.1', resolve))
  const { port } = http.address() as AddressInfo

  return {
    url: `http://127.0.0.1:${port}/mcp`,
    port,
    effects: () => [...state.effects],
    calls: () => [...state.calls],
    requests: () => [...state.requests],
    sessions: () => [...state.sessions],
    waitForCall: (n = 1) => waitFor(state.signals, () => state.calls[n - 1]),
    waitForEffect: (n = 1) => waitFor(state.signals, () => state.effects[n - 1]),
    behave: (...next) => void state.next.push(...next),
    release: () => void state.signals.emit('release'),
    forgetSessions: () => state.sessions.clear(),
    waitForListener: async () => void (await waitFor(state.signals, () => state.listeners.size || undefined)),
    setTools: tools => {
      state.tools = tools
      for (const [response, subscription] of state.listeners) {
        const _meta =
          subscription === undefined ? {} : { _meta: { 'io.modelcontextprotocol/subscriptionId': subscription } }
        event(response, notification('notifications/tools/list_changed', _meta))
      }
    },
    connections: () =>
      new Promise((resolve, reject) => http.getConnections((error, n) => (error ? reject(error) : resolve(n)))),
    stop: async () => {
      const closed = new Promise(resolve => http.close(resolve))
      http.closeAllConnections()
      await closed
    },
  }
}

/** Looks again after every call and effect. */
function waitFor<T>(signals: EventEmitter, look: () => T | undefined): Promise<T> {
  return new Promise(resolve => {
    const check = () => {
      const found = look()
      if (found === undefined) return
      signals.off('changed', check)
      resolve(found)
    }
    signals.on('changed', check)
    check()
  })
}

type Message = { id?: string | number; method?: string; params?: Record<string, unknown> }

async function serve(state: State, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const message = request.method === 'POST' ? ((await readJson(request)) as Message) : {}
  state.requests.push(message.method ?? `${request.method}`)
  if (state.options.era === 'modern') return serveModern(state, message, request, response)
  return serveLegacy(state, message, request, response)
}

async function serveLegacy(
  state: State,
  message: Message,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const session = request.headers['mcp-session-id'] as string | undefined
  const withSessions = state.options.sessions ?? true
  if (message.method === 'initialize') return initialize(state, message, response, withSessions)
  if (message.method === 'server/discover')
    return json(response, 400, rpcError(null, -32000, 'Bad Request: Server not initialized'))
  if (withSessions && session === undefined)
    return json(response, 400, rpcError(null, -32000, 'Mcp-Session-Id header is required'))
  if (withSessions && !state.sessions.has(session as string))
    return json(response, 404, rpcError(null, -32001, 'Session not found'))
  if (request.method === 'GET') return listen(state, response, undefined)
  if (request.method === 'DELETE') {
    state.sessions.delete(session as string)
    return void response.writeHead(200).end()
  }
  if (message.id === undefined) return void response.writeHead(202).end()
  return serveRequest(state, message, request, response)
}

function initialize(state: State, message: Message, response: ServerResponse, withSessions: boolean): void {
  const { handshake } = state.options
  if (handshake === 'hang') return
  if (handshake?.startsWith('http_') === true) return void response.writeHead(Number(handshake.slice(5))).end('no')
  const session = randomUUID()
  if (withSessions) state.sessions.add(session)
  const result = {
    protocolVersion: message.params?.protocolVersion,
    capabilities: { tools: { listChanged: true } },
    serverInfo: { name: 'lab', version: '1.0.0' },
  }
  const headers: Record<string, string> = withSessions ? { 'mcp-session-id': session } : {}
  json(response, 200, JSON.stringify({ jsonrpc: '2.0', id: message.id, result }), headers)
}

async function serveModern(
  state: State,
  message: Message,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (request.method !== 'POST') return void response.writeHead(405).end()
  if (message.id === undefined) return void response.writeHead(202).end()
  const problem = headerProblem(message, request)
  if (problem !== undefined) return json(response, 400, rpcError(message.id, -32020, problem))
  if (message.method === 'server/discover') return discover(state, message, response)
  if (message.method === 'subscriptions/listen') return listen(state, response, String(message.id))
  return serveRequest(state, message, request, response)
}

function headerProblem(message: Message, request: IncomingMessage): string | undefined {
  const version = (message.params?._meta as Record<string, unknown> | undefined)?.[
    'io.modelcontextprotocol/protocolVersion'
  ]
  if (request.headers['mcp-protocol-version'] !== version) return 'MCP-Protocol-Version does not match'
  if (request.headers['mcp-method'] !== message.method) return 'Mcp-Method does not match'
  if (message.method === 'tools/call' && request.headers['mcp-name'] !== message.params?.name)
    return 'Mcp-Name does not match'
  return undefined
}

function discover(state: State, message: Message, response: ServerResponse): void {
  const { handshake } = state.options
  if (handshake === 'hang') return
  if (handshake?.startsWith('http_') === true) return void response.writeHead(Number(handshake.slice(5))).end('no')
  const result = {
    supportedVersions: ['2026-07-28'],
    capabilities: { tools: { listChanged: true } },
    resultType: 'complete',
    ttlMs: 0,
    cacheScope: 'private',
    _meta: { 'io.modelcontextprotocol/serverInfo': { name: 'lab', version: '1.0.0' } },
  }
  json(response, 200, JSON.stringify({ jsonrpc: '2.0', id: message.id, result }))
}

function listen(state: State, response: ServerResponse, subscription: string | undefined): void {
  stream(response)
  if (subscription !== undefined) {
    const _meta = { 'io.modelcontextprotocol/subscriptionId': subscription }
    event(
      response,
      notification('notifications/subscriptions/acknowledged', { notifications: { toolsListChanged: true }, _meta }),
    )
  }
  state.listeners.set(response, subscription)
  response.once('close', () => state.listeners.delete(response))
  state.signals.emit('changed')
}

async function serveRequest(
  state: State,
  message: Message,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const id = message.id as string | number
  if (message.method === 'tools/list') return listTools(state, message, response)
  if (message.method !== 'tools/call') return json(response, 200, rpcError(id, -32601, 'Method not found'))
  const params = message.params ?? {}
  const call: LabCall = {
    tool: String(params.name),
    arguments: (params.arguments ?? {}) as LabCall['arguments'],
    meta: (params._meta ?? {}) as LabCall['meta'],
    params,
    headers: request.headers,
    session: request.headers['mcp-session-id'] as string | undefined,
    requestId: id,
    port: request.socket.remotePort,
  }
  state.calls.push(call)
  const released = new Promise<void>(resolve => state.signals.once('release', resolve))
  state.signals.emit('changed')
  const told = (value: unknown) => (Array.isArray(value) ? value[turnOf(state, call) - 1] : value)
  const behaviour = (told(call.arguments.behave) ?? state.next.shift() ?? 'answer') as Behaviour
  const key = request.headers['idempotency-key'] as string | undefined
  if (key !== undefined) {
    const isRefused = behaviour === 'answer' && state.keys.get(key) === underway
    if (isRefused) return json(response, 409, rpcError(id, -32009, 'A request with this key is being worked on'))
  }
  const isFirstOfKey = key !== undefined && !state.keys.has(key)
  if (isFirstOfKey) state.keys.set(key, underway)
  const delayMs = told(call.arguments.delayMs)
  if (delayMs !== undefined) await new Promise(resolve => setTimeout(resolve, Number(delayMs)))
  await behave(behaviour, {
    response,
    id,
    run: () => {
      const known = key === undefined ? undefined : state.keys.get(key)
      if (typeof known === 'string') return known
      const before = state.effects.length
      const text = runTool(call, state.effects)
      state.record(state.effects.slice(before))
      if (key !== undefined) state.keys.set(key, text)
      state.signals.emit('changed')
      return text
    },
    released: () => released,
    forgetSession: () => state.sessions.delete(String(call.session)),
    isFirst: () => state.calls.filter(({ arguments: args }) => args.what === call.arguments.what).length === 1,
  })
  // Nothing was done: the key is free again.
  if (isFirstOfKey && state.keys.get(key) === underway) state.keys.delete(key)
}

/** Which call this is of those with the same `what`, from 1. */
const turnOf = ({ calls }: State, { tool, arguments: { what } }: LabCall): number =>
  calls.filter(each => each.tool === tool && each.arguments.what === what).length

function listTools(state: State, message: Message, response: ServerResponse): void {
  const from = Number(message.params?.cursor ?? 0)
  const size = state.options.pageSize ?? state.tools.length
  const tools = state.tools.slice(from, from + size)
  const nextCursor = from + size < state.tools.length ? { nextCursor: String(from + size) } : {}
  const result = { tools, ...nextCursor, resultType: 'complete', ttlMs: 0, cacheScope: 'private' }
  json(response, 200, JSON.stringify({ jsonrpc: '2.0', id: message.id, result }))
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return JSON.parse(Buffer.concat(chunks).toString('utf8'))
}
