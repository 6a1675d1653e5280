/**
 * The sink: every record of `holdfast.events` becomes one row of the history, none twice, whatever dies in between.
 *
 * Records wait in one buffer in order of arrival; about once a second a batch of at most `maxRows` goes out in one
 * insert, and only then are its offsets committed. A batch stays in the buffer until it is confirmed.
 *
 * What can break, and why it does no harm:
 * - the insert fails, or took effect and was reported as failed: the partitions of the batch are in doubt; the next
 *   try asks the table which offsets it has and inserts the missing ones.
 * - killed between insert and commit: the next owner is handed the same records and asks first.
 * - the commit fails or comes too late: as above. The journal's offset is a lower bound, nothing else.
 * - ClickHouse is down: the buffer fills, deliveries wait, the journal keeps the rest; retried with growing pauses.
 * - a record is no event: `holdfast.rejected` gets its reference, the history a `record.rejected` row at its offset.
 *   First the one, then the other: where the row is, the reference is.
 * - the partition goes to another member: its records are dropped here, after an insert under way has ended.
 * - it went to another member, and this one does not know yet: `fence.ts`.
 */
import { randomUUID } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import type { Delivery, Journal, JournalRecord, PartitionLag } from '../../../shared/journal/port.ts'
import { topics } from '../../../shared/journal/topics.ts'
import { crashPoint } from '../../../shared/process/crash-point.ts'
import type { Log } from '../log.ts'
import { type InsertBounds, insertLimitSeconds } from '../../../shared/clickhouse/events.ts'
import { createChanges } from './changes.ts'
import { createFence, type FenceTimes } from './fence.ts'
import type { History } from './history.ts'
import { type Certainty, missingOf } from './missing.ts'
import { rejectedRecord, rowFor } from './rejected.ts'

export const sinkGroup = 'holdfast-audit'

export type SinkDeps = { readonly journal: Journal; readonly history: History; readonly log: Log }

export type SinkOptions = {
  /** Most rows of one insert. 2,000 stall the event loop about 14 ms over the embedded engine. */
  readonly maxRows: number
  /** Pause between inserts while fewer than `maxRows` wait, milliseconds. */
  readonly intervalMs: number
  /** Records held at a time; deliveries wait beyond it. */
  readonly maxBuffered: number
  readonly retryMs: { readonly first: number; readonly most: number }
  readonly fence: FenceTimes
}

export const sinkDefaults: SinkOptions = {
  maxRows: 2_000,
  intervalMs: 1_000,
  maxBuffered: 10_000,
  retryMs: { first: 200, most: 5_000 },
  fence: { sendMs: 3_000, insertMs: insertLimitSeconds * 1_000, slackMs: 2_000 },
}

export type Sink = {
  /** Why the last try failed, while it does; undefined when all is well. */
  failing(): string | undefined
  lag(): Promise<readonly PartitionLag[]>
  /** Tries to write what waits, once, then leaves the group. What could not be written comes again to the next owner. */
  stop(): Promise<void>
}

type Entry = { readonly record: JournalRecord; readonly delivery: Delivery }

