/**
 * A group's member in this process: joins, holds what the group's leader gives it, heartbeats, hands over, leaves.
 *
 * It lives one session after the other; a session is one generation of the group. When the group rebalances, the member
 * first tells its handlers to end, waits for them with heartbeats and commits still going, and only then joins again: so
 * a partition never has two handlers, unless one does not end within `drainMs`. Commits carry the generation they
 * belong to, and Kafka refuses those of an older one. A heartbeat that stays unanswered for nearly the session's time
 * ends the session from this side.
 *
 * A lost connection ends nothing: Kafka counts a member by its heartbeats. Another connection goes on for the session.
 */
import { AssignerProtocol, PartitionAssigners } from 'kafkajs'
import { createBatcher } from '../../batch/batcher.ts'
import { InvariantError } from '../../errors.ts'
import type { Consumer, ConsumeOptions } from '../port.ts'
import type { Log } from './client.ts'
import { answerOf } from './errors.ts'
import { type FetchFrom, fetchFrom } from './fetch.ts'
import { groupBy } from './group-by.ts'
import { type Lane, startLane } from './lane.ts'
import type { Link } from './link.ts'
import { byLeader, fetchCommitted, listOffsets } from './offsets.ts'
import { pause } from './pause.ts'
import { type Broker, type Cluster, earliest } from './protocol.ts'

export type MemberDeps = {
  /** Of its own: a member that waits to join blocks its connection. */
  readonly link: Link
  readonly groupId: string
  readonly wireName: (topic: string) => string
  readonly log: Log
  readonly leaseMs: number
}

type Session = {
  readonly memberId: string
  readonly generation: number
  readonly lanes: Map<string, Lane>
  /** Aborted when the lanes must end: a rebalance, a lost session, a stop. */
  readonly over: AbortController
  /** Until the next join is sent or the group has said no. */
  mayCommit: boolean
  /** Monotonic: by then the group may have given the partitions to others. */
  deadline: number
}

type Commit = { readonly session: Session; readonly topic: string; readonly partition: number; readonly next: number }

const defaultMaxRecords = 500
/** How long a fetch waits where there is nothing; it answers at once where there is. A stop or rebalance waits for none. */
const maxWaitMs = 250
const retryMs = 100

