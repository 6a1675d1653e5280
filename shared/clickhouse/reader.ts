/**
 * Connections for SQL that others wrote: read-only, one tenant, bounded in time, memory and size of the answer.
 *
 * Order matters: limits and the tenant are set first, `readonly = 1` last, and after it none of them can be changed by
 * the query. That does not make every statement harmless (`INTO OUTFILE` and `file()` work under it): who runs a
 * statement here has judged it first, see `services/audit/sql/guard.ts`.
 */
import { createReadStream } from 'node:fs'
import { rm } from 'node:fs/promises'
import type { Session } from 'chdb'
import { InvariantError, UnavailableError } from '../errors.ts'
import { type ChdbEngine, everyTenant, tenantTables } from './chdb.ts'
import { literal } from './literal.ts'

export type ReadLimits = {
  readonly seconds: number
  readonly memoryBytes: number
  readonly resultRows: number
  /** Of the answer in memory; the engine refuses a larger one, so it can be sent whole. */
  readonly resultBytes: number
}

export type ReaderOptions = {
  readonly tenant: string
  readonly limits: ReadLimits
  /** Query parameters as ClickHouse's HTTP interface takes them: `{name:Type}` in the SQL, the value in its escaped text form. */
  readonly parameters: ReadonlyMap<string, string>
  /** Settings of the caller; names and values already checked. They come before the limits and cannot lift them. */
  readonly settings: ReadonlyMap<string, string>
}

export type ReadResult = {
  readonly bytes: Uint8Array
  readonly elapsedSeconds: number
  readonly rowsRead: number
  readonly bytesRead: number
}

export type Reader = {
  /**
   * Runs one statement; a FORMAT in it wins over `format`.
   * @throws Error whose message is ClickHouse's own: `Code: N. DB::Exception: ... (NAME)`
   * @throws UnavailableError when the server cannot be reached
   */
  run(sql: string, format: string): Promise<ReadResult>
  /**
   * The same for an answer of any size: it is read as it is taken, a block at a time. The limits of the answer's size
   * must be off. `Parquet` is one file, which the embedded engine makes whole on disk before its first byte comes.
   * @throws as `run`, also in the middle of an answer
   */
  stream(sql: string, format: string): AsyncIterable<Uint8Array>
  close(): void
}

function readerSettings({ tenant, limits, settings }: ReaderOptions): Map<string, string> {
  if (tenant === everyTenant || tenant === '') throw new InvariantError(`not a tenant: ${JSON.stringify(tenant)}`)
  return new Map([
    ...settings,
    ['max_execution_time', String(limits.seconds)],
    ['max_memory_usage', String(limits.memoryBytes)],
    ['max_result_rows', String(limits.resultRows)],
    ['max_result_bytes', String(limits.resultBytes)],
    ['result_overflow_mode', 'throw'],
    ['timeout_overflow_mode', 'throw'],
    ['max_threads', '2'],
    // A view over many calls spills to disk instead of running into its memory limit.
    ['max_bytes_before_external_group_by', String(Math.floor(limits.memoryBytes / 2))],
    ['allow_ddl', '0'],
    ['allow_introspection_functions', '0'],
    // Without it a bare word counts as a SELECT.
    ['implicit_select', '0'],
    ['session_timezone', 'UTC'],
    ['log_comment', tenant],
  ])
}

export async function openChdbReader(engine: ChdbEngine, options: ReaderOptions): Promise<Reader> {
  const settings = [...readerSettings(options)].map(([name, value]) => `${name} = ${literal(value)}`)
  const parameters = [...options.parameters].map(([name, value]) => `param_${name} = ${literal(value)}`)
  const session = engine.session()
  try {
    await session.queryAsync(
      ['USE holdfast', `SET ${[...settings, ...parameters].join(', ')}`, 'SET readonly = 1'].join('; '),
    )
  } catch (error) {
    session.close()
    throw error
  }
  return {
    run: (sql, format) => runOnChdb(session, sql, format),
    stream: (sql, format) =>
      format === 'Parquet' ? streamFile(engine, session, { sql, format }) : streamOnChdb(session, sql, format),
    close: () => session.close(),
  }
}

async function* streamOnChdb(session: Session, sql: string, format: string): AsyncGenerator<Uint8Array> {
  for await (const chunk of session.queryStream(sql, { format })) yield chunk.raw()
}

