/** A real history for tests: ClickHouse's engine in this process over a temporary folder, and ways to break it. */
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { openChdb } from '../../shared/clickhouse/chdb.ts'
import { type Clickhouse, connectClickhouse } from '../../shared/clickhouse/connect.ts'
import type { EventRow } from '../../shared/clickhouse/events.ts'
import { eventRecord, type HoldfastEvent } from '../../shared/events/event.ts'
import type { JournalRecord } from '../../shared/journal/port.ts'
import { parseEvent } from '../../services/audit/sink/row.ts'

export const silent = pino({ level: 'silent' })

/** A folder that goes with the test. */
export async function temporaryFolder(): Promise<{ path: string; [Symbol.asyncDispose](): Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), 'holdfast-history-'))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) }
}

export async function openHistory(path: string): Promise<Clickhouse & { [Symbol.asyncDispose](): Promise<void> }> {
  const clickhouse = await connectClickhouse({ path })
  return { ...clickhouse, [Symbol.asyncDispose]: () => clickhouse.close() }
}

export async function select<Row>(clickhouse: Clickhouse, query: string): Promise<Row[]> {
  return (await clickhouse.client.query({ query, format: 'JSONEachRow' })).json<Row>()
}

/** The event as the journal would hand it over. */
export const asRecord = (
  event: HoldfastEvent,
  place: { partition: number; offset: number; time?: number },
): JournalRecord => ({
  ...eventRecord(event),
  time: Date.parse(event.time),
  ...place,
})

export function rowOf(record: JournalRecord): EventRow {
  const parsed = parseEvent(record)
  if ('rejected' in parsed) throw new Error(parsed.rejected)
  return parsed.row
}

/** What the bridge does with the next request whose statement matches: nothing, or break the connection before or after the engine acts. */
export type Breakage = { readonly when: RegExp; readonly cut: 'before' | 'after' }

export type Bridge = {
  readonly url: string
  /** Breaks the next matching request. */
  breakNext(breakage: Breakage): void
  /** Refuses connections from now on, until `open`. */
  shut(): Promise<void>
  open(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/**
 * ClickHouse's HTTP interface over the in-process engine, as much of it as a service uses: the real engine, a real
 * socket, and a connection that can be cut on either side of an insert. Has no users and no settings of its own.
 */
export async function startBridge(path: string): Promise<Bridge> {
  const engine = await openChdb(path, 'owner')
  let breakage: Breakage | undefined
  let port = 0

  const answer = async (message: IncomingMessage, response: ServerResponse) => {
    const url = new URL(message.url ?? '/', 'http://bridge.invalid')
    let body = ''
    for await (const chunk of message) body += chunk
    const sql = [url.searchParams.get('query') ?? '', body].filter(part => part !== '').join('\n')
    const broken = breakage?.when.test(sql) ? breakage : undefined
    if (broken) breakage = undefined
    if (broken?.cut === 'before') return message.socket.destroy()
    const session = engine.session()
    try {
      const settings = [...url.searchParams]
        .filter(([name]) => bridgedSettings.has(name))
        .map(([name, value]) => `${name} = ${value}`)
      if (url.searchParams.has('database')) await session.queryAsync(`USE ${url.searchParams.get('database')}`)
      if (settings.length > 0) await session.queryAsync(`SET ${settings.join(', ')}`)
      const result = await session.queryAsync(sql, { format: url.searchParams.get('default_format') ?? 'TSV' })
      if (broken?.cut === 'after') return message.socket.destroy()
      const summary = { read_rows: String(result.rowsRead), read_bytes: String(result.bytesRead), elapsed_ns: '1' }
      response.writeHead(200, { 'x-clickhouse-summary': JSON.stringify(summary) }).end(Buffer.from(result.bytes()))
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error)
      response.writeHead(500, { 'x-clickhouse-exception-code': /Code: (\d+)/.exec(text)?.[1] ?? '1002' }).end(text)
    } finally {
      session.close()
    }
    return undefined
  }

  const listen = () => {
    const server = createServer((message, response) => void answer(message, response))
    return new Promise<typeof server>((resolve, reject) => {
      server.once('error', reject)
      server.listen(port, '127.0.0.1', () => resolve(server))
    })
  }
  let server = await listen()
  port = (server.address() as AddressInfo).port
  const shut = () =>
    new Promise<void>(resolve => {
      server.close(() => resolve())
      server.closeAllConnections()
    })

  return {
    url: `http://127.0.0.1:${port}`,
    breakNext: next => {
      breakage = next
    },
    shut,
    open: async () => {
      server = await listen()
    },
    [Symbol.asyncDispose]: async () => {
      await shut()
      await engine.close()
    },
  }
}

/** Settings of a request that matter to what is read; the rest is the HTTP server's business. */
const bridgedSettings = new Set([
  'additional_table_filters',
  'optimize_move_to_prewhere',
  'query_plan_merge_filters',
  'readonly',
])
