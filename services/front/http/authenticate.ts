import type { FastifyReply, FastifyRequest } from 'fastify'
import { InvariantError } from '../../../shared/errors.ts'
import type { Authenticate, Identity, Log } from '../deps.ts'
import { sendProblem } from './problem.ts'

/** The API key of a request: `Authorization: Bearer …`, else `X-API-Key`. */
export function keyOfRequest(headers: FastifyRequest['headers']): string | undefined {
  const bearer = /^bearer +(\S+) *$/i.exec(headers.authorization ?? '')?.[1]
  const other = headers['x-api-key']
  return bearer ?? (typeof other === 'string' && other !== '' ? other : undefined)
}

const identities = new WeakMap<FastifyRequest, Identity>()

/** Who asks, on a route that authenticates. */
export function identityOf(request: FastifyRequest): Identity {
  const identity = identities.get(request)
  if (identity === undefined) throw new InvariantError('this route does not authenticate')
  return identity
}

/** An `onRequest` hook: it runs before a body is read, so strangers cannot make a front hold theirs. */
export const authenticating = (deps: Deps) => async (request: FastifyRequest, reply: FastifyReply) => {
  const identity = await identify(deps, request, reply)
  if (identity === undefined) return reply
  identities.set(request, identity)
}

type Deps = { readonly authenticate: Authenticate; readonly log: Log }

/** Undefined when that was answered with 401, or 503 where it cannot be told now. */
async function identify(
  { authenticate, log }: Deps,
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
    sendProblem(reply, 'auth_unavailable')
    return undefined
  }
}
