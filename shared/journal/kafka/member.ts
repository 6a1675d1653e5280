/**
 * A group's member in this process: joins, holds what the group's leader gives it, heartbeats, hands over, leaves.
 *
 * It lives one session after the other; a session is one generation of the group. When the group rebalances, the member
 * first tells its handlers to end, waits for them with heartbeats and commits still going, and only then joins again: so
 * a partition never has two handlers, unless one does not end within `drainMs`. Commits carry the generation they
 * belong to, and Kafka refuses those of an older one.
 *
 * A lost connection ends nothing: Kafka counts a member by its heartbeats. Another connection goes on for the session.
 */
import { InvariantError } from '../../errors.ts'
import type { Consumer, ConsumeOptions } from '../port.ts'
import type { Log } from './client.ts'
import { createCommits } from './commits.ts'
import { answerOf } from './errors.ts'
import { createFetching } from './fetching.ts'
import { createGroup, type Joined, joinGroup } from './group.ts'
import { deadlineOf, keepAlive } from './heartbeat.ts'
import { type Lane, startLane } from './lane.ts'
import type { Link } from './link.ts'
import { pause } from './pause.ts'
import { placeOf, type Session } from './session.ts'

export type MemberDeps = {
  /** Of its own: a member that waits to join blocks its connection. Closed with it. */
  readonly link: Link
  readonly groupId: string
  readonly wireName: (topic: string) => string
  readonly log: Log
  /** After so long without a heartbeat its partitions go to others. */
  readonly leaseMs: number
}

const defaultMaxRecords = 500
const retryMs = 100

