/**
 * A ClickHouse over HTTP for development and tests, on machines that have no ClickHouse server: the engine in this
 * process (chDB) behind as much of ClickHouse's HTTP interface as Holdfast uses. So two audit processes can share one
 * history, which the engine alone does not allow: one process owns a folder.
 *
 * NOT for production: no users (everybody may do everything), loopback only, at most four statements at a time (Node's
 * thread pool), answers and inserts held in memory whole. Durable as the embedded history is: what was acknowledged
 * with `fsync_after_insert` survives `kill -9`; an insert that was not may be there in part.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Logger } from 'pino'
import { openChdb } from '../../../shared/clickhouse/chdb.ts'
import { migrateAsOwner } from '../../../shared/clickhouse/connect.ts'
import { failure, isFailure } from './failure.ts'
import { createProcesses } from './processes.ts'
import { readRequest } from './request.ts'
import { respondAnswer, respondFailure, respondPlain } from './respond.ts'
import { run, type RunDeps } from './run.ts'

export type LocalClickhouse = {
  readonly url: string
  /** Answers what runs, then closes the engine. Safe to call twice. */
  stop(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

export type LocalInput = {
  readonly dataDir: string
  /** 0 for any free one. */
  readonly port: number
  readonly log: Pick<Logger, 'info' | 'error'>
}

/**
 * Brings its tables itself: whoever starts it owns them.
 * @throws ConfigError when another process holds the folder or the platform has no engine; the port in use as Node's own error
 */
export async function startLocalClickhouse({ dataDir, port, log }: LocalInput): Promise<LocalClickhouse> {
  await migrateAsOwner(dataDir)
  const engine = await openChdb(dataDir, 'owner')
  const deps = { engine, processes: createProcesses() }
  const server = createServer((message, response) => {
    route(deps, message, response).catch((error: unknown) => {
      log.error({ err: error }, 'a request failed')
      if (response.headersSent) response.destroy()
      else respondFailure(response, undefined, failure(1002, 'Internal error.', 'UNKNOWN_EXCEPTION'))
    })
  })
  try {
    await listen(server, port)
  } catch (error) {
    await engine.close()
    throw error
  }
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  log.info({ url, dataDir }, 'local ClickHouse is ready: for development only, everybody may do everything')
  const close = async () => {
    await closeServer(server)
    await engine.close()
  }
  let stopped: Promise<void> | undefined
  const stop = () => (stopped ??= close())
  return { url, stop, [Symbol.asyncDispose]: stop }
}

const listen = (server: Server, port: number) =>
  new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', resolve)
  })

const closeServer = (server: Server) =>
  new Promise<void>(resolve => {
    server.close(() => resolve())
    server.closeIdleConnections()
  })

async function route(deps: RunDeps, message: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(message.url ?? '/', 'http://clickhouse.invalid')
  if (url.pathname === '/ping' || url.pathname === '/replicas_status') return respondPlain(response, 200, 'Ok.\n')
  if (url.pathname !== '/') return respondPlain(response, 404, `There is no handle ${url.pathname}.\n`)
  const request = await readRequest(message, url)
  if (isFailure(request)) return respondFailure(response, undefined, request)
  if (request.sql.trim() === '') {
    if (message.method === 'GET') return respondPlain(response, 200, 'Ok.\n')
    return respondFailure(response, request.queryId, failure(62, 'Syntax error: Empty query.', 'SYNTAX_ERROR'))
  }
  const answer = await run(deps, request)
  if (isFailure(answer)) return respondFailure(response, request.queryId, answer)
  return respondAnswer(response, request, answer)
}
