/** A record of `holdfast.events` as a row of the history. Pure; strict: what is not an event as written is rejected. */
import {
  columnIndex,
  type EventColumn,
  type EventRow,
  type EventValue,
  eventColumns,
} from '../../../shared/clickhouse/events.ts'
import { type FieldKind, fields } from '../../../shared/events/fields.ts'
import { readWireType, upcast } from '../../../shared/events/upcast.ts'
import type { JournalRecord } from '../../../shared/journal/port.ts'
import { canonicalJson } from '../../../shared/json/canonical.ts'

/** `reason` is our own words only: it goes where the raw record must not. */
export type Parsed = { readonly row: EventRow } | { readonly rejected: string }

export type Kind = Exclude<FieldKind, 'json'>

/** Members of an event's JSON that have a column. Everything else goes to `data`. */
export const eventFields: ReadonlyMap<string, readonly [EventColumn, Kind, number]> = new Map(
  Object.entries(fields).flatMap(([name, { column, kind, attribute }]) =>
    column === undefined || attribute !== undefined || kind === 'json'
      ? []
      : [[name, [column as EventColumn, kind, columnIndex(column as EventColumn)] as const]],
  ),
)

const absentOf = { text: '', time: null, count: 0, amount: null, flag: null, texts: [] } as const satisfies Record<
  Kind,
  EventValue
>

const absentRow: EventRow = eventColumns.map(column => {
  const field = Object.values(fields).find(each => each.column === column)
  return field === undefined || field.kind === 'json' ? '' : absentOf[field.kind]
})

/** Where columns that are no fields of an event stand in a row. */
export const at = {
  tenant: columnIndex('tenant'),
  stream: columnIndex('stream'),
  sequence: columnIndex('sequence'),
  callId: columnIndex('call_id'),
  eventId: columnIndex('event_id'),
  type: columnIndex('type'),
  time: columnIndex('time'),
  source: columnIndex('source'),
  version: columnIndex('version'),
  producer: columnIndex('producer'),
  producerSequence: columnIndex('producer_sequence'),
  producerSettled: columnIndex('producer_settled'),
  producerVoid: columnIndex('producer_void'),
  clock: columnIndex('clock'),
  reason: columnIndex('reason'),
  data: columnIndex('data'),
  original: columnIndex('original'),
  topic: columnIndex('journal_topic'),
  partition: columnIndex('journal_partition'),
  offset: columnIndex('journal_offset'),
  journalTime: columnIndex('journal_time'),
}

/** @returns the row, or why this is not an event */
export function parseEvent(record: JournalRecord): Parsed {
  const { headers } = record
  const wire = readWireType(headers['ce_type'])
  if (wire === undefined) return { rejected: 'ce_type is not the type of an event' }
  if (wire === 'newer') return { rejected: 'ce_type has a version that this release does not know' }
  const { type, version } = wire
  const time = readTime(headers['ce_time'])
  if (time === undefined) return { rejected: 'ce_time is not a time' }
  const written = readObject(record.value)
  if (!written) return { rejected: 'the value is not a JSON object' }
  const event = upcast(type, version, written)

  const row = absentRow.slice()
  let rest: Record<string, unknown> | undefined
  for (const name of Object.keys(event)) {
    const value = event[name]
    const field = eventFields.get(name)
    if (!field) {
      rest ??= {}
      rest[name] = value
      continue
    }
    if (value === null) continue
    const [, kind, index] = field
    const read = readers[kind](value)
    if (read === undefined) return { rejected: `the field ${name} is not ${kindNames[kind]}` }
    row[index] = read
  }
  if (typeof event['tenant'] !== 'string') return { rejected: 'the field tenant is missing' }
  const stream = row[at.stream]
  const sequence = row[at.sequence]
  if (typeof stream !== 'string' || typeof sequence !== 'number' || stream === '' || sequence === 0) {
    return { rejected: 'the fields stream and sequence are missing' }
  }
  const eventId = `${stream}:${sequence}`
  if (wellFormed(headers['ce_id'] ?? '') !== eventId) return { rejected: 'ce_id is not made of stream and sequence' }
  row[at.eventId] = eventId
  row[at.type] = type
  row[at.time] = time
  row[at.version] = version
  row[at.source] = wellFormed(headers['ce_source'] ?? '')
  if (!placeProducer(row, headers)) return { rejected: 'ce_sequence or ce_settled is not a whole number' }
  row[at.data] = rest ? canonicalJson(rest) : '{}'
  // The views group by it, so that a question about one call reads that call alone.
  if (row[at.callId] === '' && type.startsWith('call.')) row[at.callId] = stream
  place(row, record)
  return { row }
}