export function startMember({ link, groupId, wireName, log, leaseMs }: MemberDeps, options: ConsumeOptions): Consumer {
  const rebalanceMs = Math.max(10_000, leaseMs)
  const drainMs = rebalanceMs * 0.8
  const group = createGroup(groupId)
  const topics = options.topics.map(wireName)
  const stopping = new AbortController()
  let isJoined = () => {}
  const joined = new Promise<void>(resolve => (isJoined = resolve))
  /** Handlers of earlier sessions that have not ended yet, by `placeOf`. */
  const stragglers = new Map<string, Promise<void>>()
  let memberId = ''
  let session: Session | undefined
  let isTroubled = false

  const onError = (error: unknown) => options.onError?.(error)
  /** Of a row of failures the first is told, and the end. */
  const tell = (error: unknown) => {
    if (!isTroubled) onError(error)
    isTroubled = true
  }
  const fine = () => {
    if (isTroubled) log.info({ group: groupId }, 'the group’s member works again')
    isTroubled = false
  }
  const lost = (own: Session, why: unknown) => {
    if (answerOf(why) === 'UNKNOWN_MEMBER_ID') memberId = ''
    if (!own.mayCommit) return
    own.mayCommit = false
    onError(new Error(`Member ${own.memberId} of ${groupId} lost its session`, { cause: why }))
    own.over.abort()
  }
  const shared = { link, group, wireName, log, onError: tell, onAnswer: fine }
  const commit = createCommits({ ...shared, refused: lost, stopping: stopping.signal })
  const fetching = createFetching(shared)

  const run = async () => {
    while (!stopping.signal.aborted) {
      session = await join()
      if (!session) continue
      isJoined()
      await live(session)
    }
    await leave()
    isJoined()
  }

  /** @returns undefined when it has to be tried again */
  const join = async (): Promise<Session | undefined> => {
    try {
      const input = { topics, memberId, sessionMs: leaseMs, rebalanceMs }
      const found = await link.use(cluster => joinGroup(group, cluster, input, named => (memberId = named)))
      fine()
      const { generation, assigned } = found
      log.info({ group: groupId, generation, assigned }, 'joined the group')
      return openSession(found)
    } catch (error) {
      const answer = answerOf(error)
      if (answer === 'UNKNOWN_MEMBER_ID') memberId = ''
      if (answer === 'REBALANCE_IN_PROGRESS') return undefined
      tell(error)
      await pause(retryMs, stopping.signal)
      return undefined
    }
  }

  const openSession = ({ memberId: id, generation, assigned, at }: Joined): Session => {
    const own: Session = {
      memberId: id,
      generation,
      lanes: new Map(),
      over: new AbortController(),
      mayCommit: true,
      deadline: deadlineOf(at, leaseMs),
    }
    for (const topic of options.topics)
      for (const partition of assigned[wireName(topic)] ?? [])
        own.lanes.set(placeOf({ topic, partition }), openLane(own, { topic, partition }))
    return own
  }

  const openLane = (own: Session, place: { topic: string; partition: number }): Lane => {
    const { topic, partition } = place
    return startLane(
      {
        handle: options.handle,
        commit: next => commit({ session: own, topic, partition, next }),
        onAssigned: async () => options.onAssigned?.(topic, partition),
        onRevoked: async () => options.onRevoked?.(topic, partition),
        onError,
        hungry: () => fetching.wake(),
        maxRecords: options.maxRecords ?? defaultMaxRecords,
        after: stragglers.get(placeOf(place)),
      },
      place,
    )
  }

  /** Until the session is over and its handlers have ended. */
  const live = async (own: Session) => {
    const drained = new AbortController()
    const beating = keepAlive({ ...shared, sessionMs: leaseMs, lost }, own, drained.signal)
    const running = fetching.run(own)
    await untilAborted(own.over.signal, stopping.signal)
    own.over.abort()
    fetching.wake()
    for (const lane of own.lanes.values()) lane.abort()
    const ended = Promise.all([...own.lanes.values()].map(lane => lane.ended))
    // A stop waits for every handler; in a rebalance others are waiting.
    await within(drainMs, ended, stopping.signal)
    if (stopping.signal.aborted) await ended
    own.mayCommit = false
    drained.abort()
    await Promise.all([beating, running])
    for (const lane of own.lanes.values()) noteStraggler(lane)
  }

  const noteStraggler = (lane: Lane) => {
    const place = placeOf(lane)
    const ended = lane.ended.then(() => {
      if (stragglers.get(place) === ended) stragglers.delete(place)
    })
    stragglers.set(place, ended)
  }

  /** A courtesy to the others: without it they wait for the end of the session. */
  const leave = async () => {
    session = undefined
    if (memberId === '') return
    await link
      .use(async cluster => (await group.coordinator(cluster)).leaveGroup({ groupId, memberId }))
      .catch(error =>
        log.warn({ group: groupId, err: error }, 'could not leave the group; the others wait for the session to end'),
      )
  }

  const running = run()
  running.catch(error => onError(new InvariantError('the group’s member ended', { cause: error })))

  return {
    joined,
    assigned: () =>
      session && !session.over.signal.aborted
        ? [...session.lanes.values()].map(({ topic, partition }) => ({ topic, partition }))
        : [],
    async stop() {
      stopping.abort()
      await running
      await link.close()
    },
  }
}

/** Resolves when one of the signals is aborted. */
function untilAborted(...signals: AbortSignal[]): Promise<void> {
  return new Promise(resolve => {
    const done = () => {
      for (const signal of signals) signal.removeEventListener('abort', done)
      resolve()
    }
    for (const signal of signals) signal.addEventListener('abort', done)
    if (signals.some(signal => signal.aborted)) done()
  })
}

/** Resolves when `work` has ended, the time is up or the signal is aborted, whichever is first. Leaves nothing behind. */
async function within(ms: number, work: Promise<unknown>, signal: AbortSignal): Promise<void> {
  const over = new AbortController()
  const end = () => over.abort()
  signal.addEventListener('abort', end)
  if (signal.aborted) end()
  void work.then(end, end)
  await pause(ms, over.signal)
  signal.removeEventListener('abort', end)
}
