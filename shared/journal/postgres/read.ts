/** Reading a range without a group (J6), page by page. */
import type { Queryable } from '../../postgres/pool.ts'
import type { JournalRecord, ReadOptions } from '../port.ts'
import { readEnds, readStretches, readTime } from './records.ts'

const page = { records: 500, bytes: 4_000_000 }

/** Yields the records of a range in offset order. The range is fixed when reading begins. */
export async function* readRange(on: Queryable, options: ReadOptions): AsyncGenerator<JournalRecord> {
  const { topic, partition } = options
  const ends = (await readEnds(on, topic)).find(entry => entry.partition === partition)
  if (!ends) throw new RangeError(`There is no partition ${partition} in topic ${topic}`)
  const end = Math.min(options.toOffset ?? ends.end, ends.end)
  let left = options.maxRecords ?? Number.POSITIVE_INFINITY
  let first = await firstOf(on, options, ends)
  while (first < end && left > 0) {
    const most = Math.min(page.records, left)
    const [records = []] = await readStretches(on, [{ topic, partition, first, end, most }], page.bytes)
    const last = records.at(-1)
    if (!last) return
    yield* records
    left -= records.length
    first = last.offset + 1
  }
}

async function firstOf(on: Queryable, options: ReadOptions, ends: { earliest: number; end: number }): Promise<number> {
  const first = Math.max(options.fromOffset ?? 0, ends.earliest)
  if (options.fromTime === undefined) return first
  return findTime(on, options, options.fromTime, { low: first, high: ends.end })
}

/**
 * The first offset in [low, high) whose record's time is at or after `time`, else `high`: times never go back within a
 * partition, so a binary search over the primary key finds it. A record that retention deletes meanwhile counts as earlier.
 */
export async function findTime(
  on: Queryable,
  { topic, partition }: { topic: string; partition: number },
  time: number,
  range: { low: number; high: number },
): Promise<number> {
  let { low, high } = range
  while (low < high) {
    const middle = Math.floor((low + high) / 2)
    const found = await readTime(on, topic, partition, middle)
    if (found !== undefined && found >= time) high = middle
    else low = middle + 1
  }
  return low
}
