/** The audit service's HTTP server: `/` speaks ClickHouse's interface, `/ping`, `/livez` and `/readyz` need no key. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Exposition } from '../../shared/telemetry/exposition.ts'
import type { Log } from './log.ts'
import { isRefusal, type Refusal, refusalToWire, refuse } from './sql/refusal.ts'
import { readSqlRequest } from './sql/request.ts'
import { respondAnswer, respondError } from './sql/respond.ts'
import { type Authenticate, authorize, type RunDeps, runSql } from './sql/run.ts'
import { secretOf } from './sql/secret.ts'

export type HttpDeps = RunDeps & {
  readonly authenticate: Authenticate
  /** Resolves when the service can do its work; its rejection is what `/readyz` says. */
  readonly ready: () => Promise<void>
  readonly log: Log
  /** Answers `/metrics`. */
  readonly exposition?: Exposition | undefined
}

export type HttpServer = { readonly url: string; close(): Promise<void> }

/** @param port 0 for any free one */
export async function startHttp(deps: HttpDeps, { host, port }: { host: string; port: number }): Promise<HttpServer> {
  const server = createServer((message, response) => {
    route(deps, message, response).catch((error: unknown) => {
      deps.log.error({ err: error }, 'a request to the history failed')
      if (response.headersSent) response.destroy()
      else
        respondError(response, undefined, {
          http: 500,
          code: 1002,
          text: 'Code: 1002. DB::Exception: Internal error. (UNKNOWN_EXCEPTION)\n',
        })
    })
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, resolve)
  })
  const address = server.address() as AddressInfo
  return {
    url: `http://${address.family === 'IPv6' ? `[${address.address}]` : address.address}:${address.port}`,
    close: () => closeServer(server),
  }
}

/** Idle connections end at once, busy ones when their query has ended: the reader's time limit bounds that. */
async function closeServer(server: Server): Promise<void> {
  await new Promise<void>(resolve => {
    server.close(() => resolve())
    server.closeIdleConnections()
  })
}

async function route(deps: HttpDeps, message: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(message.url ?? '/', 'http://history.invalid')
  if (url.pathname === '/ping') return plain(response, 200, 'Ok.\n')
  if (url.pathname === '/livez') return plain(response, 200, 'live\n')
  if (url.pathname === '/readyz') return readyz(deps, response)
  if (url.pathname === '/metrics' && deps.exposition !== undefined) return metrics(deps.exposition, message, response)
  if (url.pathname !== '/') return plain(response, 404, `There is no handle ${url.pathname}: send SQL to /.\n`)
  if (message.method !== 'GET' && message.method !== 'POST') return plain(response, 405, 'Send SQL with GET or POST.\n')
  return sql(deps, { message, response, url })
}

async function sql(
  deps: HttpDeps,
  { message, response, url }: { message: IncomingMessage; response: ServerResponse; url: URL },
): Promise<void> {
  const refused = (refusal: Refusal) => respondError(response, undefined, refusalToWire(refusal))
  const reading = await authorize(deps.authenticate, secretOf(message, url))
  if (isRefusal(reading)) return refused(reading)
  const request = await readSqlRequest(message, url)
  if (isRefusal(request)) return refused(request)
  // A GET without a statement is what ClickHouse answers with Ok.
  if (request.sql.trim() === '' && message.method === 'GET') return plain(response, 200, 'Ok.\n')
  if (request.sql.trim() === '')
    return refused(refuse('SYNTAX_ERROR', 'Send one SQL statement, such as: SELECT * FROM holdfast.calls LIMIT 10.'))
  const answer = await runSql(deps, reading.tenant, request)
  if ('http' in answer) return respondError(response, request.queryId, answer)
  return respondAnswer(response, request, answer)
}

async function readyz(deps: HttpDeps, response: ServerResponse): Promise<void> {
  try {
    await deps.ready()
    plain(response, 200, 'ready\n')
  } catch (error) {
    plain(response, 503, `${error instanceof Error ? error.message : 'not ready'}\n`)
  }
}

async function metrics(exposition: Exposition, message: IncomingMessage, response: ServerResponse): Promise<void> {
  const { status, headers, body } = await exposition(message.headers.authorization)
  response.writeHead(status, headers).end(body)
}

function plain(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=UTF-8', 'content-length': Buffer.byteLength(text) })
  response.end(text)
}
