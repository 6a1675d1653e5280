/**
 * One writer for each partition of the journal, also for those moments in which two processes believe that they are it.
 *
 * The journal's group gives a partition to one member, but a member that was held up (a pause, a cut wire) learns late that
 * it was replaced, and what it sends then would land beside what its successor wrote. So an insert has two bounds that the
 * store itself keeps: it is refused when it begins later than `sendMs` after a moment at which its sender surely had the
 * partition, and it may run for `insertMs`. Whoever takes a partition waits both out before it reads back, unless its
 * predecessor said that it gave the partition back with nothing under way.
 *
 * `sendMs` is counted from the store's clock as it was read before the sender checked its assignment: timers that end an
 * assignment run before that check, so a process that slept through the end of its lease finds it over, and one that
 * falls asleep after the check sends too late.
 *
 * Not bounded: an insert that the store runs longer than it may (a disk that hangs). Where the history is replicated, both
 * tables must be written with a quorum and read in sequence, or a claim may not be seen by the next owner.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Writers } from './history.ts'

export type FenceTimes = {
  /** From the check of the assignment until an insert must have begun. */
  readonly sendMs: number
  /** How long an insert may run. */
  readonly insertMs: number
  /** For what the store needs to notice that it ran too long. */
  readonly slackMs: number
}

export type Fence = {
  /**
   * Takes partitions that were assigned to this process.
   * @returns those of them that may be written now; for the others it is too early
   */
  take(partitions: readonly number[]): Promise<ReadonlySet<number>>
  /** Whether nothing needs to be waited out for it, as far as is known. */
  mayWrite(partition: number): boolean
  /** An insert of these partitions ended in doubt, or without. */
  doubt(partitions: Iterable<number>, isDoubtful: boolean): void
  /** Until when, by the store's clock, an insert may begin. Check the assignments after this, and not again later. */
  sendBy(): Promise<number | undefined>
  /** Says that partitions are free, where nothing of them can be under way. Never rejects: the next owner waits then. */
  giveBack(partitions: readonly number[]): Promise<void>
}

type Deps = {
  readonly writers: Writers | undefined
  readonly topic: string
  /** This process, by a new id at every start. */
  readonly writer: string
  readonly now: () => number
}

export function createFence({ writers, topic, writer, now }: Deps, times: FenceTimes): Fence {
  /** From when on a partition may be written, by `now`. */
  const from = new Map<number, number>()
  const doubtful = new Set<number>()
  const longestMs = times.sendMs + times.insertMs + times.slackMs

  const takeNew = async (partitions: readonly number[], on: Writers) => {
    const assignedBy = now()
    const last = await on.lastTakers({ topic, partitions })
    await on.record({ topic, partitions, writer, what: 'taken' })
    for (const partition of partitions) {
      const taker = last.get(partition)
      from.set(partition, taker === undefined || taker.gaveBack ? 0 : assignedBy + longestMs)
    }
  }

  return {
    async take(partitions) {
      if (writers === undefined) return new Set(partitions)
      const isNew = partitions.filter(partition => !from.has(partition))
      if (isNew.length > 0) await takeNew(isNew, writers)
      return new Set(partitions.filter(partition => (from.get(partition) ?? Infinity) <= now()))
    },
    mayWrite: partition => (from.get(partition) ?? 0) <= now(),
    doubt(partitions, isDoubtful) {
      for (const partition of partitions) {
        if (isDoubtful) doubtful.add(partition)
        else doubtful.delete(partition)
      }
    },
    async sendBy() {
      if (writers === undefined) return undefined
      const time = await writers.time()
      // A turn of the loop in which timers run: an assignment that is over is known to be over after it.
      await sleep(1)
      return time + times.sendMs
    },
    async giveBack(partitions) {
      // What its predecessor may have left under way is not waited out yet: then neither is it free.
      const free = partitions.filter(
        partition => (from.get(partition) ?? Infinity) <= now() && !doubtful.has(partition),
      )
      for (const partition of partitions) {
        from.delete(partition)
        doubtful.delete(partition)
      }
      if (writers === undefined || free.length === 0) return
      await writers.record({ topic, partitions: free, writer, what: 'given_back' }).catch(() => {})
    },
  }
}
