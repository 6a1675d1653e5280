import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Authenticate, Identity, Log } from '../deps.ts'
import { sendProblem } from './problem.ts'

/** The API key of a request: `Authorization: Bearer …`, else `X-API-Key`. */
export function keyOfRequest(headers: FastifyRequest['headers']): string | undefined {
  const bearer = /^bearer +(\S+) *$/i.exec(headers.authorization ?? '')?.[1]
  const other = headers['x-api-key']
  return bearer ?? (typeof other === 'string' && other !== '' ? other : undefined)
}

/** Who asks; undefined when that was answered with 401, or 503 where it cannot be told now. */
export async function identify(
  { authenticate, log }: { authenticate: Authenticate; log: Log },
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<Identity | undefined> {
  const secret = keyOfRequest(request.headers)
  try {
    const identity = secret === undefined ? undefined : await authenticate(secret)
    if (identity === undefined) sendProblem(reply, 'unauthorized')
    return identity
  } catch (error) {
    log.warn({ err: error }, 'an API key could not be checked')
    sendProblem(reply, 'outcome_unavailable', 'API keys cannot be checked now; nothing was accepted.')
    return undefined
  }
}
