/**
 * A group's member in this process: joins, holds its fair share of partitions, renews its lease, hands over, leaves.
 *
 * A member id lives as long as its lease. When the lease is lost (renewal came too late, or the database was away for
 * longer) all lanes are aborted, their handlers waited for, and the process joins again under a new id. Two fences keep
 * a member that does not notice from doing harm: a local deadline, taken before each renewal is sent, that aborts the
 * lanes; and the epoch, which every commit names.
 */
import { randomUUID } from 'node:crypto'
import { retryDeadlocks } from '../../postgres/errors.ts'
import type { Pool } from '../../postgres/pool.ts'
import type { Consumer, ConsumeOptions, JournalRecord } from '../port.ts'
import type { Committer } from './commits.ts'
import { expire, type GroupTopic, join, leave, readGroup, release, renew, take, type Taken } from './groups.ts'
import { type Lane, startLane } from './lane.ts'
import { placeOf } from './records.ts'
import { fairShare } from './share.ts'

export type Member = Consumer & {
  readonly group: string
  /** The lane of a partition (named by `placeOf`) if this member holds it. */
  lane(place: string): Lane | undefined
  /** What the poll saw of the group. True when the member had not known. */
  regroup(version: number, isBereaved: boolean): boolean
}

type Deps = {
  readonly pool: Pool
  readonly commit: Committer
  readonly read: (
    topic: string,
    partition: number,
    first: number,
    end: number,
    most: number,
  ) => Promise<JournalRecord[]>
  readonly earliest: (topic: string, partition: number) => Promise<number>
  /** Other members should be noticed soon. */
  readonly hurry: () => void
  readonly leaseMs: number
}

type Life = {
  readonly member: string
  readonly lanes: Map<string, Lane & { epoch: number }>
  /** Aborted when the lease is lost or the member stops. */
  readonly over: AbortController
}

const defaultMaxRecords = 500

