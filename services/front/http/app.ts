/**
 * The HTTP face: who may connect, which paths there are, and that whatever arrives gets an answer in JSON. Bodies stay
 * bytes until a route reads them.
 */
import { localhostAllowedOrigins, validateOriginHeader } from '@modelcontextprotocol/server'
import Fastify, { type FastifyError, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import type { Json } from '../../../shared/call/fingerprint.ts'
import type { Authenticate } from '../deps.ts'
import type { Endpoint, EndpointDeps } from '../mcp/endpoint.ts'
import { type Answered, askOutcome, askReport } from '../outcome/answer.ts'
import { askUnknowns, resolve } from '../unknowns/answer.ts'
import { authenticating, identityOf } from './authenticate.ts'
import { sendProblem } from './problem.ts'

export type AppDeps = EndpointDeps & {
  readonly endpoint: Endpoint
  readonly authenticate: Authenticate
  /** Bound to this machine only: pages of other sites may not call it. */
  readonly loopback: boolean
}

export function createApp(deps: AppDeps): FastifyInstance {
  const app = Fastify({
    // Longer than clients keep idle connections (Codex 90 s): one that is closed while a call is sent on it loses the call.
    keepAliveTimeout: 100_000,
    bodyLimit: deps.settings.bodyBytes,
    // A key has up to 255 characters, each up to three when encoded.
    routerOptions: { maxParamLength: 1024 },
  })
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
  app.addHook('onRequest', async (request, reply) => guard(deps, request, reply))
  app.addHook('onResponse', async (request, reply) => measure(deps, request, reply))
  app.setNotFoundHandler((_request, reply) => sendProblem(reply, 'route_not_found'))
  app.setErrorHandler((error: FastifyError, request, reply) => sendError(deps, error, request, reply))

  const authenticated = { onRequest: authenticating(deps) }
  for (const path of ['/mcp', '/mcp/:server']) {
    app.post(path, authenticated, async (request, reply) => postMcp(deps, request, reply))
    app.delete(path, authenticated, async (request, reply) => deleteSession(deps, request, reply))
    app.get(path, async (_request, reply) => notAllowed(reply))
  }
  app.get('/v1/outcomes', authenticated, async (request, reply) => getOutcome(deps, request, reply))
  app.get('/v1/outcomes/:server/:key', authenticated, async (request, reply) => getOutcome(deps, request, reply))
  app.get('/v1/unknowns', authenticated, async (request, reply) => getUnknowns(deps, request, reply))
  app.post('/v1/unknowns/:callId/resolve', authenticated, async (request, reply) => postResolve(deps, request, reply))
  app.get('/v1/report', authenticated, async (request, reply) => getReport(deps, request, reply))
  return app
}

async function guard({ loopback }: AppDeps, { headers }: FastifyRequest, reply: FastifyReply) {
  if (!loopback) return
  const origin = validateOriginHeader(headers.origin, localhostAllowedOrigins())
  if (!origin.ok) return sendProblem(reply, 'origin_refused', origin.message)
}

function sendError({ log }: AppDeps, error: FastifyError, request: FastifyRequest, reply: FastifyReply) {
  if (error.statusCode === 413) return sendProblem(reply, 'too_large', 'The body is larger than limits.bodyBytes.')
  if (error.statusCode !== undefined && error.statusCode < 500) return sendProblem(reply, 'bad_request', error.message)
  log.error({ err: error, path: request.routeOptions.url }, 'a request failed inside Holdfast')
  return reply.code(500).send({
    code: 'internal',
    message: 'Holdfast failed on this request. A write may have been accepted: ask holdfast_outcome.',
  })
}

const measure = ({ telemetry }: AppDeps, request: FastifyRequest, reply: FastifyReply) =>
  telemetry.http({
    method: request.method,
    route: request.routeOptions.url ?? 'none',
    status: reply.raw.statusCode,
    durationMs: reply.elapsedTime,
  })

type Params = { readonly server?: string; readonly key?: string }

async function postMcp(deps: AppDeps, request: FastifyRequest, reply: FastifyReply) {
  const route = knownRoute(deps, request)
  if (route === 'unknown') return sendProblem(reply, 'route_not_found', 'There is no such server here.')
  const body = decode(request.body)
  reply.hijack()
  try {
    await deps.endpoint.post({
      response: reply.raw,
      headers: request.headers,
      body: body ?? '',
      identity: identityOf(request),
      route: route.server,
      origin: request.headers.origin ?? request.ip,
    })
  } catch (error) {
    deps.log.error({ err: error }, 'an MCP request failed inside Holdfast')
    endBroken(reply)
  }
  return reply
}

/** Our own code broke: a client must not wait for ever, and must not take this for a refusal. */
function endBroken({ raw }: FastifyReply): void {
  if (raw.headersSent) return void raw.end()
  const error = { code: -32603, message: 'Internal error. A write may have been accepted: ask holdfast_outcome.' }
  raw.writeHead(500, { 'content-type': 'application/json' }).end(JSON.stringify({ jsonrpc: '2.0', id: null, error }))
}

function knownRoute({ settings }: AppDeps, request: FastifyRequest): { server: string | undefined } | 'unknown' {
  const { server } = request.params as Params
  return server === undefined || settings.servers.includes(server) ? { server } : 'unknown'
}

/** Undefined for what is no UTF-8: it is no JSON either. */
function decode(body: unknown): string | undefined {
  try {
    return Buffer.isBuffer(body) ? new TextDecoder('utf-8', { fatal: true }).decode(body) : undefined
  } catch {
    return undefined
  }
}

const notAllowed = (reply: FastifyReply) =>
  reply.code(405).header('allow', 'POST').send({ code: 'bad_request', message: 'Only POST is served here.' })

/** A sealed session holds nothing here, so ending it is agreeing to. */
async function deleteSession(deps: AppDeps, request: FastifyRequest, reply: FastifyReply) {
  const sealed = request.headers['mcp-session-id']
  if (typeof sealed !== 'string') return notAllowed(reply)
  const session = deps.sessions.open(sealed, identityOf(request))
  return session === undefined ? sendProblem(reply, 'route_not_found', 'Session not found.') : reply.code(200).send()
}

async function getOutcome(deps: AppDeps, request: FastifyRequest, reply: FastifyReply) {
  const { server, key } = request.params as Params
  const input = { ...queryOf(request), ...(server !== undefined && { server }), ...(key !== undefined && { key }) }
  return sendAnswered(reply, await askOutcome(deps, askerOf(request), undefined, input))
}

async function getReport(deps: AppDeps, request: FastifyRequest, reply: FastifyReply) {
  return sendAnswered(reply, await askReport(deps, askerOf(request), queryOf(request)))
}

async function getUnknowns(deps: AppDeps, request: FastifyRequest, reply: FastifyReply) {
  return sendAnswered(reply, await askUnknowns(deps, identityOf(request), queryOf(request)))
}

async function postResolve(deps: AppDeps, request: FastifyRequest, reply: FastifyReply) {
  const { callId } = request.params as { callId: string }
  const { caller } = askerOf(request)
  return sendAnswered(reply, await resolve(deps, identityOf(request), { callId, body: decode(request.body), caller }))
}

const queryOf = ({ query }: FastifyRequest) => query as { readonly [name: string]: Json }

function askerOf(request: FastifyRequest) {
  const { tenant, keyspace, agent, credential } = identityOf(request)
  return { viewer: { tenant, keyspace }, caller: { agent, credential, origin: request.headers.origin ?? request.ip } }
}

function sendAnswered(reply: FastifyReply, answered: Answered) {
  if (!answered.ok) return sendProblem(reply, answered.code, answered.problem)
  const { http, text } = answered.rendered
  return reply.code(http).header('content-type', 'application/json').header('cache-control', 'no-store').send(text)
}