export async function startSink(deps: SinkDeps, options: SinkOptions = sinkDefaults): Promise<Sink> {
  const { journal, log } = deps
  const changes = createChanges()
  const certain: Certainty = new Map()
  const topic = topics.events.name
  const fence = createFence(
    { writers: deps.history.writers, topic, writer: randomUUID(), now: () => performance.now() },
    options.fence,
  )
  /** Highest offset taken into the buffer by partition: what is handed over again is not taken again. */
  const taken = new Map<number, number>()
  /** Of each partition in the buffer, the signal of the assignment it came under. */
  const assignments = new Map<number, AbortSignal>()
  let buffer: Entry[] = []
  let stopping = false
  let failure: string | undefined
  let flushing: Promise<unknown> = Promise.resolve()

  const forget = (partition: number) => {
    certain.delete(partition)
    taken.delete(partition)
    assignments.delete(partition)
    buffer = buffer.filter(entry => entry.record.partition !== partition)
    changes.tell()
  }
  /** Records this member may no longer write. Called before newer ones of the partition are taken, so none of those go along. */
  const forgetLost = () => {
    for (const [partition, signal] of assignments) if (signal.aborted) forget(partition)
  }

  const take = async (delivery: Delivery) => {
    forgetLost()
    assignments.set(delivery.partition, delivery.signal)
    for (const record of delivery.records) {
      if (stopping || record.offset <= (taken.get(record.partition) ?? -1)) continue
      taken.set(record.partition, record.offset)
      buffer.push({ record, delivery })
    }
    changes.tell()
    const mayReturn = () => buffer.length < options.maxBuffered || stopping || delivery.signal.aborted
    if (mayReturn()) return
    delivery.signal.addEventListener('abort', changes.tell, { once: true })
    await changes.until(mayReturn)
    delivery.signal.removeEventListener('abort', changes.tell)
  }

  /** One try for the oldest records that may be written. When it throws, they are in doubt and still in the buffer. */
  const flush = async () => {
    forgetLost()
    const mine = await fence.take([...assignments.keys()])
    const sendBy = await fence.sendBy()
    // Whose assignment is over by now must not be written: no check of it comes later than this one.
    forgetLost()
    const batch = buffer.filter(({ record }) => mine.has(record.partition)).slice(0, options.maxRows)
    if (batch.length === 0) return
    const partitions = new Set(batch.map(({ record }) => record.partition))
    try {
      await write(deps, certain, batch, { sendBy, seconds: options.fence.insertMs / 1_000 })
    } catch (error) {
      for (const partition of partitions) certain.delete(partition)
      fence.doubt(partitions, true)
      throw error
    }
    fence.doubt(partitions, false)
    const written = new Set(batch)
    buffer = buffer.filter(entry => !written.has(entry))
    changes.tell()
    const lost = await commit(log, batch)
    crashPoint('sink.committed')
    for (const partition of lost) forget(partition)
  }

  const writable = () => buffer.reduce((count, { record }) => count + (fence.mayWrite(record.partition) ? 1 : 0), 0)

  const tryFlush = async (): Promise<boolean> => {
    const result = flush().then(
      () => undefined,
      (error: unknown) => ({ error }),
    )
    flushing = result
    const failed = await result
    if (failed && failure === undefined) {
      log.warn(
        { err: failed.error },
        'rows could not be written to the history; the journal keeps them and they are tried again',
      )
    }
    if (!failed && failure !== undefined) log.info('the history takes rows again')
    failure = failed && (failed.error instanceof Error ? failed.error.message : String(failed.error))
    return !failed
  }

  const run = async () => {
    let retryMs = options.retryMs.first
    while (!stopping) {
      await changes.until(() => buffer.length > 0 || stopping)
      if (stopping) return
      if (await tryFlush()) {
        retryMs = options.retryMs.first
        await changes.until(() => writable() >= options.maxRows || stopping, options.intervalMs)
      } else {
        await changes.until(() => stopping, retryMs)
        retryMs = Math.min(retryMs * 2, options.retryMs.most)
      }
    }
  }

  const running = run()
  const consumer = await journal.consume({
    group: sinkGroup,
    topics: [topics.events.name],
    maxRecords: options.maxRows,
    handle: take,
    onAssigned: async (_, partition) => forget(partition),
    onRevoked: async (_, partition) => {
      forget(partition)
      await flushing
      await fence.giveBack([partition])
    },
    onError: error => log.warn({ err: error }, 'the journal reported an error to the history sink'),
  })

  return {
    failing: () => failure,
    lag: () => journal.lag(sinkGroup, topics.events.name),
    stop: async () => {
      stopping = true
      changes.tell()
      await running
      for (let left = Infinity; buffer.length > 0 && buffer.length < left && (await tryFlush()); ) left = buffer.length
      await consumer.stop()
    },
  }
}

async function write(
  { journal, history }: SinkDeps,
  certain: Certainty,
  batch: readonly Entry[],
  bounds: InsertBounds,
): Promise<void> {
  const missing = await missingOf(history, certain, batch)
  crashPoint('sink.readback.done')
  const rejected = []
  const rows = []
  for (const [index, { record }] of missing.entries()) {
    // A full batch takes about 15 ms to read: others get their turn in between.
    if (index % 500 === 499) await setImmediate()
    const { row, rejection } = rowFor(record)
    rows.push(row)
    if (rejection) rejected.push(rejectedRecord(record, rejection))
  }
  if (rejected.length > 0) {
    await journal.append(rejected)
    crashPoint('sink.rejected.recorded')
  }
  if (rows.length > 0) await history.insert(rows, bounds)
  crashPoint('sink.inserted')
}

/**
 * Commits the last offset of each partition. A failure is only told: the next commit is higher.
 * @returns partitions that belong to another member by now
 */
async function commit(log: Log, batch: readonly Entry[]): Promise<number[]> {
  const lost: number[] = []
  for (const [partition, { record, delivery }] of new Map(batch.map(entry => [entry.record.partition, entry]))) {
    try {
      if (!(await delivery.commit(record.offset))) lost.push(partition)
    } catch (error) {
      log.warn(
        { err: error, partition },
        'the journal did not take the offset of the history; it will take a later one',
      )
    }
  }
  return lost
}
