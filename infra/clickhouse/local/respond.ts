/** Answers in the shape of ClickHouse's HTTP interface. */
import type { ServerResponse } from 'node:http'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import { contentTypeOf } from '../../../shared/clickhouse/wire.ts'
import type { Failure } from './failure.ts'
import type { LocalRequest } from './request.ts'
import type { Answer } from './run.ts'

const displayName = 'holdfast-local'

/** The summary says what chDB tells; it tells no written rows. */
export async function respondAnswer(response: ServerResponse, request: LocalRequest, answer: Answer): Promise<void> {
  const body = request.gzip ? await promisify(gzip)(answer.bytes) : answer.bytes
  response.writeHead(200, {
    'content-type': contentTypeOf(answer.format),
    'content-length': body.byteLength,
    ...(request.gzip ? { 'content-encoding': 'gzip' } : {}),
    'x-clickhouse-server-display-name': displayName,
    'x-clickhouse-query-id': request.queryId,
    'x-clickhouse-format': answer.format,
    'x-clickhouse-timezone': 'UTC',
    'x-clickhouse-summary': JSON.stringify({
      read_rows: String(answer.rowsRead),
      read_bytes: String(answer.bytesRead),
      elapsed_ns: String(Math.round(answer.elapsedSeconds * 1e9)),
    }),
  })
  response.end(body)
}

export function respondFailure(response: ServerResponse, queryId: string | undefined, { status, code, text }: Failure) {
  const body = Buffer.from(text)
  response.writeHead(status, {
    'content-type': 'text/plain; charset=UTF-8',
    'content-length': body.byteLength,
    'x-clickhouse-server-display-name': displayName,
    ...(queryId === undefined ? {} : { 'x-clickhouse-query-id': queryId }),
    'x-clickhouse-exception-code': String(code),
    // A body that was too large is not read to its end: the connection cannot carry another request.
    ...(code === 307 ? { connection: 'close' } : {}),
  })
  response.end(body)
}

export function respondPlain(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=UTF-8', 'content-length': Buffer.byteLength(text) })
  response.end(text)
}