export function startMember(deps: Deps, options: ConsumeOptions): Member {
  const { group, topics } = options
  const { pool, leaseMs } = deps
  const onError = (error: unknown) => options.onError?.(error)
  const stopping = new AbortController()
  const joined = promise()
  let life: Life | undefined
  let version = -1 // of the group, as last seen by the poll
  let wake = () => {}
  let expiring: Promise<void> | undefined

  /** Lives one life after the other until stopped. */
  const run = async () => {
    while (!stopping.signal.aborted) {
      try {
        await live()
      } catch (error) {
        if (!stopping.signal.aborted) onError(error)
        await untilAborted(stopping.signal, 100)
      }
    }
    joined.resolve()
  }

  const live = async () => {
    const current: Life = { member: randomUUID(), lanes: new Map(), over: new AbortController() }
    const startedAt = performance.now()
    await retryDeadlocks(() => join(pool, { group, member: current.member, topics, leaseMs }))
    life = current
    const renewing = keepAlive(current, startedAt)
    try {
      deps.hurry()
      while (!stopping.signal.aborted && !current.over.signal.aborted) {
        const balanced = version
        if (await insistOnBalance(current)) joined.resolve()
        await untilNews(current, balanced)
      }
    } finally {
      await end(current.lanes)
      current.over.abort()
      await renewing
      life = undefined
      await leave(pool, group, current.member).catch(onError)
    }
  }

  /** Until the group is no longer the one that was balanced, or the life is over; a lease's time at most. */
  const untilNews = (current: Life, balanced: number) =>
    new Promise<void>(resolve => {
      const { signal } = current.over
      const timer = setTimeout(done, leaseMs)
      function done() {
        clearTimeout(timer)
        signal.removeEventListener('abort', done)
        resolve()
      }
      wake = done
      signal.addEventListener('abort', done)
      if (version !== balanced || signal.aborted || stopping.signal.aborted) done()
    })

  /** Renews at a third of the lease; ends the life at the local deadline, or when the database says that it is over. */
  const keepAlive = async (current: Life, startedAt: number) => {
    const { signal } = current.over
    let deadline = startedAt + leaseMs * 0.9
    let pauseMs = leaseMs / 3
    while (!signal.aborted) {
      const isLate = await untilAborted(signal, Math.min(pauseMs, deadline - performance.now()))
      if (signal.aborted) return
      const askedAt = performance.now()
      if (isLate && askedAt >= deadline) return lose(current)
      const timer = setTimeout(() => lose(current), deadline - askedAt)
      try {
        if (!(await renew(pool, group, current.member, leaseMs))) return lose(current)
        deadline = askedAt + leaseMs * 0.9
        pauseMs = leaseMs / 3
      } catch (error) {
        onError(error)
        pauseMs = 100
      } finally {
        clearTimeout(timer)
      }
    }
  }

  const lose = (current: Life) => {
    if (current.over.signal.aborted) return
    onError(new Error(`Member ${current.member} of ${group} lost its lease`))
    current.over.abort()
    for (const lane of current.lanes.values()) lane.abort()
  }

  /** False when the life ended before a balance was found. */
  const insistOnBalance = async (current: Life): Promise<boolean> => {
    while (!current.over.signal.aborted && !stopping.signal.aborted) {
      try {
        for (const topic of await readGroup(pool, group, topics)) await balance(current, topic)
        return true
      } catch (error) {
        onError(error)
        await untilAborted(current.over.signal, 100)
      }
    }
    return false
  }

  const balance = async (current: Life, { topic, partitions, members }: GroupTopic) => {
    const share = fairShare(partitions, members, current.member)
    const held = [...current.lanes.values()].filter(lane => lane.topic === topic)
    const surplus = held.slice(share)
    if (surplus.length > 0) {
      await end(new Map(surplus.map(lane => [placeOf(lane), lane])))
      for (const lane of surplus) current.lanes.delete(placeOf(lane))
      await release(pool, { group, member: current.member, topic, partitions: surplus.map(lane => lane.partition) })
      deps.hurry()
    }
    if (held.length >= share) return
    const taken = await take(pool, { group, member: current.member, topic, most: share - held.length })
    for (const partition of taken) {
      if (!current.over.signal.aborted) current.lanes.set(placeOf(partition), openLane(current, partition))
    }
  }

  const openLane = (current: Life, taken: Taken): Lane & { epoch: number } => {
    const { topic, partition, epoch } = taken
    const maxRecords = options.maxRecords ?? defaultMaxRecords
    const lane = startLane(
      {
        handle: options.handle,
        read: (first, end) => deps.read(topic, partition, first, end, maxRecords),
        earliest: () => deps.earliest(topic, partition),
        commit: next => commitUnlessLost(current, { topic, partition, epoch, next }),
        onAssigned: async () => options.onAssigned?.(topic, partition),
        onRevoked: async () => options.onRevoked?.(topic, partition),
        onError,
        maxRecords,
      },
      taken,
    )
    return Object.assign(lane, { epoch })
  }

  /** Insists through a broken connection: a commit may be repeated, and only the lease's end makes it void. */
  const commitUnlessLost = async (
    current: Life,
    entry: { topic: string; partition: number; epoch: number; next: number },
  ): Promise<boolean> => {
    while (!current.over.signal.aborted) {
      try {
        return await deps.commit({ group, member: current.member, ...entry })
      } catch (error) {
        onError(error)
        await untilAborted(current.over.signal, 100)
      }
    }
    return false
  }

  const buryOnce = () => {
    expiring ??= retryDeadlocks(() => expire(pool, group))
      .catch(onError)
      .finally(() => (expiring = undefined))
  }

  const running = run()

  return {
    group,
    joined: joined.promise,
    assigned: () => [...(life?.lanes.values() ?? [])].map(({ topic, partition }) => ({ topic, partition })),
    lane: place => life?.lanes.get(place),
    regroup(newVersion, isBereaved) {
      if (isBereaved) buryOnce()
      if (newVersion === version) return isBereaved
      version = newVersion
      wake()
      return true
    },
    async stop() {
      stopping.abort()
      wake()
      await running
      deps.hurry()
    },
  }
}

/** Aborts lanes and waits for their handlers. */
async function end(lanes: ReadonlyMap<string, Lane>): Promise<void> {
  for (const lane of lanes.values()) lane.abort()
  await Promise.all([...lanes.values()].map(lane => lane.ended))
}

/** Resolves after the time with true, or with false as soon as the signal is aborted. */
function untilAborted(signal: AbortSignal, ms: number): Promise<boolean> {
  return new Promise(resolve => {
    const timer = setTimeout(() => done(true), Math.max(0, ms))
    const aborted = () => done(false)
    function done(inTime: boolean) {
      clearTimeout(timer)
      signal.removeEventListener('abort', aborted)
      resolve(inTime)
    }
    signal.addEventListener('abort', aborted)
    if (signal.aborted) done(false)
  })
}

function promise(): { promise: Promise<void>; resolve: () => void } {
  let resolve = () => {}
  const made = new Promise<void>(done => (resolve = done))
  return { promise: made, resolve }
}
