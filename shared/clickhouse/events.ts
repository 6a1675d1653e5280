/**
 * The table `holdfast.events` (see `infra/clickhouse/0001_events.sql`): its row as inserted, and the three statements
 * the sink needs. One statement per function.
 */
import { randomUUID } from 'node:crypto'
import { ClickHouseError } from '@clickhouse/client'
import type { Clickhouse } from './connect.ts'
import { integer, literal } from './literal.ts'

/** Columns in the order of the insert. */
export const eventColumns = [
  'event_id',
  'stream',
  'sequence',
  'type',
  'version',
  'time',
  'clock',
  'source',
  'producer',
  'producer_sequence',
  'producer_settled',
  'producer_void',
  'tenant',
  'agent',
  'on_behalf_of',
  'keyspace',
  'credential',
  'client',
  'origin',
  'session',
  'conversation',
  'call_id',
  'operation_id',
  'of',
  'server',
  'tool',
  'tool_hash',
  'effect',
  'effect_source',
  'idempotency_key',
  'key_source',
  'fingerprint',
  'arguments',
  'arguments_bytes',
  'subject',
  'arguments_commitment',
  'result_commitment',
  'policy_rule',
  'policy_version',
  'verdict',
  'approval',
  'received_at',
  'accepted_at',
  'dispatched_at',
  'finished_at',
  'state',
  'code',
  'error_class',
  'reason',
  'evidence',
  'evidence_commitment',
  'settled_by',
  'is_error',
  'result_bytes',
  'duration_ms',
  'epoch',
  'round',
  'attempt',
  'trace',
  'parent',
  'truncated',
  'journal_topic',
  'journal_partition',
  'journal_offset',
  'journal_time',
  'data',
  'original',
] as const
export type EventColumn = (typeof eventColumns)[number]

export type EventValue = string | number | boolean | null | readonly string[]

/**
 * A row as inserted: one value per column, in the order of `eventColumns`, because building and writing arrays costs the
 * event loop a fifth of what objects do. Times are `YYYY-MM-DD hh:mm:ss.mmm` in UTC.
 */
export type EventRow = readonly EventValue[]

const columnIndexes = new Map(eventColumns.map((column, index) => [column, index]))

/** Where a column's value stands in a row. */
export const columnIndex = (column: EventColumn): number => columnIndexes.get(column)!

/** Where 0 and false are values of their own, and only NULL is absent. */
const nullable: ReadonlySet<EventColumn> = new Set([
  'arguments_bytes',
  'received_at',
  'accepted_at',
  'dispatched_at',
  'finished_at',
  'is_error',
  'result_bytes',
  'duration_ms',
])
const isNullable = eventColumns.map(column => nullable.has(column))

const isAbsent = (value: EventValue | undefined, index: number): boolean =>
  value === null ||
  (!isNullable[index] && (value === '' || value === 0 || (Array.isArray(value) && value.length === 0)))

/**
 * Columns in which some row has something: what all leave absent is the table's default, and neither written here nor read
 * there. Of typical events that is a third of the columns.
 */
function usedColumns(rows: readonly EventRow[]): number[] {
  return eventColumns.flatMap((_, index) => (rows.some(row => !isAbsent(row[index], index)) ? index : []))
}

/** How an insert is bounded on the server's side, so that a doubt about it cannot last. */
export type InsertBounds = {
  /** The server refuses an insert that begins later, by its clock, milliseconds. Absent: it may begin whenever it arrives. */
  readonly sendBy?: number | undefined
  /** How long it may run. */
  readonly seconds?: number
}

export const insertLimitSeconds = 10

/**
 * Inserts rows in one statement. When it rejects, any part of them may be in the table (an insert over several months
 * is not atomic), but nothing of it is still under way.
 */
export async function insertEvents(
  { client, settled }: Clickhouse,
  rows: readonly EventRow[],
  { sendBy, seconds = insertLimitSeconds }: InsertBounds = {},
): Promise<void> {
  const used = usedColumns(rows)
  const deadline = sendBy === undefined ? [] : [new Date(sendBy).toISOString().slice(0, 23).replace('T', ' ')]
  const values = rows.map(row => JSON.stringify([...used.map(index => row[index]), ...deadline])).join('\n')
  const columns = [...used.map(index => eventColumns[index]), ...(sendBy === undefined ? [] : ['send_by'])].join(', ')
  const queryId = randomUUID()
  try {
    await client.command({
      query_id: queryId,
      query: `INSERT INTO holdfast.events (${columns})
SETTINGS async_insert = 0, input_format_parallel_parsing = 0, max_execution_time = ${seconds}
FORMAT JSONCompactEachRow
${values}
`,
    })
  } catch (error) {
    if (!(error instanceof ClickHouseError)) await settled(queryId)
    throw error
  }
}

/**
 * The highest offset in the table for each of some partitions of a topic; a partition without rows is absent.
 * @param since only rows the journal took at or after this time, milliseconds
 */
export async function highestOffsets(
  { client }: Clickhouse,
  { topic, partitions, since }: { topic: string; partitions: readonly number[]; since: number },
): Promise<Map<number, number>> {
  const result = await client.query({
    query: `select journal_partition as partition, max(journal_offset) as offset
      from holdfast.events
      where journal_topic = ${literal(topic)} and journal_partition in (${partitions.map(integer).join(', ')})
        and journal_time >= fromUnixTimestamp64Milli(${integer(since)}, 'UTC')
      group by partition`,
    format: 'JSONEachRow',
  })
  const rows = await result.json<{ partition: number; offset: number | string }>()
  return new Map(rows.map(row => [row.partition, Number(row.offset)]))
}

/** Which offsets of `from` to `to` (both included) of one partition are in the table. */
export async function presentOffsets(
  { client }: Clickhouse,
  { topic, partition, from, to }: { topic: string; partition: number; from: number; to: number },
): Promise<Set<number>> {
  const result = await client.query({
    query: `select distinct journal_offset as offset
      from holdfast.events
      where journal_topic = ${literal(topic)} and journal_partition = ${integer(partition)}
        and journal_offset between ${integer(from)} and ${integer(to)}`,
    format: 'JSONEachRow',
  })
  const rows = await result.json<{ offset: number | string }>()
  return new Set(rows.map(row => Number(row.offset)))
}

/** Whether no row of any tenant is in the table. */
export async function isEmpty({ client }: Pick<Clickhouse, 'client'>): Promise<boolean> {
  const result = await client.query({ query: 'select 1 as found from holdfast.events limit 1', format: 'JSONEachRow' })
  return (await result.json()).length === 0
}
