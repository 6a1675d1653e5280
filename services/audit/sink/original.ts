/**
 * From a row of the history back to the text its leaf is the hash of (`shared/proof/leaf.ts`). What every event of
 * Holdfast allows by its columns alone: they keep each field, and it was written as RFC 8785 JSON. A record that its
 * columns cannot give back (a null, another spelling of a time, names in another order) has the text itself in the
 * column `original`, so that every row can be held to the tree, also once the journal is gone.
 */
import type { EventRow, EventValue } from '../../../shared/clickhouse/events.ts'
import { canonicalJson } from '../../../shared/json/canonical.ts'
import { type Leafed, leafHeaders, leafText } from '../../../shared/proof/leaf.ts'
import { at, eventFields, type Kind } from './row.ts'

/** In the order of RFC 8785. */
const inOrder = [...eventFields]
  .toSorted(([a], [b]) => (a < b ? -1 : 1))
  .map(([name, [, kind, index]]) => ({ name, kind, index, told: `,"${name}":` }))

/** The row, with its original where its columns do not give it back. */
export function keepOriginal(row: EventRow, record: Leafed): EventRow {
  const headers = headersOf(row)
  const isGivenBack =
    leafHeaders.every(name => headers[name] === record.headers[name]) && eventText(row) === record.value
  return isGivenBack ? row : row.with(at.original, leafText(record))
}

/** The text that the row's leaf is the hash of. */
export const textOfRow = (row: EventRow): string => (row[at.original] as string) || textOfColumns(row)

/** The same from the columns alone, whatever `original` says: where it says something, both must tell one story. */
export const textOfColumns = (row: EventRow): string => leafText({ headers: headersOf(row), value: eventText(row) })

function headersOf(row: EventRow): Record<string, string> {
  const headers: Record<string, string> = {
    ce_id: row[at.eventId] as string,
    ce_source: row[at.source] as string,
    ce_time: isoOf(row[at.time] as string),
    ce_type: `dev.holdfast.${row[at.type] as string}.v${row[at.version] as number}`,
  }
  if (row[at.producer]) headers['ce_producer'] = row[at.producer] as string
  if (row[at.producerSequence]) headers['ce_sequence'] = String(row[at.producerSequence])
  if (row[at.producerSettled]) headers['ce_settled'] = String(row[at.producerSettled])
  if (row[at.producerVoid]) headers['ce_void'] = row[at.producerVoid] as string
  return headers
}

function eventText(row: EventRow): string {
  const rest = row[at.data] as string
  if (rest !== '{}') return canonicalJson({ ...fieldsOf(row), ...(JSON.parse(rest) as object) })
  let text = ''
  for (const { kind, index, told } of inOrder) {
    const value = row[index] as EventValue
    if (isAbsent(value, kind)) continue
    text += told + textOf(value, kind)
  }
  return `{${text.slice(1)}}`
}

const fieldsOf = (row: EventRow): Record<string, EventValue> =>
  Object.fromEntries(
    inOrder.flatMap(({ name, kind, index }) => {
      const value = row[index] as EventValue
      return isAbsent(value, kind) ? [] : [[name, toldOf(value, kind)]]
    }),
  )

const isAbsent = (value: EventValue, kind: Kind): boolean =>
  value === null ||
  value === '' ||
  (kind === 'count' && value === 0) ||
  (kind === 'texts' && (value as []).length === 0)

/** As `JSON.stringify` has it: every row passes here. */
function textOf(value: EventValue, kind: Kind): string {
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  return kind === 'time' ? `"${isoOf(value as string)}"` : JSON.stringify(value)
}

const toldOf = (value: EventValue, kind: Kind): EventValue => (kind === 'time' ? isoOf(value as string) : value)

/** `2026-11-27 10:00:00.000` as events have it. */
const isoOf = (columnTime: string): string => `${columnTime.slice(0, 10)}T${columnTime.slice(11)}Z`
