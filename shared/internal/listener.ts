/**
 * A service's one HTTP port. It opens before anything else is there: `/livez` answers at once, `/readyz` says what is
 * missing, and what is asked before it can be answered is refused with 503 rather than kept waiting.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { codes } from '../call/codes.ts'
import type { Readiness } from './needs.ts'

export type Handler = (request: IncomingMessage, response: ServerResponse) => void

export type Listener = {
  /** `http://host:port`. */
  readonly url: string
  /** Hands what is asked under this path to a handler. The longest path wins; `/` takes the rest. */
  serve(path: string, handler: Handler): void
  /** From now on every answer closes its connection, so that clients go to another process by themselves. */
  drain(): void
  /** Ends what is still open. */
  close(): Promise<void>
}

export type ListenerInput = {
  readonly host: string
  /** 0: any free one. */
  readonly port: number
  readonly readiness: () => Promise<Readiness>
}

export async function openListener({ host, port, readiness }: ListenerInput): Promise<Listener> {
  const handlers = new Map<string, Handler>([
    ['/livez', (_, response) => sendJson(response, 200, { live: true })],
    ['/readyz', (_, response) => void sendReadiness(readiness, response)],
  ])
  let draining = false
  const server = createServer((request, response) => {
    if (draining) response.shouldKeepAlive = false
    const path = (request.url ?? '/').split('?', 1)[0] as string
    const handler = handlerFor(handlers, path)
    if (handler === undefined) sendStarting(response)
    else handler(request, response)
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, resolve)
  })
  return {
    url: urlOf(server.address() as AddressInfo),
    serve: (path, handler) => void handlers.set(path, handler),
    drain() {
      draining = true
      server.closeIdleConnections()
    },
    async close() {
      const closed = new Promise(resolve => server.close(resolve))
      server.closeAllConnections()
      await closed
    },
  }
}

function handlerFor(handlers: ReadonlyMap<string, Handler>, path: string): Handler | undefined {
  for (let prefix = path; ; prefix = prefix.slice(0, prefix.lastIndexOf('/'))) {
    const handler = handlers.get(prefix === '' ? '/' : prefix)
    if (handler !== undefined || prefix === '' || prefix === '/') return handler
  }
}

async function sendReadiness(readiness: () => Promise<Readiness>, response: ServerResponse): Promise<void> {
  const now = await readiness()
  sendJson(response, now.ready ? 200 : 503, now)
}

function sendStarting(response: ServerResponse): void {
  const { http, what, means, next } = codes.starting
  sendJson(response, http, { code: 'starting', message: what, what, means, next })
}

export function sendJson(response: ServerResponse, status: number, value: unknown): void {
  const text = JSON.stringify(value)
  response
    .writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) })
    .end(text)
}

const urlOf = ({ address, port, family }: AddressInfo): string =>
  `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`
