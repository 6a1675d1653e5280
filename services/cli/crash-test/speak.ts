/** Speaks MCP with one server, in the era it serves, message by message. */
import { ConfigError, UnavailableError } from '../../../shared/errors.ts'
import { headerDeclarations, paramHeaders } from '../../../shared/upstream/param-headers.ts'
import { type Heard, type Message, post } from './post.ts'

export type Era = 'modern' | 'legacy'

/** Where a server is, seen through a port on loopback. */
export type Address = {
  readonly url: URL
  /** Of the proxy. */
  readonly port: number
  readonly headers: Readonly<Record<string, string>>
}

export type Server = Address & { readonly era: Era; readonly tools: readonly Tool[] }
export type Tool = { readonly name: string; readonly inputSchema?: unknown }
export type Session = Readonly<Record<string, string>>

export type Call = {
  readonly tool: string
  readonly arguments: Readonly<Record<string, unknown>>
  readonly meta?: Readonly<Record<string, unknown>>
  /** Further members of `params`. */
  readonly params?: Readonly<Record<string, unknown>>
  readonly headers?: Readonly<Record<string, string>>
}

const modernVersion = '2026-07-28'
const legacyVersion = '2025-11-25'
const clientInfo = { name: 'holdfast-crash-test', version: '1.0.0' }
const patienceMs = 30_000

/** Finds out which era a server speaks and what it can do. @throws UnavailableError, ConfigError */
export async function meet(address: Address, wanted: Era | undefined): Promise<Server> {
  const era = wanted ?? ((await speaksModern(address)) ? 'modern' : 'legacy')
  const server = { ...address, era, tools: [] }
  const session = await openSession(server)
  const tools: Tool[] = []
  for (let cursor: unknown, page = 0; page < 100; page += 1) {
    const params = cursor === undefined ? {} : { cursor }
    const { result, error } = await expectMessage(server, say(server, session, `list-${page}`, 'tools/list', params))
    if (result === undefined) throw new UnavailableError('server', `The server does not list its tools: ${told(error)}`)
    tools.push(...((result['tools'] ?? []) as Tool[]))
    cursor = result['nextCursor']
    if (cursor === undefined) break
  }
  return { ...server, tools }
}

async function speaksModern(address: Address): Promise<boolean> {
  const server: Server = { ...address, era: 'modern', tools: [] }
  const heard = await say(server, {}, 'discover', 'server/discover', {})
  const versions = heard.kind === 'answer' ? heard.message?.result?.['supportedVersions'] : undefined
  return Array.isArray(versions) && versions.includes(modernVersion)
}

/** The headers of a session; none where the server has no sessions. */
export async function openSession(server: Server): Promise<Session> {
  if (server.era === 'modern') return {}
  const params = { protocolVersion: legacyVersion, capabilities: {}, clientInfo }
  const heard = await say(server, {}, 'initialize', 'initialize', params)
  const { result, error } = await expectMessage(server, Promise.resolve(heard))
  if (result === undefined) throw new UnavailableError('server', `The server refuses the handshake: ${told(error)}`)
  const id = heard.kind === 'answer' ? heard.headers['mcp-session-id'] : undefined
  const session: Session = {
    'mcp-protocol-version': String(result['protocolVersion']),
    ...(typeof id === 'string' && { 'mcp-session-id': id }),
  }
  await say(server, session, undefined, 'notifications/initialized', {})
  return session
}

/** Sends one call. */
export function callTool(
  server: Server,
  session: Session,
  { id, call, timeoutMs }: { id: string | number; call: Call; timeoutMs: number },
): Promise<Heard> {
  const tool = server.tools.find(({ name }) => name === call.tool)
  const params = {
    name: call.tool,
    arguments: call.arguments,
    ...(call.meta !== undefined && { _meta: call.meta }),
    ...call.params,
  }
  const extra = server.era === 'modern' ? paramHeaders(headerDeclarations(tool?.inputSchema), call.arguments) : {}
  return say(server, session, id, 'tools/call', params, { ...extra, ...call.headers }, timeoutMs)
}

/** @param id undefined for a notification */
function say(
  { url, port, headers, era }: Server,
  session: Session,
  id: string | number | undefined,
  method: string,
  params: Readonly<Record<string, unknown>>,
  extra: Readonly<Record<string, string>> = {},
  timeoutMs = patienceMs,
): Promise<Heard> {
  const full = era === 'modern' ? { ...params, _meta: { ...modernMeta, ...(params['_meta'] as object) } } : params
  const body = JSON.stringify({ jsonrpc: '2.0', ...(id !== undefined && { id }), method, params: full })
  return post({
    port,
    path: `${url.pathname}${url.search}`,
    headers: {
      host: url.host,
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      'content-length': String(Buffer.byteLength(body)),
      ...(era === 'modern' && modernHeaders(method, params)),
      ...session,
      ...headers,
      ...extra,
    },
    body,
    id,
    timeoutMs,
  })
}

const modernMeta = {
  'io.modelcontextprotocol/protocolVersion': modernVersion,
  'io.modelcontextprotocol/clientInfo': clientInfo,
  'io.modelcontextprotocol/clientCapabilities': {},
}

const modernHeaders = (method: string, { name }: Readonly<Record<string, unknown>>): Record<string, string> => ({
  'mcp-protocol-version': modernVersion,
  'mcp-method': method,
  ...(typeof name === 'string' && { 'mcp-name': name }),
})

async function expectMessage({ url }: Address, asked: Promise<Heard>): Promise<Message> {
  const heard = await asked
  if (heard.kind !== 'answer')
    throw new UnavailableError(
      'server',
      `${url.href} does not answer (${heard.kind === 'lost' ? heard.why : 'time-out'}).`,
    )
  if (heard.status === 401 || heard.status === 403)
    throw new ConfigError([`${url.href} refuses with status ${heard.status} (give its credential with --header)`])
  if (heard.message === undefined)
    throw new UnavailableError('server', `${url.href} does not answer like an MCP server (status ${heard.status}).`)
  return heard.message
}

const told = (error: Message['error']): string =>
  typeof error?.message === 'string' ? error.message : 'no reason given'

/** Tells a server of the legacy era that nobody waits any more; in the modern one the closed connection says so. */
export async function sayCancelled(server: Server, session: Session, requestId: string): Promise<void> {
  if (server.era === 'modern') return
  await say(server, session, undefined, 'notifications/cancelled', { requestId, reason: 'Request timed out' })
}
