import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'

type Endpoint = { readonly mcp: string; readonly key: string }

/** A connected client of the v2 SDK. `fetch` stands for the network between. */
export async function connectNew({ mcp, key }: Endpoint, fetcher: typeof fetch = fetch): Promise<Client> {
  const client = new Client({ name: 'example-agent', version: '1.0.0' }, { versionNegotiation: { mode: 'auto' } })
  const headers = { authorization: `Bearer ${key}` }
  await client.connect(new StreamableHTTPClientTransport(new URL(mcp), { requestInit: { headers }, fetch: fetcher }))
  return client
}

/** A network that ends the connection of the next so many writes when their answers begin to come. */
export function dropAnswers(times: number): { fetch: typeof fetch; dropped(): number } {
  let dropped = 0
  return {
    dropped: () => dropped,
    fetch: async (input, init) => {
      const isWrite = typeof init?.body === 'string' && init.body.includes('dev.holdfast/idempotency-key')
      if (!isWrite || dropped >= times) return fetch(input, init)
      dropped += 1
      const connection = new AbortController()
      const response = await fetch(input, { ...init, signal: connection.signal })
      connection.abort()
      return response
    },
  }
}
