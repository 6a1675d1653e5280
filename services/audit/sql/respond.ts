/** Answers in the shape of ClickHouse's HTTP interface. */
import type { ServerResponse } from 'node:http'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import { contentTypeOf } from '../../../shared/clickhouse/wire.ts'
import type { WireError } from './refusal.ts'
import type { SqlRequest } from './request.ts'
import type { Answer } from './run.ts'

/** The whole answer is in memory (the reader bounds it), so status and headers are always true. */
export async function respondAnswer(response: ServerResponse, request: SqlRequest, answer: Answer): Promise<void> {
  const body = request.gzip ? await promisify(gzip)(answer.bytes) : answer.bytes
  response.writeHead(200, {
    'content-type': contentTypeOf(answer.format),
    'content-length': body.byteLength,
    ...(request.gzip ? { 'content-encoding': 'gzip' } : {}),
    'x-clickhouse-server-display-name': 'holdfast',
    'x-clickhouse-query-id': request.queryId,
    'x-clickhouse-format': answer.format,
    'x-clickhouse-timezone': 'UTC',
    'x-clickhouse-summary': summary(answer),
  })
  response.end(body)
}

export function respondError(response: ServerResponse, queryId: string | undefined, error: WireError): void {
  const body = Buffer.from(error.text)
  response.writeHead(error.http, {
    'content-type': 'text/plain; charset=UTF-8',
    'content-length': body.byteLength,
    'x-clickhouse-server-display-name': 'holdfast',
    ...(queryId === undefined ? {} : { 'x-clickhouse-query-id': queryId }),
    'x-clickhouse-exception-code': String(error.code),
    ...(error.http === 401 ? { 'www-authenticate': 'Basic realm="holdfast history"' } : {}),
    // A body that was too large is not read to its end: the connection cannot carry another request.
    ...(error.http === 413 ? { connection: 'close' } : {}),
  })
  response.end(body)
}

function summary({ rowsRead, bytesRead, bytes, elapsedSeconds }: Answer): string {
  return JSON.stringify({
    read_rows: String(rowsRead),
    read_bytes: String(bytesRead),
    written_rows: '0',
    written_bytes: '0',
    total_rows_to_read: '0',
    result_rows: '0',
    result_bytes: String(bytes.byteLength),
    elapsed_ns: String(Math.round(elapsedSeconds * 1e9)),
  })
}
