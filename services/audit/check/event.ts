import { readRanges } from '../../../shared/events/number-ranges.ts'
import { readWireType, upcast } from '../../../shared/events/upcast.ts'
import type { JournalRecord, NewRecord } from '../../../shared/journal/port.ts'
import type { EventFact } from './facts.ts'

/** A record as the auditor sees it; undefined where it is no event, which the history says by itself. */
export function eventOf(record: NewRecord & Partial<Pick<JournalRecord, 'offset'>>): EventFact | undefined {
  const { headers, value, partition, offset } = record
  const wire = readWireType(headers['ce_type'])
  if (wire === undefined || wire === 'newer') return undefined
  const { type } = wire
  const at = Date.parse(headers['ce_time'] ?? '')
  const written = readFields(value)
  const fields = written && upcast(type, wire.version, written)
  const { stream, sequence } = fields ?? {}
  if (Number.isNaN(at) || typeof stream !== 'string' || typeof sequence !== 'number') return undefined
  return {
    id: headers['ce_id'] ?? '',
    type,
    stream,
    sequence,
    source: headers['ce_source'] ?? '',
    at,
    fields: fields as Record<string, unknown>,
    value,
    place: offset === undefined ? undefined : { partition, offset },
    numbered: numberedOf(headers),
  }
}

function numberedOf({ ce_producer: producer, ce_sequence, ce_settled, ce_void }: NewRecord['headers']) {
  const number = Number(ce_sequence)
  if (producer === undefined || !Number.isSafeInteger(number)) return undefined
  return { producer, number, settled: Number(ce_settled ?? 0), told: readRanges(ce_void ?? '') }
}

function readFields(value: string): Record<string, unknown> | undefined {
  try {
    const fields: unknown = JSON.parse(value)
    return typeof fields === 'object' && fields !== null ? (fields as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}
