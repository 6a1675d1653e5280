/** The rows of an export: every event of a stretch of time, once, in the order of the table. */
import { type EventColumn, eventColumns } from '../../../shared/clickhouse/events.ts'
import type { Reader } from '../../../shared/clickhouse/reader.ts'

export type Stretch = {
  /** Milliseconds since the epoch: from `from` up to, not including, `to`. */
  readonly from: number
  readonly to: number
}

export type Cells = readonly unknown[]

export const columns: readonly EventColumn[] = eventColumns

/** `order by` is the table's own, so nothing is sorted and nothing is held. */
const order = 'order by tenant, toStartOfHour(time), agent, time, journal_partition, journal_offset'
const within = `where time >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') and time < fromUnixTimestamp64Milli({to:Int64}, 'UTC')`

export const rowsSql = `select ${columns.join(', ')} from holdfast.events ${within} ${order}`

/**
 * The same for a file that the engine itself writes: rows that tell an event once more are left out. Events by the
 * hashes of their ids, on disk where they are too many for memory.
 */
export const fileSql = `select ${columns.join(', ')} from holdfast.events ${within}
  and (journal_partition, journal_offset) not in (
    select journal_partition, arrayJoin(arrayPopFront(arraySort(groupUniqArray(journal_offset)))) from holdfast.events ${within}
    group by journal_partition, sipHash128(event_id) having count() > 1)
  ${order}`

const at = (column: EventColumn) => eventColumns.indexOf(column)
const place = { id: at('event_id'), tenant: at('tenant'), agent: at('agent'), time: at('time') }

/**
 * An event that was published twice has the same tenant, agent and time in both rows, so they lie together in the order
 * of the table: the ids of one such place are all that must be remembered.
 */
export async function* eventsOnce(reader: Reader): AsyncGenerator<Cells[]> {
  let here = ''
  const ids = new Set<unknown>()
  for await (const rows of rowsOf(reader.stream(rowsSql, 'JSONCompactEachRow'))) {
    yield rows.filter(row => {
      const now = `${String(row[place.tenant])}\0${String(row[place.agent])}\0${String(row[place.time])}`
      if (now !== here) ids.clear()
      here = now
      const isFirst = !ids.has(row[place.id])
      ids.add(row[place.id])
      return isFirst
    })
  }
}

/** @throws SyntaxError where a line is no row: the engine's own error in the middle of an answer */
async function* rowsOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Cells[]> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const chunk of chunks) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n')
    rest = lines.pop() ?? ''
    yield lines.filter(line => line !== '').map(line => JSON.parse(line) as Cells)
  }
  if (rest !== '') yield [JSON.parse(rest) as Cells]
}
