/** A real history for tests: ClickHouse's engine in this process over a temporary folder, and ways to break it. */
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { startLocalClickhouse } from '../../infra/clickhouse/local/start.ts'
import { type Clickhouse, connectClickhouse } from '../../shared/clickhouse/connect.ts'
import type { EventRow } from '../../shared/clickhouse/events.ts'
import { eventRecord, type HoldfastEvent } from '../../shared/events/event.ts'
import type { JournalRecord } from '../../shared/journal/port.ts'
import { createIds } from '../../shared/process/ids.ts'
import { parseEvent } from '../../services/audit/sink/row.ts'

/** For a handler of SQL whose reads nobody asks about: they are recorded nowhere. */
export const unrecorded = {
  journal: { append: async () => [] },
  clock: Date,
  clockIs: 'process' as const,
  ids: createIds(),
}

export const silent = pino({ level: 'silent' })

/** A folder that goes with the test. */
export async function temporaryFolder(): Promise<{ path: string; [Symbol.asyncDispose](): Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), 'holdfast-history-'))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) }
}

export type TestHistory = Clickhouse & { [Symbol.asyncDispose](): Promise<void> }

export async function openHistory(path: string): Promise<TestHistory> {
  const clickhouse = await connectClickhouse({ path })
  return { ...clickhouse, [Symbol.asyncDispose]: () => clickhouse.close() }
}

/** The same engine as a server of its own. */
export async function openServedHistory(dataDir: string): Promise<TestHistory> {
  const local = await startLocalClickhouse({ dataDir, port: 0, log: silent })
  const clickhouse = await connectClickhouse({ url: local.url })
  return {
    ...clickhouse,
    [Symbol.asyncDispose]: async () => {
      await clickhouse.close()
      await local.stop()
    },
  }
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

/**
 * What the bridge does with a request whose statement matches: it breaks the connection before or after the engine acts,
 * answers with an error, is slow, or acts and never answers.
 */
export type Breakage = { readonly when: RegExp; readonly cut: 'before' | 'after' | 'fail' | 'slow' | 'silent' }

export type Bridge = {
  readonly url: string
  /** Breaks the next matching request. */
  breakNext(breakage: Breakage): void
  /** Breaks every matching request from now on; without an argument none. */
  breakAll(breakage?: Breakage): void
  /** Refuses connections from now on, until `open`. */
  shut(): Promise<void>
  open(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

const slowMs = 2_000

/** The local ClickHouse server with a real socket before it that can be cut on either side of a statement. */
export async function startBridge(dataDir: string): Promise<Bridge> {
  const local = await startLocalClickhouse({ dataDir, port: 0, log: silent })
  let breakage: Breakage | undefined
  let always: Breakage | undefined
  let port = 0

  const forward = async (message: IncomingMessage, response: ServerResponse) => {
    const body = Buffer.concat(await message.toArray())
    const sql = [new URL(message.url ?? '/', local.url).searchParams.get('query') ?? '', body.toString()].join('')
    const broken = [breakage, always].find(each => each?.when.test(sql))
    if (broken === breakage) breakage = undefined
    if (broken?.cut === 'before') return message.socket.destroy()
    if (broken?.cut === 'fail') return response.writeHead(500, { connection: 'close' }).end('Code: 241. Memory limit')
    if (broken?.cut === 'slow') await new Promise(resolve => setTimeout(resolve, slowMs))
    const { 'transfer-encoding': _, ...headers } = message.headers
    const onward = request(new URL(message.url ?? '/', local.url), {
      method: message.method,
      headers: { ...headers, 'content-length': body.length },
      agent: false,
    }).end(body)
    const [answer] = (await once(onward, 'response')) as [IncomingMessage]
    const answered = Buffer.concat(await answer.toArray())
    if (broken?.cut === 'after') return message.socket.destroy()
    if (broken?.cut === 'silent') return undefined
    return response.writeHead(answer.statusCode ?? 500, { ...answer.headers, connection: 'close' }).end(answered)
  }

  const listen = () => {
    const server = createServer((message, response) => void forward(message, response).catch(() => response.destroy()))
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
    breakAll: next => {
      always = next
    },
    shut,
    open: async () => {
      server = await listen()
    },
    [Symbol.asyncDispose]: async () => {
      await shut()
      await local.stop()
    },
  }
}
