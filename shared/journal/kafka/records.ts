/** Records as they travel: ours on their way into Kafka, and whatever lies there on its way out. */
import { isUtf8 } from 'node:buffer'
import type { JournalRecord, NewRecord } from '../port.ts'
import type { Message, RawRecord } from './protocol.ts'

export const messageOf = ({ key, value, headers }: NewRecord): Message => ({
  key: Buffer.from(key),
  value: Buffer.from(value),
  headers,
})

/** What Kafka's batch adds to its records, generously. */
export const batchOverhead = 1_024
const recordOverhead = 32
const headerOverhead = 10

/** Bytes a record takes in its batch, at most. */
export function sizeOf({ key, value, headers }: NewRecord): number {
  let bytes = Buffer.byteLength(key) + Buffer.byteLength(value) + recordOverhead
  for (const [name, text] of Object.entries(headers))
    bytes += Buffer.byteLength(name) + Buffer.byteLength(text) + headerOverhead
  return bytes
}

/**
 * Anybody may have written it, so nothing is taken for granted: what has no value has an empty one, and bytes that are
 * no UTF-8 come as `base64:…`, because replacing them could make one key of two. Neither is JSON, so both are rejected
 * by who reads them, with their place on record.
 */
export function recordOf(topic: string, partition: number, raw: RawRecord): JournalRecord {
  return {
    topic,
    partition,
    offset: Number(raw.offset),
    time: Number(raw.timestamp),
    key: textOf(raw.key),
    value: textOf(raw.value),
    headers: Object.fromEntries(
      // Of a header that stands there several times the first counts.
      Object.entries(raw.headers ?? {}).map(([name, value]) => [name, textOf(Array.isArray(value) ? value[0] : value)]),
    ),
  }
}

function textOf(bytes: Buffer | string | null | undefined): string {
  if (bytes === null || bytes === undefined) return ''
  if (typeof bytes === 'string') return bytes
  return isUtf8(bytes) ? bytes.toString('utf8') : `base64:${bytes.toString('base64')}`
}
