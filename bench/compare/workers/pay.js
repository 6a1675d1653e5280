/** The step that every engine runs: one call of an MCP tool, with an ordinary client. */
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'

export async function pay(change) {
  const client = new Client({ name: 'engine', version: '1.0.0' })
  await client.connect(new StreamableHTTPClientTransport(new URL(process.env.BANK_URL)))
  try {
    const call = { name: 'transfer', arguments: { from: 'alice', to: 'shop', amount: 0.01, memo: change } }
    const { content } = await client.callTool(call)
    return content[0].text
  } finally {
    await client.close()
  }
}