/** Chunks of the engine's stream are files of their own in this format, so the engine writes one beside its data. */
async function* streamFile(
  { temporaryFile }: ChdbEngine,
  session: Session,
  { sql, format }: { sql: string; format: string },
): AsyncGenerator<Uint8Array> {
  const path = temporaryFile()
  try {
    await session.queryAsync(`${sql} INTO OUTFILE ${literal(path)} FORMAT ${format}`)
    yield* createReadStream(path) as AsyncIterable<Uint8Array>
  } finally {
    await rm(path, { force: true })
  }
}

async function runOnChdb(session: Session, sql: string, format: string): Promise<ReadResult> {
  const result = await session.queryAsync(sql, { format })
  return {
    bytes: result.bytes(),
    elapsedSeconds: result.elapsed,
    rowsRead: result.rowsRead,
    bytesRead: result.bytesRead,
  }
}

/**
 * The tenant's rows on a server, whose users are not ours to configure. Weaker than the row policy of the embedded
 * engine (`chdb.ts`), which is why PREWHERE and table functions must never come this far. The two cannot be combined:
 * engine 26.7 then fails with NOT_FOUND_COLUMN_IN_BLOCK where `tenant` is not selected.
 */
const tenantFilters = (tenant: string) =>
  `{${tenantTables.map(table => `'holdfast.${table}': ${literal(`tenant in (${literal(tenant)}, '')`)}`).join(', ')}}`

/** On a server the settings travel with every request; there is no session to keep. */
export async function openServerReader(serverUrl: string, options: ReaderOptions): Promise<Reader> {
  const url = new URL(serverUrl)
  const headers = { authorization: `Basic ${Buffer.from(credentials(url)).toString('base64')}` }
  url.username = ''
  url.password = ''
  url.pathname = '/'
  for (const [name, value] of readerSettings(options)) url.searchParams.set(name, value)
  for (const [name, value] of options.parameters) url.searchParams.set(`param_${name}`, value)
  url.searchParams.set('additional_table_filters', tenantFilters(options.tenant))
  // Conditions are evaluated after the tenant's filter, so that their errors cannot show other rows.
  url.searchParams.set('optimize_move_to_prewhere', '0')
  url.searchParams.set('query_plan_merge_filters', '0')
  url.searchParams.set('database', 'holdfast')
  url.searchParams.set('readonly', '1')
  url.searchParams.set('wait_end_of_query', '1')
  const aborts = new AbortController()
  return {
    run: (sql, format) => runOnServer({ url, headers, signal: aborts.signal }, sql, format),
    stream: (sql, format) => streamOnServer({ url, headers, signal: aborts.signal }, sql, format),
    close: () => aborts.abort(),
  }
}

const credentials = (url: URL) => `${decodeURIComponent(url.username || 'default')}:${decodeURIComponent(url.password)}`

type ServerRequest = { readonly url: URL; readonly headers: Record<string, string>; readonly signal: AbortSignal }

async function send({ url, headers, signal }: ServerRequest, sql: string): Promise<Response> {
  return fetch(url, { method: 'POST', body: sql, headers, signal }).catch((error: unknown) => {
    throw new UnavailableError('clickhouse', 'ClickHouse does not answer.', { cause: error })
  })
}

/** An error in the middle ends the connection before the last chunk, so a short answer is never taken for a whole one. */
async function* streamOnServer(request: ServerRequest, sql: string, format: string): AsyncGenerator<Uint8Array> {
  const url = new URL(request.url)
  url.searchParams.set('default_format', format)
  url.searchParams.delete('wait_end_of_query')
  const response = await send({ ...request, url }, sql)
  if (!response.ok) throw new Error(await response.text())
  if (response.body) yield* response.body as AsyncIterable<Uint8Array>
}

async function runOnServer(request: ServerRequest, sql: string, format: string): Promise<ReadResult> {
  const url = new URL(request.url)
  url.searchParams.set('default_format', format)
  const response = await send({ ...request, url }, sql)
  const bytes = new Uint8Array(await response.arrayBuffer())
  if (!response.ok) throw new Error(new TextDecoder().decode(bytes))
  const summary = JSON.parse(response.headers.get('x-clickhouse-summary') ?? '{}') as Record<string, string>
  return {
    bytes,
    elapsedSeconds: Number(summary['elapsed_ns'] ?? 0) / 1e9,
    rowsRead: Number(summary['read_rows'] ?? 0),
    bytesRead: Number(summary['read_bytes'] ?? 0),
  }
}
