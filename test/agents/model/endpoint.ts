import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** What a client asks its model, over HTTP on loopback. */
export type Endpoint = { readonly url: string; readonly stop: () => Promise<void> }

/** @param answer gets each POST with its JSON body; rejecting ends the request with a 500 */
export async function startEndpoint(
  answer: (path: string, body: unknown, response: ServerResponse) => Promise<void>,
): Promise<Endpoint> {
  const http = createServer((request, response) => {
    serve(answer, request, response).catch(error => {
      console.error(error)
      if (!response.headersSent) response.writeHead(500)
      response.end()
    })
  })
  await new Promise<void>(resolve => http.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}`,
    stop: async () => {
      const closed = new Promise(resolve => http.close(resolve))
      http.closeAllConnections()
      await closed
    },
  }
}

async function serve(
  answer: (path: string, body: unknown, response: ServerResponse) => Promise<void>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (request.method !== 'POST') return void response.writeHead(404).end()
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  await answer(request.url ?? '', JSON.parse(Buffer.concat(chunks).toString('utf8')), response)
}

/** Events of a stream, each named by the `type` of its data. */
export function eventStream(response: ServerResponse): (data: { readonly type: string }) => void {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' })
  return data => void response.write(`event: ${data.type}\ndata: ${JSON.stringify(data)}\n\n`)
}
