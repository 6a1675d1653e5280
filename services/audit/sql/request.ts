/** A request for SQL, read from HTTP as ClickHouse reads it: statement in `?query=`, in the body, or both in that order. */
import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import { isRefusal, type Refusal, refuse } from './refusal.ts'

export type SqlRequest = {
  readonly sql: string
  readonly parameters: ReadonlyMap<string, string>
  readonly settings: ReadonlyMap<string, string>
  readonly defaultFormat: string
  /** Of the Native format; 0 when the client names none. */
  readonly protocolVersion: number
  readonly queryId: string
  readonly gzip: boolean
}

/** As ClickHouse's `max_query_size`. */
const maxSqlBytes = 262_144

/** Parameters of the HTTP interface itself; they change nothing about what is read. */
const httpParameters = new Set([
  'query',
  'query_id',
  'default_format',
  'database',
  'user',
  'password',
  'quota_key',
  'client_protocol_version',
  'wait_end_of_query',
  'buffer_size',
  'send_progress_in_http_headers',
  'http_headers_progress_interval_ms',
  'http_send_progress_interval_ms',
  'http_response_buffer_size',
  'enable_http_compression',
  'http_zlib_compression_level',
  'http_write_exception_in_output_format',
  'cancel_http_readonly_queries_on_client_close',
  'add_http_cors_header',
  'log_queries',
  'readonly',
  'session_timeout',
  'close_session',
  // Our own limits hold whatever is asked for; clients send these on every request.
  'max_execution_time',
  'max_result_rows',
  'max_result_bytes',
  'result_overflow_mode',
  'max_block_size',
  'max_threads',
  'max_memory_usage',
])

/** Settings of the caller that are passed on: they shape the answer's text and no more. */
const passedSettings =
  /^(?:output_format_(?:json|csv|tsv|pretty|native|decimal)_\w+|output_format_write_statistics|date_time_output_format|bool_true_representation|bool_false_representation|format_csv_delimiter|extremes|limit|offset)$/

/** @returns the request, or why it cannot be read */
export async function readSqlRequest(message: IncomingMessage, url: URL): Promise<SqlRequest | Refusal> {
  const body = await readBody(message)
  if (typeof body !== 'string') return body
  const database = url.searchParams.get('database') ?? message.headers['x-clickhouse-database'] ?? 'holdfast'
  if (database !== 'holdfast' && database !== 'default' && database !== '') {
    return refuse('UNKNOWN_DATABASE', 'The history is the database holdfast.')
  }
  const options = readOptions(url.searchParams)
  if (isRefusal(options)) return options
  const sql = [url.searchParams.get('query') ?? '', body].filter(part => part !== '').join('\n')
  if (Buffer.byteLength(sql) > maxSqlBytes)
    return refuse('QUERY_IS_TOO_LARGE', `A statement has at most ${maxSqlBytes} bytes.`)
  const defaultFormat =
    url.searchParams.get('default_format') ?? header(message, 'x-clickhouse-format') ?? 'TabSeparated'
  if (!/^\w{1,64}$/.test(defaultFormat)) return refuse('BAD_ARGUMENTS', 'default_format is not the name of a format.')
  return {
    sql,
    ...options,
    defaultFormat,
    protocolVersion: Number(/^\d{1,6}$/.exec(url.searchParams.get('client_protocol_version') ?? '')?.[0] ?? 0),
    queryId: (url.searchParams.get('query_id') ?? '').replace(/[^\w.:/-]/g, '').slice(0, 128) || randomUUID(),
    gzip:
      /^(?:1|true)$/.test(url.searchParams.get('enable_http_compression') ?? '') &&
      /\bgzip\b/.test(header(message, 'accept-encoding') ?? ''),
  }
}

function readOptions(search: URLSearchParams): Pick<SqlRequest, 'parameters' | 'settings'> | Refusal {
  const parameters = new Map<string, string>()
  const settings = new Map<string, string>()
  for (const [name, value] of search) {
    if (httpParameters.has(name)) continue
    const parameter = /^param_([A-Za-z_]\w{0,127})$/.exec(name)?.[1]
    if (parameter !== undefined && !value.includes('\0')) parameters.set(parameter, value)
    else if (passedSettings.test(name) && /^[\w .,;-]{0,64}$/.test(value)) settings.set(name, value)
    else if (name === 'compress' && value === '0') continue
    else
      return refuse(
        'UNKNOWN_SETTING',
        `${name.slice(0, 64)} cannot be set here: the limits of this endpoint are fixed.`,
      )
  }
  return { parameters, settings }
}

async function readBody(message: IncomingMessage): Promise<string | Refusal> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of message as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > maxSqlBytes) return refuse('QUERY_IS_TOO_LARGE', `A statement has at most ${maxSqlBytes} bytes.`)
    chunks.push(chunk)
  }
  const raw = Buffer.concat(chunks)
  const encoding = header(message, 'content-encoding') ?? 'identity'
  if (encoding === 'identity') return raw.toString('utf8')
  if (encoding !== 'gzip')
    return refuse('BAD_ARGUMENTS', 'Send the statement uncompressed or with Content-Encoding: gzip.')
  try {
    return (await promisify(gunzip)(raw, { maxOutputLength: maxSqlBytes })).toString('utf8')
  } catch {
    return refuse('BAD_ARGUMENTS', `The body is not gzip of at most ${maxSqlBytes} bytes.`)
  }
}

const header = (message: IncomingMessage, name: string): string | undefined => {
  const value = message.headers[name]
  return Array.isArray(value) ? value[0] : value
}