export function startMember(deps: MemberDeps, options: ConsumeOptions): Consumer {
  const { link, groupId, wireName, log, leaseMs } = deps
  const heartbeatMs = Math.min(300, leaseMs / 10)
  const rebalanceMs = Math.max(10_000, leaseMs)
  const drainMs = rebalanceMs * 0.8
  const stopping = new AbortController()
  let isJoined = () => {}
  const joined = new Promise<void>(resolve => (isJoined = resolve))
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

  const run = async () => {
    while (!stopping.signal.aborted) {
      const startedAt = performance.now()
      try {
        session = await join(startedAt)
      } catch (error) {
        if (answerOf(error) === 'UNKNOWN_MEMBER_ID') memberId = ''
        if (answerOf(error) === 'REBALANCE_IN_PROGRESS') continue
        tell(error)
        await pause(retryMs, stopping.signal)
        continue
      }
      isJoined()
      await live(session)
    }
    await leave()
    isJoined()
  }

  const join = (startedAt: number) =>
    link.use(async (cluster): Promise<Session> => {
      const coordinator = await coordinatorOf(cluster)
      const assigner = PartitionAssigners.roundRobin({ cluster, groupId, logger: undefined as never } as never)
      const topics = options.topics.map(wireName)
      const group = await coordinator.joinGroup({
        groupId,
        sessionTimeout: leaseMs,
        rebalanceTimeout: rebalanceMs,
        memberId,
        groupProtocols: [assigner.protocol({ topics })],
      })
      memberId = group.memberId
      const isLeader = group.leaderId === memberId
      const joinedAt = performance.now()
      const { memberAssignment } = await coordinator.syncGroup({
        groupId,
        generationId: group.generationId,
        memberId,
        groupAssignment: isLeader ? await assigner.assign({ members: group.members, topics }) : [],
      })
      fine()
      const assigned = AssignerProtocol.MemberAssignment.decode(memberAssignment)?.assignment ?? {}
      log.info(
        { group: groupId, generation: group.generationId, assigned, tookMs: Math.round(performance.now() - startedAt) },
        'joined the group',
      )
      const opened: Session = {
        memberId,
        generation: group.generationId,
        lanes: new Map(),
        over: new AbortController(),
        mayCommit: true,
        deadline: joinedAt + leaseMs * 0.9,
      }
      for (const topic of options.topics)
        for (const partition of assigned[wireName(topic)] ?? [])
          opened.lanes.set(`${topic}/${partition}`, openLane(opened, topic, partition))
      return opened
    })

  const openLane = (own: Session, topic: string, partition: number): Lane => {
    const place = `${topic}/${partition}`
    return startLane(
      {
        handle: options.handle,
        commit: next => insistOnCommit({ session: own, topic, partition, next }),
        onAssigned: async () => options.onAssigned?.(topic, partition),
        onRevoked: async () => options.onRevoked?.(topic, partition),
        onError,
        hungry: () => wakeFetching(),
        maxRecords: options.maxRecords ?? defaultMaxRecords,
        after: stragglers.get(place),
      },
      { topic, partition },
    )
  }

  const live = async (own: Session) => {
    const drained = new AbortController()
    const beating = heartbeats(own, drained.signal)
    const fetching = fetchAll(own)
    await until(own.over.signal, stopping.signal)
    own.over.abort()
    for (const lane of own.lanes.values()) lane.abort()
    wakeFetching()
    const ended = Promise.all([...own.lanes.values()].map(lane => lane.ended))
    // A stop waits for every handler; a rebalance has others waiting.
    await (stopping.signal.aborted ? ended : Promise.race([ended, pause(drainMs, stopping.signal)]))
    if (stopping.signal.aborted) await ended
    own.mayCommit = false
    drained.abort()
    await Promise.all([beating, fetching])
    for (const [place, lane] of own.lanes) {
      const straggling = lane.ended.then(() => {
        if (stragglers.get(place) === straggling) stragglers.delete(place)
      })
      stragglers.set(place, straggling)
    }
  }

  /** The group has, or may have, given the partitions away. */
  const lose = (own: Session, why: unknown) => {
    if (!own.mayCommit) return
    own.mayCommit = false
    onError(new Error(`Member ${own.memberId} of ${groupId} lost its session`, { cause: why }))
    own.over.abort()
  }

  const heartbeats = async (own: Session, signal: AbortSignal) => {
    let pauseMs = heartbeatMs
    const watch = setInterval(() => {
      if (performance.now() > own.deadline) lose(own, new Error('no heartbeat was answered in time'))
    }, 50)
    while (own.mayCommit && !signal.aborted) {
      await pause(pauseMs, signal)
      if (signal.aborted || !own.mayCommit) break
      const askedAt = performance.now()
      pauseMs = heartbeatMs
      try {
        await link.use(async cluster => (await coordinatorOf(cluster)).heartbeat(identity(own)))
        own.deadline = askedAt + leaseMs * 0.9
        fine()
      } catch (error) {
        const answer = answerOf(error)
        if (answer === 'REBALANCE_IN_PROGRESS') {
          own.deadline = askedAt + leaseMs * 0.9
          own.over.abort()
        } else if (answer === 'UNKNOWN_MEMBER_ID' || answer === 'ILLEGAL_GENERATION') refused(own, error)
        else {
          tell(error)
          pauseMs = retryMs
        }
      }
    }
    clearInterval(watch)
  }

  const identity = (own: Session) => ({
    groupId,
    groupGenerationId: own.generation,
    memberId: own.memberId,
  })

  const refused = (own: Session, error: unknown) => {
    if (answerOf(error) === 'UNKNOWN_MEMBER_ID') memberId = ''
    lose(own, error)
  }

  /** The coordinator's connection is part of the cluster it was found with. */
  const coordinators = new WeakMap<Cluster, Promise<Broker>>()
  const coordinatorOf = (cluster: Cluster): Promise<Broker> => {
    const known = coordinators.get(cluster)
    if (known) return known
    const found = cluster.findGroupCoordinator({ groupId })
    coordinators.set(cluster, found)
    return found
  }

  let wakeFetching = () => {}

  /** One fetch at a time and broker, for the lanes that it leads and that have room. */
  const fetchAll = async (own: Session) => {
    const { signal } = own.over
    const busy = new Set<string>()
    while (!signal.aborted) {
      const woken = new Promise<void>(resolve => (wakeFetching = resolve))
      try {
        await prepare(own)
        const leaders = await leadersOf(own)
        for (const [nodeId, from] of leaders) {
          if (busy.has(nodeId) || signal.aborted) continue
          busy.add(nodeId)
          void fetchOnce(own, nodeId, from).finally(() => {
            busy.delete(nodeId)
            wakeFetching()
          })
        }
      } catch (error) {
        tell(error)
        await pause(retryMs, signal)
        continue
      }
      await woken // also by whoever ends the session
    }
  }

  /** Finds out where lanes stand that do not know yet: behind what the group committed, else at the beginning. */
  const prepare = async (own: Session) => {
    for (const topic of options.topics) {
      const lanes = [...own.lanes.values()].filter(lane => lane.topic === topic && !lane.isStarted())
      const partitions = lanes.map(lane => lane.partition)
      if (lanes.length === 0) continue
      await link.use(async cluster => {
        const committed = await fetchCommitted(await coordinatorOf(cluster), groupId, wireName(topic), partitions)
        const fresh = partitions.filter(partition => committed.get(partition) === null)
        const begins = fresh.length > 0 ? await listOffsets(cluster, wireName(topic), fresh, earliest) : new Map()
        for (const lane of lanes) {
          const at = committed.get(lane.partition) ?? null
          lane.start({ next: at ?? (begins.get(lane.partition) as number), committed: at })
        }
      })
    }
  }

  const leadersOf = (own: Session) =>
    link.use(async cluster => {
      await cluster.refreshMetadataIfNecessary()
      const leaders = new Map<string, FetchFrom[]>()
      for (const lane of own.lanes.values()) {
        const { topic, partition } = lane
        const offset = lane.wants()
        if (offset === undefined) continue
        for (const nodeId of byLeader(cluster, wireName(topic), [partition]).keys())
          leaders.set(nodeId, [...(leaders.get(nodeId) ?? []), { topic, partition, offset }])
      }
      return leaders
    })

  const fetchOnce = async (own: Session, nodeId: string, from: FetchFrom[]) => {
    try {
      const fetched = await link.use(async cluster =>
        fetchFrom(await cluster.findBroker({ nodeId }), from, { wireName, maxWaitMs }),
      )
      fine()
      for (const { topic, partition, offset, records, next } of fetched)
        own.lanes.get(`${topic}/${partition}`)?.take(offset, records, next)
    } catch (error) {
      if (own.over.signal.aborted) return
      if (answerOf(error) === 'OFFSET_OUT_OF_RANGE') await restart(own, error as OutOfRange).catch(tell)
      else {
        tell(error)
        await pause(retryMs, own.over.signal)
      }
    }
  }

  /** What was to come next is gone, or never was: from the earliest on, because what is skipped is lost for ever. */
  const restart = async (own: Session, { topic: wire, partition }: OutOfRange) => {
    const lane = [...own.lanes.values()].find(each => wireName(each.topic) === wire && each.partition === partition)
    const at = lane?.wants()
    if (!lane || at === undefined) return
    const begin = await link.use(cluster => listOffsets(cluster, wire, [partition], earliest))
    const next = begin.get(partition) as number
    log.warn(
      { group: groupId, topic: lane.topic, partition, offset: at, earliest: next },
      'the group’s offset is not in the journal (any more); it goes on from the earliest record there is',
    )
    lane.jump(next)
  }

  const commits = createBatcher<Commit, boolean>(entries => commitHighest(entries), { maxItems: 512, maxInFlight: 1 })

  /** All of one session: entries of another, older one are refused without asking. */
  const commitHighest = async (entries: Commit[]): Promise<boolean[]> => {
    const own = entries.find(entry => entry.session.mayCommit)?.session
    if (!own) return entries.map(() => false)
    const highest = new Map<string, Commit>()
    for (const entry of entries) {
      const place = `${entry.topic}/${entry.partition}`
      if (entry.session === own && entry.next > (highest.get(place)?.next ?? 0)) highest.set(place, entry)
    }
    const topics = groupBy(highest.values(), entry => wireName(entry.topic))
    await link.use(async cluster =>
      (await coordinatorOf(cluster)).offsetCommit({
        ...identity(own),
        topics: [...topics].map(([topic, list]) => ({
          topic,
          partitions: list.map(({ partition, next }) => ({ partition, offset: String(next) })),
        })),
      }),
    )
    return entries.map(entry => entry.session === own)
  }

  /** A commit may be repeated, and only the generation's end makes it void. */
  const insistOnCommit = async (entry: Commit): Promise<boolean> => {
    while (entry.session.mayCommit) {
      try {
        return await commits.add(entry)
      } catch (error) {
        const answer = answerOf(error)
        if (answer === 'REBALANCE_IN_PROGRESS') return false
        if (answer === 'UNKNOWN_MEMBER_ID' || answer === 'ILLEGAL_GENERATION') refused(entry.session, error)
        else {
          tell(error)
          // Whoever stops does not wait for a Kafka that is away: what is not committed comes again.
          if (stopping.signal.aborted) return false
          await pause(retryMs, stopping.signal)
        }
      }
    }
    return false
  }

  /** A courtesy to the others: without it they wait for the end of the session. */
  const leave = async () => {
    if (memberId === '') return
    await link
      .use(async cluster => (await coordinatorOf(cluster)).leaveGroup({ groupId, memberId }))
      .catch(error =>
        log.warn({ group: groupId, err: error }, 'could not leave the group; it waits for the session to end'),
      )
    session = undefined
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

type OutOfRange = { readonly topic: string; readonly partition: number }

/** Resolves when one of the signals is aborted. */
function until(...signals: AbortSignal[]): Promise<void> {
  return new Promise(resolve => {
    const done = () => {
      for (const signal of signals) signal.removeEventListener('abort', done)
      resolve()
    }
    for (const signal of signals) signal.addEventListener('abort', done)
    if (signals.some(signal => signal.aborted)) done()
  })
}
