/**
 * A service's one HTTP port. It opens before anything else is there: `/livez` answers at once, `/readyz` says what is
 * missing, and what is asked before it can be answered is refused with 503 rather than kept waiting.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type Code, codes } from '../call/codes.ts'
import { createNeeds, type Log, type Needs } from './needs.ts'

export type Handler = (request: IncomingMessage, response: ServerResponse) => void

export type Listener = {
  /** `http://host:port`. */
  readonly url: string
  /** What `/readyz` answers from. */
  readonly needs: Needs
  /** Bound to this machine only: then it answers to no other name, lest a page in a browser reaches it under its own. */
  readonly loopback: boolean
  /** Hands what is asked under this path to a handler. The longest path wins; `/` takes the rest. */
  serve(path: string, handler: Handler): void
  /** Not ready any more, and every answer closes its connection, so that clients go to another process by themselves. */
  drain(): void
  /** Resolves when nothing is being answered, or after `withinMs`. */
  idle(withinMs: number): Promise<void>
  /** Ends what is still open. Safe to call twice. */
  close(): Promise<void>
}

export type ListenerInput = {
  readonly host: string
  /** 0: any free one. */
  readonly port: number
  /** What must be there before the service is ready. */
  readonly needs: readonly string[]
  readonly log: Log
}

/**
 * Longer than load balancers and clients keep an idle connection (60 s is common), so that they are the ones to end it: when
 * this side does, just as a request is sent, it looks like a lost answer.
 */
const idleMs = 72_000

const loopbackNames = new Set(['127.0.0.1', '[::1]', 'localhost'])

export async function openListener({ host, port, needs: names, log }: ListenerInput): Promise<Listener> {
  const needs = createNeeds({ log }, names)
  const loopback = ['127.0.0.1', '::1', 'localhost'].includes(host)
  const handlers = new Map<string, Handler>([
    ['/livez', (_, response) => sendJson(response, 200, { live: true })],
    ['/readyz', (_, response) => void sendReadiness(needs, response)],
  ])
  const answering = new Set<ServerResponse>()
  let becameIdle = () => {}
  let draining = false
  const server = createServer({ keepAliveTimeout: idleMs }, (request, response) => {
    if (draining) response.shouldKeepAlive = false
    answering.add(response)
    response.once('close', () => {
      answering.delete(response)
      if (answering.size === 0) becameIdle()
    })
    if (loopback && !loopbackNames.has(hostnameOf(request.headers.host))) return sendCode(response, 'origin_refused')
    const path = (request.url ?? '/').split('?', 1)[0] as string
    const handler = handlerFor(handlers, path)
    if (handler === undefined) sendCode(response, 'starting')
    else handler(request, response)
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, resolve)
  })
  // Idle connections stay: one that is closed just as its client sends a request looks like a lost answer.
  const drain = () => {
    draining = true
    needs.stop()
  }
  const close = async () => {
    drain()
    const closed = new Promise(resolve => server.close(resolve))
    server.closeAllConnections()
    await closed
  }
  let closing: Promise<void> | undefined
  return {
    url: urlOf(server.address() as AddressInfo),
    needs,
    loopback,
    serve: (path, handler) => void handlers.set(path, handler),
    drain,
    async idle(withinMs) {
      if (answering.size === 0) return
      await new Promise<void>(resolve => {
        const timer = setTimeout(resolve, withinMs)
        becameIdle = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    },
    close: () => (closing ??= close()),
  }
}

function handlerFor(handlers: ReadonlyMap<string, Handler>, path: string): Handler | undefined {
  for (let prefix = path; ; prefix = prefix.slice(0, prefix.lastIndexOf('/'))) {
    const handler = handlers.get(prefix === '' ? '/' : prefix)
    if (handler !== undefined || prefix === '' || prefix === '/') return handler
  }
}

const hostnameOf = (host: string | undefined): string => (host ?? '').replace(/:\d+$/, '').toLowerCase()

async function sendReadiness(needs: Needs, response: ServerResponse): Promise<void> {
  const now = await needs.readiness()
  sendJson(response, now.ready ? 200 : 503, now)
}

function sendCode(response: ServerResponse, code: Code): void {
  const { http, what, means, next } = codes[code]
  sendJson(response, http, { code, message: what, what, means, next })
}

export function sendJson(response: ServerResponse, status: number, value: unknown): void {
  const text = JSON.stringify(value)
  response
    .writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) })
    .end(text)
}

const urlOf = ({ address, port, family }: AddressInfo): string =>
  `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`
