/**
 * Read-back: which records of a batch are not in the table yet. What the journal has committed is a lower bound and
 * what an insert reported may be wrong, so the table itself is asked.
 *
 * `highest` of a partition is what the table held when it was last in doubt; offsets above it are absent for certain,
 * because only this sink, the partition's one owner, inserts them. Offsets at or below it are looked up.
 */
import type { JournalRecord } from '../../../shared/journal/port.ts'
import type { History } from './history.ts'

/** Highest offset in the table by partition, -1 for none. Absent: in doubt, ask. */
export type Certainty = Map<number, number>

/** Journal time may stand still or step back a little between offsets; a day covers any clock that is corrected. */
const clockSlackMs = 24 * 60 * 60 * 1000

type Placed = { readonly record: JournalRecord }

/**
 * @param certain what is known; partitions of the batch that were in doubt are added
 * @returns the entries whose offsets are not in the table, in their order
 */
export async function missingOf<Entry extends Placed>(
  history: History,
  certain: Certainty,
  batch: readonly Entry[],
): Promise<Entry[]> {
  await learnHighest(history, certain, batch)
  const present = new Map<number, Set<number>>()
  for (const [partition, { from, to }] of lookups(certain, batch)) {
    const topic = batch[0]!.record.topic
    present.set(partition, await history.present({ topic, partition, from, to }))
  }
  return batch.filter(({ record }) => !present.get(record.partition)?.has(record.offset))
}

async function learnHighest(history: History, certain: Certainty, batch: readonly Placed[]): Promise<void> {
  const doubtful = batch.filter(({ record }) => !certain.has(record.partition)).map(({ record }) => record)
  if (doubtful.length === 0) return
  const partitions = [...new Set(doubtful.map(record => record.partition))]
  const since = Math.max(0, Math.min(...doubtful.map(record => record.time)) - clockSlackMs)
  const highest = await history.highest({ topic: doubtful[0]!.topic, partitions, since })
  for (const partition of partitions) certain.set(partition, highest.get(partition) ?? -1)
}

function lookups(certain: Certainty, batch: readonly Placed[]): Map<number, { from: number; to: number }> {
  const ranges = new Map<number, { from: number; to: number }>()
  for (const { record } of batch) {
    if (record.offset > (certain.get(record.partition) ?? -1)) continue
    const range = ranges.get(record.partition)
    ranges.set(record.partition, { from: range?.from ?? record.offset, to: record.offset })
  }
  return ranges
}
