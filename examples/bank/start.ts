import { randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js'
import { type Ledger, openLedger } from './ledger.ts'
import { createBankServer } from './tools.ts'

export type Bank = { readonly url: string; readonly ledger: Ledger; readonly stop: () => Promise<void> }

/**
 * Starts the example bank: an ordinary MCP server of the legacy era (v1 SDK, sessions, event streams) over a ledger on disk.
 * @param port on loopback; 0 takes a free one
 */
export async function startBank({ port, dataDir }: { port: number; dataDir: string }): Promise<Bank> {
  const ledger = openLedger(dataDir)
  const sessions = new Map<string, Session>()
  const http = createServer((request, response) => {
    serve({ ledger, sessions }, request, response).catch(error => {
      if (!response.headersSent) refuse(response, 500, -32603, (error as Error).message)
    })
  })
  await new Promise<void>((resolve, reject) => {
    http.once('error', reject)
    http.listen(port, '127.0.0.1', resolve)
  })
  return {
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}/mcp`,
    ledger,
    stop: async () => {
      const closed = new Promise(resolve => http.close(resolve))
      await Promise.all([...sessions.values()].map(({ transport }) => transport.close()))
      http.closeAllConnections()
      await closed
      ledger.close()
    },
  }
}

/** A client's session: its transport, and the responses that are open on it, by request id. */
type Session = {
  readonly transport: StreamableHTTPServerTransport
  readonly open: Map<string | number, ServerResponse>
}
type Deps = { readonly ledger: Ledger; readonly sessions: Map<string, Session> }

async function serve(deps: Deps, request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.url !== '/mcp') return refuse(response, 404, -32601, 'Not found')
  const id = request.headers['mcp-session-id']
  const known = typeof id === 'string' ? deps.sessions.get(id) : undefined
  if (id !== undefined && known === undefined) return refuse(response, 404, -32001, 'Session not found')
  const body = request.method === 'POST' ? await readJson(request) : undefined
  const session = known ?? (await openSession(deps))
  const requestId = (body as { id?: string | number } | undefined)?.id
  if (requestId !== undefined) {
    session.open.set(requestId, response)
    response.once('close', () => session.open.delete(requestId))
  }
  await session.transport.handleRequest(request, response, body)
}

async function openSession({ ledger, sessions }: Deps): Promise<Session> {
  const open: Session['open'] = new Map()
  const transport = new StreamableHTTPServerTransport({
    sessionIdGenerator: randomUUID,
    onsessioninitialized: id => void sessions.set(id, { transport, open }),
    onsessionclosed: id => void sessions.delete(id),
  })
  const cutConnection = (requestId: string | number) => open.get(requestId)?.destroy()
  const server = createBankServer({ ledger, cutConnection })
  // The SDK's own types disagree with each other under exactOptionalPropertyTypes.
  await server.connect(transport as Parameters<typeof server.connect>[0])
  return { transport, open }
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return JSON.parse(Buffer.concat(chunks).toString('utf8'))
}

function refuse(response: ServerResponse, status: number, code: number, message: string): void {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify({ jsonrpc: '2.0', error: { code, message }, id: null }))
}
