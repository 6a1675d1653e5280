/**
 * `/metrics`, for whichever HTTP server a service has. No secret is in it, but names of servers and tools are, which an
 * agent may not be allowed to see: open on loopback only, elsewhere behind the token that the services share.
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import type { Metrics } from './metrics.ts'

export type ExpositionAnswer = {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** @param authorization the request's header of that name */
export type Exposition = (authorization: string | undefined) => Promise<ExpositionAnswer>

const loopback = ['127.0.0.1', '::1', 'localhost']
const text = { 'content-type': 'text/plain; charset=utf-8' }

export function createExposition(
  metrics: Metrics,
  { host, token }: { readonly host: string; readonly token: string | undefined },
): Exposition {
  const isOpen = loopback.includes(host)
  return async authorization => {
    if (!isOpen && !(token !== undefined && isBearer(authorization, token))) {
      const body = 'Send Authorization: Bearer <HOLDFAST_INTERNAL_TOKEN>: metrics are open on loopback only.\n'
      return { status: 401, headers: { ...text, 'www-authenticate': 'Bearer realm="holdfast-metrics"' }, body }
    }
    return { status: 200, headers: { 'content-type': metrics.contentType }, body: await metrics.text() }
  }
}

function isBearer(authorization: string | undefined, token: string): boolean {
  const shown = /^bearer +(\S+) *$/i.exec(authorization ?? '')?.[1]
  return shown !== undefined && timingSafeEqual(hash(shown), hash(token))
}

const hash = (secret: string) => createHash('sha256').update(secret).digest()
