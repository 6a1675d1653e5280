/** Commits of many partitions and groups go together in one statement; of several for one generation the highest. */
import { createBatcher } from '../../batch/batcher.ts'
import type { Queryable } from '../../postgres/pool.ts'
import { commit, type Commit } from './groups.ts'
import { placeOf } from './records.ts'

export type Committer = (entry: Commit) => Promise<boolean>

/** @returns a function that resolves once its commit is durable: true, or false when its generation is over */
export function createCommitter(pool: Queryable): Committer {
  const batcher = createBatcher<Commit, boolean>(entries => commitHighest(pool, entries), {
    maxItems: 512,
    maxInFlight: 1,
  })
  return entry => batcher.add(entry)
}

async function commitHighest(pool: Queryable, entries: Commit[]): Promise<boolean[]> {
  const highest = new Map<string, Commit>()
  for (const entry of entries) {
    const other = highest.get(generationOf(entry))
    if (!other || other.next < entry.next) highest.set(generationOf(entry), entry)
  }
  const held = await commit(pool, [...highest.values()])
  const byGeneration = new Map([...highest.keys()].map((generation, index) => [generation, held[index] as boolean]))
  return entries.map(entry => byGeneration.get(generationOf(entry)) as boolean)
}

const generationOf = (entry: Commit) => JSON.stringify([entry.group, placeOf(entry), entry.member, entry.epoch])
