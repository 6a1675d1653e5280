/** Retention: deletes old records, oldest first, a few at a time so that appends never wait long for the head's row. */
import type { Queryable } from '../../postgres/pool.ts'
import { findTime } from './read.ts'
import { deleteRecords, readEnds, readTimeNow, readUncommitted } from './records.ts'

export type TrimOptions = {
  readonly topic: string
  readonly olderThanMs: number
  /** Keeps what some group has not committed, however old. */
  readonly keepUncommitted: boolean
}

const chunk = 2_000

/** Deletes what is older than `olderThanMs` by the database's clock; returns how many records. */
export async function trimTopic(on: Queryable, { topic, olderThanMs, keepUncommitted }: TrimOptions): Promise<number> {
  const keepFrom = (await readTimeNow(on)) - olderThanMs
  let deleted = 0
  for (const { partition, earliest, end } of await readEnds(on, topic)) {
    const byTime = await findTime(on, { topic, partition }, keepFrom, { low: earliest, high: end })
    const uncommitted = keepUncommitted ? await readUncommitted(on, topic, partition) : undefined
    const target = Math.min(byTime, uncommitted ?? byTime)
    for (let offset = earliest; offset < target; ) {
      offset = Math.min(offset + chunk, target)
      deleted += await deleteRecords(on, topic, partition, offset)
    }
  }
  return deleted
}
