/** An MCP server of shapes: structured answers, long and odd names, many tools. On the v2 SDK's low-level server. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { toNodeHandler } from '@modelcontextprotocol/node'
import { createMcpHandler, Server } from '@modelcontextprotocol/server'

export type Office = {
  readonly url: string
  /** Ground truth: the tool and the arguments of everything that was done, in order. */
  readonly done: ReadonlyArray<{ readonly tool: string; readonly arguments: Readonly<Record<string, unknown>> }>
  /** Adds a tool and says so to whoever listens. */
  readonly addTool: (name: string) => void
  readonly stop: () => Promise<void>
}

const anything = { type: 'object', properties: { what: { type: 'string' } } } as const
const shape = { type: 'object', properties: { id: { type: 'string' } }, required: ['id'] } as const

export const longName = `transfer_${'between_accounts_of_one_customer_'.repeat(3)}v2`
export const oddName = 'mail.send/now'
export const manyNames = Array.from({ length: 120 }, (_, n) => `form_${String(n).padStart(3, '0')}`)

const tools = [
  { name: 'book', description: 'Books a room.', inputSchema: anything, outputSchema: shape },
  { name: 'refuse', description: 'Refuses, with data.', inputSchema: anything },
  { name: longName, description: 'Has a long name.', inputSchema: anything },
  { name: oddName, description: 'Has an odd name.', inputSchema: anything },
  { name: 'letter', description: 'Reads a long letter.', inputSchema: anything, annotations: { readOnlyHint: true } },
  ...manyNames.map(name => ({
    name,
    description: 'One of many.',
    inputSchema: anything,
    annotations: { readOnlyHint: true },
  })),
]

export async function startOffice(): Promise<Office> {
  const done: Array<Office['done'][number]> = []
  const added: string[] = []
  const handler = createMcpHandler(() => createOffice(done, added), { legacy: 'stateless' })
  const serve = toNodeHandler(handler)
  const http = createServer((request, response) => void serve(request as Parameters<typeof serve>[0], response))
  await new Promise<void>(resolve => http.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}/mcp`,
    done,
    addTool: name => {
      added.push(name)
      handler.notify.toolsChanged()
    },
    stop: async () => {
      const closed = new Promise(resolve => http.close(resolve))
      await handler.close()
      http.closeAllConnections()
      await closed
    },
  }
}

function createOffice(done: Array<Office['done'][number]>, added: readonly string[]): Server {
  const server = new Server({ name: 'office', version: '1.0.0' }, { capabilities: { tools: { listChanged: true } } })
  server.setRequestHandler('tools/list', () => ({
    tools: [...tools, ...added.map(name => ({ name, description: 'Added later.', inputSchema: anything }))],
  }))
  server.setRequestHandler('tools/call', ({ params: { name, arguments: args = {} } }) => {
    done.push({ tool: name, arguments: args })
    if (name === 'book')
      return { content: [text('In words: the room is booked.')], structuredContent: { id: `room-${done.length}` } }
    if (name === 'refuse') {
      return { isError: true, content: [text('In words: the room is taken.')], structuredContent: { reason: 'taken' } }
    }
    if (name === 'letter') return { content: [text(`Dear reader, ${'and so on '.repeat(20_000)}yours truly.`)] }
    return { content: [text(`did ${name}`)] }
  })
  return server
}

const text = (words: string) => ({ type: 'text' as const, text: words })
