/**
 * The MCP server of one exchange, on the SDK's low-level `Server`: schemas and unknown fields pass through it. Results
 * of tool calls go past it, into the exchange: the SDK would validate, and reject, after the effect.
 */
import { ProtocolError, ProtocolErrorCode, Server } from '@modelcontextprotocol/server'
import { handleCall } from '../calls/call.ts'
import type { Incoming } from '../calls/incoming.ts'
import type { RawAnswer } from '../calls/settled.ts'
import type { Directory } from '../catalogue/directory.ts'
import type { Front } from '../deps.ts'
import { handleOwnTool } from '../outcome/answer.ts'
import { ownTools } from '../outcome/tools.ts'
import type { Exchange } from './exchange.ts'
import { serverInfo } from './identity.ts'
import { instructions } from './instructions.ts'

export type McpDeps = Front & { readonly directory: Directory }

/** How long a modern client may keep a list; changes are announced to those who listen. */
const listTtlMs = 30_000

export function createServer(deps: McpDeps, exchange: Exchange): Server {
  const { settings, catalogue, directory } = deps
  const unread = (exchange.route === undefined ? settings.servers : [exchange.route]).filter(
    server => !catalogue.known(server),
  )
  const server = new Server(serverInfo, {
    // Only what is delivered: legacy clients have no stream on which to hear of changes.
    capabilities: { tools: exchange.era === 'modern' ? { listChanged: true } : {} },
    instructions: instructions(unread),
    cacheHints: {
      'tools/list': { ttlMs: listTtlMs, cacheScope: 'private' },
      'server/discover': { ttlMs: listTtlMs, cacheScope: 'private' },
    },
  })
  server.setRequestHandler('tools/list', async ({ params }) => {
    if (params?.cursor !== undefined)
      throw new ProtocolError(ProtocolErrorCode.InvalidParams, 'The list has one page: there is no such cursor.')
    await catalogue.settled()
    const tools = [...directory.list(exchange.route, exchange.agent), ...ownTools]
    return { tools: tools as never }
  })
  server.setRequestHandler('tools/call', async (_request, { mcpReq }) => {
    const incoming = exchange.calls.get(mcpReq.id)
    if (incoming === undefined)
      throw new ProtocolError(ProtocolErrorCode.InvalidRequest, 'The request is not in the body.')
    exchange.answers.set(mcpReq.id, await answer(deps, incoming))
    return { content: [] }
  })
  return server
}

/** Questions to Holdfast itself are no calls of a server's tool, and are not counted as such. */
const answer = async (deps: McpDeps, incoming: Incoming): Promise<RawAnswer> =>
  (await handleOwnTool(deps, incoming)) ?? deps.telemetry.call(incoming, known => handleCall(deps, known))
