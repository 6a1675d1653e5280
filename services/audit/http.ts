/** What the audit service answers over HTTP: `/` speaks ClickHouse's interface, `/ping` needs no key. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Handler } from '../../shared/internal/listener.ts'
import { type ExportDeps, serveExport } from './export/http.ts'
import type { Log } from './log.ts'
import { isRefusal, type Refusal, refusalToWire, refuse } from './sql/refusal.ts'
import { type Read, type ReadsDeps, recordRead } from './sql/reads.ts'
import { readSqlRequest } from './sql/request.ts'
import { respondAnswer, respondError } from './sql/respond.ts'
import { type Authenticate, authorize, type RunDeps, runSql } from './sql/run.ts'
import { secretOf } from './sql/secret.ts'

export type HttpDeps = RunDeps & ExportDeps & ReadsDeps & { readonly authenticate: Authenticate; readonly log: Log }

export const sqlHandler =
  (deps: HttpDeps): Handler =>
  (message, response) => {
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
  }

async function route(deps: HttpDeps, message: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(message.url ?? '/', 'http://history.invalid')
  if (url.pathname === '/ping') return plain(response, 200, 'Ok.\n')
  if (url.pathname === '/export' && message.method === 'GET') return exported(deps, { message, response, url })
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
  const startedAt = performance.now()
  const answer = await runSql(deps, reading.tenant, request)
  const outcome =
    'http' in answer ? { refused: answer.text } : { rows: answer.rowsRead, bytes: answer.bytes.byteLength }
  const unrecorded = await recordRead(deps, { reading, message, statement: request.sql, startedAt, outcome })
  if (unrecorded !== undefined) return respondError(response, request.queryId, refusalToWire(unrecorded))
  if ('http' in answer) return respondError(response, request.queryId, answer)
  return respondAnswer(response, request, answer)
}

async function exported(
  deps: HttpDeps,
  { message, response, url }: { message: IncomingMessage; response: ServerResponse; url: URL },
): Promise<void> {
  const reading = await authorize(deps.authenticate, secretOf(message, url))
  if (isRefusal(reading)) return respondError(response, undefined, refusalToWire(reading))
  // Before it begins: what was sent of a stream that breaks off was read all the same.
  // Not the whole address: a client may put its key there.
  const asked = ['format', 'from', 'to'].map(name => `${name}=${(url.searchParams.get(name) ?? '').slice(0, 64)}`)
  const statement = `EXPORT ${asked.join(' ')}`
  const read: Read = { reading, message, statement, startedAt: performance.now(), outcome: {} }
  const unrecorded = await recordRead(deps, read)
  if (unrecorded !== undefined) return respondError(response, undefined, refusalToWire(unrecorded))
  return serveExport(deps, { tenant: reading.tenant, url, response })
}

function plain(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=UTF-8', 'content-length': Buffer.byteLength(text) })
  response.end(text)
}
