/** The asking side of `server.ts`: one POST, once, with the token; no redirect is followed and nothing is tried again. */
import { Agent, errors } from 'undici'
import { bearer } from './token.ts'

/** `not_sent`: no byte left this process. `lost`: it may have been handled. `refused`: the other side said so. */
export type Asked =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly kind: 'not_sent' | 'lost'; readonly reason: string }
  | { readonly ok: false; readonly kind: 'refused'; readonly status: number; readonly reason: string }

export type InternalClient = {
  /** Never rejects. @param json the body as JSON text */
  post(url: string, json: string, options: { readonly withinMs: number }): Promise<Asked>
  close(): Promise<void>
}

export type InternalClientInput = {
  readonly token: string
  /** Most bytes of one answer. */
  readonly maxBytes: number
}

const connectMs = 2_000

export function internalClient({ token, maxBytes }: InternalClientInput): InternalClient {
  const agent = new Agent({ connect: { timeout: connectMs }, maxResponseSize: maxBytes })
  const headers = { 'content-type': 'application/json', authorization: bearer(token) }
  return {
    async post(url, json, { withinMs }) {
      if (!URL.canParse(url)) return { ok: false, kind: 'not_sent', reason: `${url} is no address` }
      const { origin, pathname, search } = new URL(url)
      try {
        const { statusCode, body } = await agent.request({
          origin,
          path: pathname + search,
          method: 'POST',
          headers,
          body: json,
          signal: AbortSignal.timeout(withinMs),
        })
        return read(statusCode, await body.text())
      } catch (error) {
        return failed(error, withinMs)
      }
    },
    close: () => agent.destroy(),
  }
}

function read(status: number, text: string): Asked {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return { ok: false, kind: 'refused', status, reason: `status ${status}, and no JSON` }
  }
  if (status === 200) return { ok: true, value }
  const message = (value as { message?: unknown } | null)?.message
  return {
    ok: false,
    kind: 'refused',
    status,
    reason: `status ${status}: ${typeof message === 'string' ? message : text}`,
  }
}

function failed(error: unknown, withinMs: number): Asked {
  const { name, code, message } = error as { name?: string; code?: string; message?: string }
  if (name === 'TimeoutError') return { ok: false, kind: 'lost', reason: `no answer within ${withinMs} ms` }
  const kind = error instanceof errors.ConnectTimeoutError || neverConnected(error) ? 'not_sent' : 'lost'
  return { ok: false, kind, reason: message || code || String(error) }
}

/** By what was being done: the same codes also end connections on which something was sent. */
function neverConnected(error: unknown): boolean {
  const { syscall, errors: several } = error as { syscall?: string; errors?: unknown }
  if (Array.isArray(several)) return several.length > 0 && several.every(neverConnected)
  return syscall === 'connect' || syscall === 'getaddrinfo'
}