/** @returns false where the numbers are none */
function placeProducer(row: EventValue[], headers: JournalRecord['headers']): boolean {
  const { ce_producer: producer, ce_sequence: sequence, ce_settled: settled, ce_void: voided } = headers
  if (producer === undefined) return true
  row[at.producer] = wellFormed(producer)
  row[at.producerSequence] = Number(sequence ?? 0)
  row[at.producerSettled] = Number(settled ?? 0)
  row[at.producerVoid] = wellFormed(voided ?? '')
  return [at.producerSequence, at.producerSettled].every(index => isWhole(row[index], Number.MAX_SAFE_INTEGER))
}

/** The row that stands in the place of a record that is not an event: a reference, a reason and a commitment. */
export function rejectedRow(record: JournalRecord, { stream, reason, commitment, bytes, leaf }: Rejection): EventRow {
  const row = absentRow.slice()
  row[at.eventId] = `${stream}:1`
  row[at.stream] = stream
  row[at.sequence] = 1
  row[at.type] = 'record.rejected'
  row[at.version] = 1
  row[at.time] = columnTime(record.time)
  row[at.clock] = 'journal'
  row[at.source] = 'holdfast/audit'
  row[at.reason] = reason
  row[at.data] = canonicalJson({ bytes, commitment, leaf })
  place(row, record)
  return row
}

function place(row: EventValue[], { topic, partition, offset, time }: JournalRecord): void {
  row[at.topic] = topic
  row[at.partition] = partition
  row[at.offset] = offset
  row[at.journalTime] = columnTime(time)
}

export type Rejection = {
  /** topic/partition/offset of the record: the same however often it is met. */
  readonly stream: string
  readonly reason: string
  /** sha256:hex of the value's UTF-8 bytes. */
  readonly commitment: string
  readonly bytes: number
  /** Its leaf in the tree of its partition, base64: the row cannot give back what it must not hold. */
  readonly leaf: string
}

/** Half a surrogate pair can stand in JSON and nowhere else: ClickHouse refuses the whole insert for it. */
const wellFormed = (text: string) => (text as unknown as { toWellFormed(): string }).toWellFormed()

function readObject(value: string): Record<string, unknown> | undefined {
  try {
    const half = /\\u[dD][89a-fA-F]/.test(value)
    const parsed: unknown = JSON.parse(value, half ? (_, member: unknown) => repair(member) : undefined)
    return isObject(parsed) ? parsed : undefined
  } catch {
    return undefined
  }
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function repair(member: unknown): unknown {
  if (typeof member === 'string') return wellFormed(member)
  if (!isObject(member)) return member
  return Object.fromEntries(Object.entries(member).map(([name, value]) => [wellFormed(name), value]))
}

const maxCount = 2 ** 32 - 1
const isWhole = (value: unknown, most: number): value is number =>
  Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= most

const readers: Record<Kind, (value: unknown) => string | number | boolean | readonly string[] | undefined> = {
  text: value => (typeof value === 'string' ? value : undefined),
  time: readTime,
  count: value => (isWhole(value, maxCount) ? value : undefined),
  amount: value => (isWhole(value, Number.MAX_SAFE_INTEGER) ? value : undefined),
  flag: value => (typeof value === 'boolean' ? value : undefined),
  texts: value => (Array.isArray(value) && value.every(item => typeof item === 'string') ? value : undefined),
}

const kindNames: Record<Kind, string> = {
  text: 'text',
  time: 'a time',
  count: 'a whole number',
  amount: 'a whole number',
  flag: 'true or false',
  texts: 'a list of texts',
}

/** What DateTime64(3) of the table can hold without turning into another time. */
const earliest = Date.UTC(1970)
const latest = Date.UTC(2250)

function readTime(value: unknown): string | undefined {
  if (typeof value !== 'string' || !/^\d{4}-\d\d-\d\dT/.test(value)) return undefined
  return columnTimeOfText(value)
}

/** Events of one batch share their milliseconds, and writing one anew costs as much as reading a small event's JSON. */
const columnTime = remembering((ms: number) => new Date(ms).toISOString().slice(0, 23).replace('T', ' '))
const columnTimeOfText = remembering((text: string) => {
  const ms = Date.parse(text)
  return ms >= earliest && ms < latest ? columnTime(ms) : undefined
})

function remembering<From, To>(compute: (from: From) => To): (from: From) => To {
  const known = new Map<From, To>()
  return from => {
    const found = known.get(from)
    if (found !== undefined) return found
    if (known.size >= 1_000) known.clear()
    const made = compute(from)
    known.set(from, made)
    return made
  }
}
