/** Rows of the history as the sink wrote them, and its checkpoints, over SQL. */
import { eventColumns, type EventRow } from '../../../shared/clickhouse/events.ts'
import { literal } from '../../../shared/clickhouse/literal.ts'
import { UnavailableError } from '../../../shared/errors.ts'
import { topics } from '../../../shared/journal/topics.ts'
import type { Place } from '../../audit/proofs/places/place.ts'
import { ask, askPage, type HistoryAt } from '../audit/history.ts'

const topic = topics.events.name

/** Rows of some offsets of a partition, in their order. An answer that would be too large is asked for in halves. */
export async function readRows(
  at: HistoryAt,
  { partition, from, to }: { partition: number; from: number; to: number },
): Promise<EventRow[]> {
  const rows = await askPage(
    at,
    `select ${eventColumns.map(column => `events.${column}`).join(', ')} from holdfast.events
     where journal_topic = '${topic}' and journal_partition = ${partition}
       and journal_offset >= ${from} and journal_offset < ${to} order by journal_offset`,
  )
  if (rows !== undefined) return rows as EventRow[]
  if (to - from < 2)
    throw new UnavailableError(
      'clickhouse',
      `The row at offset ${from} of partition ${partition} is too large for one answer.`,
    )
  const middle = Math.floor((from + to) / 2)
  return [
    ...(await readRows(at, { partition, from, to: middle })),
    ...(await readRows(at, { partition, from: middle, to })),
  ]
}

/** Where the records of a call, an operation or an event are. */
export async function findPlaces(at: HistoryAt, about: string): Promise<Array<{ partition: number; offset: number }>> {
  const name = literal(about)
  const rows = await ask(
    at,
    `select distinct journal_partition, journal_offset from holdfast.events
     where journal_topic = '${topic}' and (call_id = ${name} or stream = ${name} or operation_id = ${name} or event_id = ${name})
     order by journal_partition, journal_offset limit 1000`,
  )
  return rows.map(([partition, offset]) => ({ partition: Number(partition), offset: Number(offset) }))
}

/** The highest offset of each partition in the table, and rows of no partition of ours. */
export async function readEdges(
  at: HistoryAt,
  partitions: number,
): Promise<{ highest: Map<number, number>; strays: number }> {
  const rows = await ask(
    at,
    `select journal_topic = '${topic}' and journal_partition < ${partitions}, journal_partition, max(journal_offset), count()
     from holdfast.events group by 1, 2`,
  )
  const ours = rows.filter(([isOurs]) => Number(isOurs) === 1)
  return {
    highest: new Map(ours.map(([, partition, highest]) => [Number(partition), Number(highest)])),
    strays: rows.filter(([isOurs]) => Number(isOurs) === 0).reduce((sum, [, , , count]) => sum + Number(count), 0),
  }
}

/** The table of checkpoints; read-only from here. */
export const tableOver = (at: HistoryAt): Pick<Place, 'name' | 'label' | 'after'> => ({
  name: 'the table holdfast.checkpoints',
  label: 'table',
  async after(size, limit) {
    const rows = await ask(
      at,
      `select distinct size, note from holdfast.checkpoints where size > ${size} order by size limit ${limit}`,
    )
    return rows.map(([found, note]) => ({ size: Number(found), note: String(note) }))
  },
})
