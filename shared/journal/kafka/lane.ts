/**
 * One partition in the hands of one member: takes what was fetched, delivers it, one delivery after the other, until it
 * is ended. It says what it would fetch next; while its buffer is full it wants nothing, and others go on.
 */
import type { Delivery, JournalRecord } from '../port.ts'
import { pause } from './pause.ts'

export type Lane = {
  readonly topic: string
  readonly partition: number
  /** Where to begin, and what the group has committed: known a moment after the assignment. */
  start(at: { next: number; committed: number | null }): void
  /** The offset to fetch from, or undefined while it has enough or does not know where it stands. */
  wants(): number | undefined
  isStarted(): boolean
  /** Records as fetched from `from`, in offset order, and where to go on behind them. Ignored when it stands elsewhere by now. */
  take(from: number, records: readonly JournalRecord[], next: number): void
  /** The offset to fetch does not exist (any more): goes on at another one. */
  jump(next: number): void
  /** Tells the handler to come to an end and takes no further delivery. */
  abort(): void
  /** Resolves after `abort`, when the last handler has returned and `onRevoked` is done. */
  readonly ended: Promise<void>
}

type Deps = {
  readonly handle: (delivery: Delivery) => Promise<void>
  /** Commits durably; false when the generation is over. */
  readonly commit: (next: number) => Promise<boolean>
  readonly onAssigned: () => Promise<void>
  readonly onRevoked: () => Promise<void>
  readonly onError: (error: unknown) => void
  /** Told when it wants records again. */
  readonly hungry: () => void
  readonly maxRecords: number
  /** The handler of an earlier lane of this partition, if it still runs: one after the other. */
  readonly after: Promise<void> | undefined
}

/** Of one partition, besides one fetch more: a backlog over all of them must fit into memory. */
const maxBuffered = { records: 2_000, characters: 4_000_000 }
const pausesMs = [50, 100, 250, 500, 1_000, 2_000, 5_000]

export function startLane(deps: Deps, { topic, partition }: { topic: string; partition: number }): Lane {
  const aborter = new AbortController()
  const { signal } = aborter
  let buffer: JournalRecord[] = []
  let characters = 0
  let next: number | undefined
  let committing = 0 // highest that was asked for: a commit never goes back
  let wake = () => {}

  const isFull = () => buffer.length >= maxBuffered.records || characters >= maxBuffered.characters

  const takeSome = () => {
    const wasFull = isFull()
    const records = buffer.slice(0, deps.maxRecords)
    buffer = buffer.slice(records.length)
    for (const record of records) characters -= record.value.length
    if (wasFull && !isFull()) deps.hungry()
    return records
  }

  const deliver = async (records: readonly JournalRecord[]) => {
    const last = records.at(-1) as JournalRecord
    const commit = (offset = last.offset) => {
      committing = Math.max(committing, offset + 1)
      return deps.commit(committing)
    }
    await deps.handle({ topic, partition, records, signal, commit })
  }

  /** Again after a pause, longer each time, until it succeeds or the lane ends. */
  const insist = async (work: () => Promise<void>) => {
    for (let failures = 0; !signal.aborted; failures += 1) {
      try {
        return await work()
      } catch (error) {
        deps.onError(error)
        await pause(pausesMs[Math.min(failures, pausesMs.length - 1)] as number, signal)
      }
    }
  }

  const woken = () =>
    new Promise<void>(resolve => {
      wake = resolve
      if (signal.aborted || buffer.length > 0) resolve()
    })

  const run = async () => {
    await deps.after
    await insist(deps.onAssigned)
    while (!signal.aborted) {
      const records = takeSome()
      if (records.length > 0) await insist(() => deliver(records))
      else await woken()
    }
    await deps.onRevoked().catch(deps.onError)
  }

  return {
    topic,
    partition,
    start(at) {
      next = at.next
      committing = at.committed ?? 0
      deps.hungry()
    },
    wants: () => (signal.aborted || isFull() ? undefined : next),
    isStarted: () => next !== undefined,
    take(from, records, behind) {
      if (signal.aborted || next !== from) return
      for (const record of records) {
        buffer.push(record)
        characters += record.value.length
      }
      next = behind
      wake()
    },
    jump(to) {
      next = to
    },
    abort() {
      aborter.abort()
      wake()
    },
    ended: run(),
  }
}
