/** Which part of a range the journal no longer has, and how that is known. */
import type { Journal, JournalRecord } from '../../../shared/journal/port.ts'
import { topics } from '../../../shared/journal/topics.ts'
import { sinkGroup } from '../sink/sink.ts'

/**
 * `trimmed`: retention has passed into the range. `truncated`: the journal ends before what was read of it earlier.
 * `hole`: offsets between two records are missing, which a whole journal never has (J2).
 */
export type LostPart = {
  readonly kind: 'trimmed' | 'truncated' | 'hole'
  readonly topic: string
  readonly partition: number
  /** Offsets that are missing: from `from` up to, not including, `to`. */
  readonly from: number
  readonly to: number
  /** The first record after the lost part was taken at this time, milliseconds; undefined when there is none. */
  readonly next: number | undefined
}

const { name: topic } = topics.events

export async function lostParts(journal: Journal, { from }: { readonly from: number }): Promise<LostPart[]> {
  const parts: LostPart[] = []
  for (const { partition, earliest, end, committed } of await journal.lag(sinkGroup, topic)) {
    if (earliest > 0) {
      const next = await firstTime(journal, partition, earliest, end)
      if (next === undefined || next > from)
        parts.push({ kind: 'trimmed', topic, partition, from: 0, to: earliest, next })
    }
    if (committed !== null && committed > end)
      parts.push({ kind: 'truncated', topic, partition, from: end, to: committed, next: undefined })
  }
  return parts
}

async function firstTime(
  journal: Journal,
  partition: number,
  earliest: number,
  end: number,
): Promise<number | undefined> {
  if (earliest >= end) return undefined
  for await (const { time } of journal.read({ topic, partition, fromOffset: earliest, maxRecords: 1 })) return time
  return undefined
}

export function missingBetween(previous: JournalRecord | undefined, record: JournalRecord): LostPart | undefined {
  if (previous === undefined || record.offset === previous.offset + 1) return undefined
  const { partition, offset: to, time: next } = record
  return { kind: 'hole', topic, partition, from: previous.offset + 1, to, next }
}
