/**
 * Appending: calls that wait while a statement is under way share the next one. One statement is in flight at a time, on
 * a connection of its own.
 *
 * What an error means (J1): a call that could not be stored is refused before it joins a batch; no connection, or an
 * ERROR from the server, means the whole statement is not in the journal: refused; a connection that broke while the
 * statement was under way, or a server that was shut down under it, means nobody knows: doubtful.
 */
import type pg from 'pg'
import { createBatcher } from '../../batch/batcher.ts'
import { isConnectionError } from '../../postgres/errors.ts'
import type { KeptConnections } from '../../postgres/kept.ts'
import { AppendDoubtful, AppendRefused, type JournalRecord, type NewRecord, type Position } from '../port.ts'
import { appendRecords, placeOf } from './records.ts'

export type Appender = {
  append(records: readonly NewRecord[]): Promise<readonly Position[]>
  /** True while a statement that writes to this partition is under way. */
  isWriting(place: string): boolean
}

type Deps = {
  /** One. */
  readonly connections: Pick<KeptConnections, 'take' | 'giveBack'>
  readonly partitions: (topic: string) => number
  readonly maxRecordBytes: number
  /** Told of every acknowledged record before its append resolves. */
  readonly appended: (records: readonly JournalRecord[]) => void
}

/** Calls of one statement. More waiters than this only make the statement longer, not the throughput higher. */
const maxCalls = 512

export function createAppender({ connections, partitions, maxRecordBytes, appended }: Deps): Appender {
  let writing: ReadonlySet<string> = new Set()

  const flush = async (calls: (readonly NewRecord[])[]): Promise<Position[][]> => {
    const records = calls.flat()
    writing = new Set(records.map(placeOf))
    try {
      const placed = await appendOnce(connections, records)
      appended(placed)
      return split(placed, calls)
    } finally {
      writing = new Set()
    }
  }
  const batcher = createBatcher(flush, { maxItems: maxCalls, maxInFlight: 1 })

  return {
    async append(records) {
      for (const record of records) refuseUnstorable(record, partitions, maxRecordBytes)
      return records.length === 0 ? [] : batcher.add(records)
    },
    isWriting: place => writing.has(place),
  }
}

async function appendOnce(connections: Deps['connections'], records: readonly NewRecord[]): Promise<JournalRecord[]> {
  const connection = await connect(connections)
  try {
    const placed = await appendRecords(connection, records)
    connections.giveBack(connection)
    return placed
  } catch (cause) {
    connections.giveBack(connection, cause)
    if (!isConnectionError(cause))
      throw new AppendRefused(`The journal refused the records: ${messageOf(cause)}`, { cause })
    throw new AppendDoubtful(`The journal did not acknowledge the records: ${messageOf(cause)}`, { cause })
  }
}

async function connect(connections: Deps['connections']): Promise<pg.PoolClient> {
  try {
    return await connections.take()
  } catch (cause) {
    throw new AppendRefused(`The journal cannot be reached: ${messageOf(cause)}`, { cause })
  }
}

function split(placed: readonly JournalRecord[], calls: readonly (readonly NewRecord[])[]): Position[][] {
  let at = 0
  return calls.map(call =>
    placed.slice(at, (at += call.length)).map(({ topic, partition, offset }) => ({ topic, partition, offset })),
  )
}

function refuseUnstorable(record: NewRecord, partitions: Deps['partitions'], maxRecordBytes: number): void {
  const { topic, partition, key, value, headers } = record
  const count = partitions(topic)
  if (!Number.isInteger(partition) || partition < 0 || partition >= count) {
    throw new AppendRefused(`There is no partition ${partition} in topic ${topic}, which has ${count}`)
  }
  const headersText = JSON.stringify(headers)
  const bytes = Buffer.byteLength(key) + Buffer.byteLength(value) + Buffer.byteLength(headersText)
  if (bytes > maxRecordBytes) throw new AppendRefused(`A record of ${bytes} bytes is larger than ${maxRecordBytes}`)
  if (![key, value].every(isStorable)) {
    throw new AppendRefused(
      'A record holds a NUL character or half of a surrogate pair, which PostgreSQL cannot store as text',
    )
  }
}

/** Headers need no such check: as JSON text they are escaped. */
const isStorable = (text: string) =>
  !text.includes('\0') && (text as unknown as { isWellFormed(): boolean }).isWellFormed()

const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error))
