/**
 * One partition in the hands of one member: fetches, delivers, one delivery after the other, until it is ended.
 *
 * Records come on two ways. `offer` hands over what this process has just appended, without a round trip, if the lane
 * stands exactly there; whatever does not fit (a gap, a full buffer) only raises `end`, and the lane reads it from the
 * table. So memory is an accelerator: losing an offer loses nothing.
 */
import { CorruptionError } from '../../errors.ts'
import type { Delivery, JournalRecord } from '../port.ts'

export type Lane = {
  readonly topic: string
  readonly partition: number
  /** Consecutive records of this partition that were just committed by this process. */
  offer(records: readonly JournalRecord[]): void
  /** The partition ends at `end` now. True when the lane did not know. */
  advance(end: number): boolean
  /** Nothing is left to deliver, as far as is known, and no delivery is under way. */
  isAtEnd(): boolean
  /** Tells the handler to come to an end and takes no further delivery. */
  abort(): void
  /** Resolves after `abort`, when the last handler has returned and `onRevoked` is done. */
  readonly ended: Promise<void>
}

type Deps = {
  readonly handle: (delivery: Delivery) => Promise<void>
  /** Reads from `first`, at most up to `end`; may return fewer, none only when retention has deleted them. */
  readonly read: (first: number, end: number) => Promise<JournalRecord[]>
  readonly earliest: () => Promise<number>
  readonly commit: (next: number) => Promise<boolean>
  readonly onAssigned: () => Promise<void>
  readonly onRevoked: () => Promise<void>
  readonly onError: (error: unknown) => void
  readonly maxRecords: number
}

/** Handed over but not yet delivered. Beyond this the table is the buffer. */
const maxBuffered = { records: 4_000, characters: 16_000_000 }
const pausesMs = [50, 100, 250, 500, 1_000, 2_000, 5_000]

export function startLane(deps: Deps, at: { topic: string; partition: number; next: number; end: number }): Lane {
  const { topic, partition } = at
  const aborter = new AbortController()
  const { signal } = aborter
  let buffer: JournalRecord[] = []
  let characters = 0
  let next = at.next // first offset neither buffered nor delivered
  let end = at.end // first offset that does not exist, as far as is known
  let wake = () => {}
  let isWaiting = false

  const put = (records: readonly JournalRecord[]) => {
    for (const record of records) {
      buffer.push(record)
      characters += record.value.length
    }
    next = (records.at(-1) as JournalRecord).offset + 1
  }

  const takeSome = () => {
    const records = buffer.slice(0, deps.maxRecords)
    buffer = buffer.slice(records.length)
    for (const record of records) characters -= record.value.length
    return records
  }

  const fill = async () => {
    const first = next
    const records = await deps.read(first, end)
    if (next !== first) return // handed over meanwhile
    if (records.length > 0) return put(records)
    const earliest = await deps.earliest()
    if (earliest <= first) throw new CorruptionError(`${topic}/${partition} has a gap at offset ${first}`)
    next = earliest // retention was faster than this group
  }

  const deliver = async (records: readonly JournalRecord[]) => {
    const last = records.at(-1) as JournalRecord
    await deps.handle({
      topic,
      partition,
      records,
      signal,
      commit: (offset = last.offset) => deps.commit(offset + 1),
    })
  }

  /** Again after a pause, longer each time, until it succeeds or the lane ends. */
  const insist = async (work: () => Promise<void>) => {
    for (let failures = 0; !signal.aborted; failures += 1) {
      try {
        return await work()
      } catch (error) {
        deps.onError(error)
        await pauseUnlessAborted(pausesMs[Math.min(failures, pausesMs.length - 1)] as number, signal)
      }
    }
  }

  const woken = () =>
    new Promise<void>(resolve => {
      wake = resolve
      if (signal.aborted || buffer.length > 0 || next < end) resolve()
    })

  const run = async () => {
    await insist(deps.onAssigned)
    while (!signal.aborted) {
      if (buffer.length === 0 && next < end) await insist(fill)
      const records = takeSome()
      if (records.length > 0) await insist(() => deliver(records))
      else {
        isWaiting = true
        await woken()
        isWaiting = false
      }
    }
    await deps.onRevoked().catch(deps.onError)
  }

  return {
    topic,
    partition,
    offer(records) {
      const fits = buffer.length < maxBuffered.records && characters < maxBuffered.characters
      if (fits && records[0]?.offset === next) put(records)
      end = Math.max(end, (records.at(-1) as JournalRecord).offset + 1)
      wake()
    },
    advance(newEnd) {
      if (newEnd <= end) return false
      end = newEnd
      wake()
      return true
    },
    isAtEnd: () => isWaiting && buffer.length === 0 && next >= end && !signal.aborted,
    abort() {
      aborter.abort()
      wake()
    },
    ended: run(),
  }
}

function pauseUnlessAborted(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    const timer = setTimeout(done, ms)
    function done() {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    signal.addEventListener('abort', done)
    if (signal.aborted) done()
  })
}
