/**
 * Appending: calls that wait while a statement is under way share the next one. One such statement is in flight at a time,
 * on a connection kept for it; a statement that a caller brings along runs beside it.
 *
 * What an error means (J1): a call that could not be stored is refused before it joins a batch; no connection, or an
 * ERROR from the server, means the whole statement is not in the journal: refused; a connection that broke while the
 * statement was under way, or a server that was shut down under it, means nobody knows: doubtful.
 */
import type pg from 'pg'
import { createBatcher } from '../../batch/batcher.ts'
import { isConnectionError } from '../../postgres/errors.ts'
import type { KeptConnections } from '../../postgres/kept.ts'
import type { Queryable } from '../../postgres/pool.ts'
import { AppendDoubtful, AppendRefused, type JournalRecord, type NewRecord, type Position } from '../port.ts'
import { appendRecords, type Base, place, placeOf } from './records.ts'

export type Appender = {
  append(records: readonly NewRecord[]): Promise<readonly Position[]>
  /**
   * Appends by a statement of the caller's, which does more in the same commit.
   * @param run runs the one statement, in which the records are placed (`placing`), on the connection it is given
   * @returns what `run` returned, and where the records are
   */
  appendBy<Result extends Placed>(
    records: readonly NewRecord[],
    run: (on: Queryable) => Promise<Result>,
  ): Promise<Result & { readonly positions: readonly Position[] }>
  /** True while a statement that writes to this partition is under way. */
  isWriting(place: string): boolean
}

/** What a statement says of the records in it. */
export type Placed = { readonly bases: readonly Base[] }

type Deps = {
  readonly connections: Pick<KeptConnections, 'take' | 'giveBack'>
  readonly partitions: (topic: string) => number
  readonly maxRecordBytes: number
  /** Told of every acknowledged record before its append resolves. */
  readonly appended: (records: readonly JournalRecord[]) => void
}

/** Calls of one statement. More waiters than this only make the statement longer, not the throughput higher. */
const maxCalls = 512

export function createAppender({ connections, partitions, maxRecordBytes, appended }: Deps): Appender {
  const writing = new Map<string, number>()
  const count = (places: ReadonlySet<string>, by: 1 | -1) => {
    for (const name of places) writing.set(name, (writing.get(name) ?? 0) + by)
  }

  const write = async <Result extends Placed>(
    records: readonly NewRecord[],
    run: (on: Queryable) => Promise<Result>,
  ): Promise<{ result: Result; placed: JournalRecord[] }> => {
    const places = new Set(records.map(placeOf))
    count(places, 1)
    try {
      const result = await runOnce(connections, run)
      const placed = place(records, result.bases)
      appended(placed)
      return { result, placed }
    } finally {
      count(places, -1)
    }
  }

  const flush = async (calls: (readonly NewRecord[])[]): Promise<Position[][]> => {
    const records = calls.flat()
    const { placed } = await write(records, async on => ({ bases: await appendRecords(on, records) }))
    return split(placed, calls)
  }
  const batcher = createBatcher(flush, { maxItems: maxCalls, maxInFlight: 1 })
  const refuseAnyUnstorable = (records: readonly NewRecord[]) => {
    for (const record of records) refuseUnstorable(record, partitions, maxRecordBytes)
  }

  return {
    async append(records) {
      refuseAnyUnstorable(records)
      return records.length === 0 ? [] : batcher.add(records)
    },
    async appendBy(records, run) {
      refuseAnyUnstorable(records)
      const { result, placed } = await write(records, run)
      return { ...result, positions: placed.map(positionOf) }
    },
    isWriting: name => (writing.get(name) ?? 0) > 0,
  }
}

async function runOnce<Result>(
  connections: Deps['connections'],
  run: (on: Queryable) => Promise<Result>,
): Promise<Result> {
  const connection = await connect(connections)
  try {
    const result = await run(connection)
    connections.giveBack(connection)
    return result
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
  return calls.map(call => placed.slice(at, (at += call.length)).map(positionOf))
}

const positionOf = ({ topic, partition, offset }: JournalRecord): Position => ({ topic, partition, offset })

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
