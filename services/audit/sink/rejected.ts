import { createHash } from 'node:crypto'
import { wireType } from '../../../shared/events/event.ts'
import type { JournalRecord, NewRecord } from '../../../shared/journal/port.ts'
import { hashText } from '../../../shared/proof/hash.ts'
import { leafOf } from '../../../shared/proof/leaf.ts'
import { topics } from '../../../shared/journal/topics.ts'
import type { EventRow } from '../../../shared/clickhouse/events.ts'
import { keepOriginal } from './original.ts'
import { parseEvent, rejectedRow, type Rejection } from './row.ts'

/** What may be said of a record that could not be read: where it is, why, and a commitment to its bytes. Never the record. */
export function rejectionOf(record: JournalRecord, reason: string): Rejection {
  return {
    stream: `${record.topic}/${record.partition}/${record.offset}`,
    reason,
    commitment: `sha256:${createHash('sha256').update(record.value).digest('hex')}`,
    bytes: Buffer.byteLength(record.value),
    leaf: hashText(leafOf(record)),
  }
}

/** The record for `holdfast.rejected`. Appended at least once; its id tells repeats apart. */
export function rejectedRecord(record: JournalRecord, { stream, reason, commitment, bytes }: Rejection): NewRecord {
  const { topic, partition, offset } = record
  return {
    topic: topics.rejected.name,
    partition: 0,
    key: stream,
    value: JSON.stringify({
      stream,
      sequence: 1,
      tenant: '',
      reason,
      commitment,
      bytes,
      reference: { topic, partition, offset },
    }),
    headers: {
      'content-type': 'application/json',
      ce_specversion: '1.0',
      ce_id: `${stream}:1`,
      ce_type: wireType('record.rejected'),
      ce_source: 'holdfast/audit',
      ce_time: new Date(record.time).toISOString(),
    },
  }
}

/** The row that stands for a record in the history, whatever the record is; and why it is no event, where it is none. */
export function rowFor(record: JournalRecord): { readonly row: EventRow; readonly rejection?: Rejection } {
  const parsed = parseEvent(record)
  if ('row' in parsed) return { row: keepOriginal(parsed.row, record) }
  const rejection = rejectionOf(record, parsed.rejected)
  return { row: rejectedRow(record, rejection), rejection }
}
