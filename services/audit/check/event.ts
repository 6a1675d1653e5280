import type { JournalRecord, NewRecord } from '../../../shared/journal/port.ts'
import type { EventFact } from './facts.ts'

/** A record as the auditor sees it; undefined where it is no event, which the history says by itself. */
export function eventOf(record: NewRecord & Partial<Pick<JournalRecord, 'offset'>>): EventFact | undefined {
  const { headers, value, partition, offset } = record
  const type = /^dev\.holdfast\.(.+)\.v1$/.exec(headers['ce_type'] ?? '')?.[1]
  const at = Date.parse(headers['ce_time'] ?? '')
  const fields = readFields(value)
  const { stream, sequence } = fields ?? {}
  if (type === undefined || Number.isNaN(at) || typeof stream !== 'string' || typeof sequence !== 'number')
    return undefined
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
  }
}

function readFields(value: string): Record<string, unknown> | undefined {
  try {
    const fields: unknown = JSON.parse(value)
    return typeof fields === 'object' && fields !== null ? (fields as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}
