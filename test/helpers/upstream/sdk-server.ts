import { randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { toNodeHandler } from '@modelcontextprotocol/node'
import { createMcpHandler, McpServer } from '@modelcontextprotocol/server'
import { z } from 'zod'

export type SdkServer = {
  readonly url: string
  /** Texts that were noted, each once for every effect. */
  readonly notes: string[]
  /** Adds a tool and says so to whoever listens. */
  readonly addTool: (name: string) => void
  readonly stop: () => Promise<void>
}

/** An unmodified server on the v2 SDK, serving both eras on one route. */
export async function startSdkServer(): Promise<SdkServer> {
  const notes: string[] = []
  const added: string[] = []
  const handler = createMcpHandler(() => createNotebook(notes, added), { legacy: 'stateless' })
  const serve = toNodeHandler(handler)
  const http = createServer((request, response) => void serve(request as Parameters<typeof serve>[0], response))
  await new Promise<void>(resolve => http.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}/mcp`,
    notes,
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

function createNotebook(notes: string[], added: readonly string[]): McpServer {
  const server = new McpServer(
    { name: 'notebook', version: '2.0.0' },
    { capabilities: { tools: { listChanged: true } } },
  )
  server.registerTool(
    'note',
    {
      description: 'Writes a note.',
      inputSchema: z.object({ text: z.string() }),
      outputSchema: z.object({ id: z.string(), count: z.number() }),
    },
    async ({ text }, context) => {
      notes.push(text)
      const progressToken = context.mcpReq._meta?.progressToken
      if (progressToken !== undefined) {
        await context.mcpReq.notify({
          method: 'notifications/progress',
          params: { progressToken, progress: 1, total: 2, message: 'written' },
        })
      }
      const structuredContent = { id: randomUUID(), count: notes.length }
      return { content: [{ type: 'text', text: `Noted ${text}.` }], structuredContent }
    },
  )
  server.registerTool(
    'list_notes',
    {
      description: 'Lists the notes.',
      outputSchema: z.object({ notes: z.array(z.string()) }),
      annotations: { readOnlyHint: true },
    },
    () => ({ content: [{ type: 'text', text: notes.join('\n') }], structuredContent: { notes: [...notes] } }),
  )
  server.registerTool(
    'shout',
    {
      description: 'Repeats a text; the region must travel as a header too.',
      inputSchema: z.object({ text: z.string(), region: z.string().meta({ 'x-mcp-header': 'Region' }) }),
      annotations: { readOnlyHint: true },
    },
    ({ text, region }) => ({ content: [{ type: 'text', text: `${region}: ${text.toUpperCase()}` }] }),
  )
  for (const name of added) {
    server.registerTool(name, { description: 'Added later.' }, () => ({ content: [{ type: 'text', text: name }] }))
  }
  return server
}
