/** The two agents: plain MCP clients of either SDK line, which know nothing of Holdfast but its address and a key. */
import { Client as NewClient, StreamableHTTPClientTransport as NewTransport } from '@modelcontextprotocol/client'
import { Client as OldClient } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport as OldTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'

export type Endpoint = { readonly mcp: string; readonly key: string }

/** A client of the earlier protocol revisions, with handshake and session (the v1 SDK). */
export async function connectOld({ mcp, key }: Endpoint): Promise<OldClient> {
  const client = new OldClient({ name: 'demo-old', version: '1.0.0' })
  const transport = new OldTransport(new URL(mcp), { requestInit: withKey(key) })
  // The SDK's own types disagree with each other under exactOptionalPropertyTypes.
  await client.connect(transport as Parameters<typeof client.connect>[0])
  return client
}

/** A client of revision 2026-07-28, which has no sessions (the v2 SDK). */
export async function connectNew({ mcp, key }: Endpoint): Promise<NewClient> {
  const client = new NewClient({ name: 'demo-new', version: '1.0.0' }, { versionNegotiation: { mode: 'auto' } })
  await client.connect(new NewTransport(new URL(mcp), { requestInit: withKey(key) }))
  return client
}

const withKey = (key: string) => ({ headers: { authorization: `Bearer ${key}` } })
