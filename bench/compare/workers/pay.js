/** The step that every engine runs: one call of an MCP tool, with an ordinary client. */
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'

const { BANK_URL, HOLDFAST_KEY } = process.env
const headers = HOLDFAST_KEY === undefined ? {} : { authorization: `Bearer ${HOLDFAST_KEY}` }

export async function pay(change) {
  const client = new Client({ name: 'engine', version: '1.0.0' })
  await client.connect(new StreamableHTTPClientTransport(new URL(BANK_URL), { requestInit: { headers } }))
  try {
    const call = { name: 'transfer', arguments: { from: 'alice', to: 'shop', amount: 0.01, memo: change } }
    // Behind Holdfast the workflow's own id names the change, in every attempt of the step.
    const _meta = HOLDFAST_KEY === undefined ? {} : { 'dev.holdfast/idempotency-key': change }
    const { content, isError } = await client.callTool({ ...call, _meta })
    if (isError) throw new Error(content[0].text)
    return content[0].text
  } finally {
    await client.close()
  }
}
