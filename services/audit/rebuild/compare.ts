/** Journal and history row by row: the row that the sink writes for a record, and the row that is there. Pure. */
import { columnIndex, type EventRow, eventColumns } from '../../../shared/clickhouse/events.ts'
import type { JournalRecord } from '../../../shared/journal/port.ts'
import { rowFor } from '../sink/rejected.ts'

/** A row of the history by `eventColumns`, as JSON gives it. */
export type HistoryRow = readonly unknown[]

export type Difference = {
  /** `missing`: no row for a record. `extra`: a row without a record. `doubled`: more than one row. `different`: other values. */
  readonly kind: 'missing' | 'extra' | 'doubled' | 'different'
  readonly partition: number
  readonly offset: number
  readonly eventId: string
  readonly type: string
  /** Columns that differ, for `different`. */
  readonly columns?: readonly string[]
}

const at = {
  id: columnIndex('event_id'),
  type: columnIndex('type'),
  tenant: columnIndex('tenant'),
  offset: columnIndex('journal_offset'),
}

/**
 * @param records of one partition, all there are between two offsets
 * @param rows of the same place
 * @param sees whether rows of a tenant can be seen at all
 */
export function compare(
  { partition, records, rows }: { partition: number; records: readonly JournalRecord[]; rows: readonly HistoryRow[] },
  sees: (tenant: string) => boolean,
): Difference[] {
  const found = new Map<number, HistoryRow[]>()
  for (const row of rows) {
    const offset = Number(row[at.offset])
    found.set(offset, [...(found.get(offset) ?? []), row])
  }
  const differences = records.flatMap(record => {
    const expected = rowFor(record).row
    const own = found.get(record.offset) ?? []
    found.delete(record.offset)
    if (own.length === 0 && !sees(String(expected[at.tenant]))) return []
    return differencesOf(own, expected, { partition, offset: record.offset })
  })
  const extra = [...found].flatMap(([offset, own]) =>
    own.map((row): Difference => ({ kind: 'extra', partition, offset, ...nameOf(row) })),
  )
  return [...differences, ...extra]
}

function differencesOf(
  own: readonly HistoryRow[],
  expected: EventRow,
  place: { readonly partition: number; readonly offset: number },
): Difference[] {
  const [row] = own
  if (row === undefined) return [{ kind: 'missing', ...place, ...nameOf(expected) }]
  const columns = eventColumns.filter((_, index) => JSON.stringify(row[index]) !== JSON.stringify(expected[index]))
  return [
    ...(own.length > 1 ? [{ kind: 'doubled' as const, ...place, ...nameOf(row) }] : []),
    ...(columns.length > 0 ? [{ kind: 'different' as const, ...place, ...nameOf(expected), columns }] : []),
  ]
}

const nameOf = (row: HistoryRow) => ({ eventId: String(row[at.id]), type: String(row[at.type]) })
