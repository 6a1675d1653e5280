/**
 * Fetching for the lanes of a session: one fetch at a time and broker, for the lanes that it leads and that have room. A
 * lane begins behind what the group has committed, or at the earliest record.
 */
import type { Log } from './client.ts'
import { answerOf } from './errors.ts'
import { type FetchFrom, fetchFrom } from './fetch.ts'
import type { Group } from './group.ts'
import { groupBy } from './group-by.ts'
import type { Link } from './link.ts'
import { byLeader, fetchCommitted, listOffsets } from './offsets.ts'
import { pause } from './pause.ts'
import { earliest } from './protocol.ts'
import { placeOf, type Session } from './session.ts'

export type Fetching = {
  /** Fetches until the session is over. A fetch that still waits then is left to itself. */
  run(session: Session): Promise<void>
  /** A lane wants records again, or the session is over. */
  wake(): void
}

type Deps = {
  readonly link: Link
  readonly group: Group
  readonly wireName: (topic: string) => string
  readonly log: Log
  readonly onError: (error: unknown) => void
  /** Told after each answer. */
  readonly onAnswer: () => void
}

/** How long a fetch waits where there is nothing; it answers at once where there is. */
const maxWaitMs = 250
const retryMs = 100

export function createFetching(deps: Deps): Fetching {
  const { link, wireName, onError } = deps
  let wake = () => {}

  const run = async (session: Session) => {
    const { signal } = session.over
    const busy = new Set<string>()
    while (!signal.aborted) {
      const woken = new Promise<void>(resolve => (wake = resolve))
      try {
        await startLanes(deps, session)
        for (const [nodeId, from] of await wantedByLeader(deps, session)) {
          if (busy.has(nodeId) || signal.aborted) continue
          busy.add(nodeId)
          void fetchOnce(session, nodeId, from).finally(() => {
            busy.delete(nodeId)
            wake()
          })
        }
      } catch (error) {
        onError(error)
        await pause(retryMs, signal)
        continue
      }
      await woken
    }
  }

  const fetchOnce = async (session: Session, nodeId: string, from: FetchFrom[]) => {
    try {
      const fetched = await link.use(async cluster =>
        fetchFrom(await cluster.findBroker({ nodeId }), from, { wireName, maxWaitMs }),
      )
      deps.onAnswer()
      for (const { topic, partition, offset, records, next } of fetched)
        session.lanes.get(placeOf({ topic, partition }))?.take(offset, records, next)
    } catch (error) {
      if (session.over.signal.aborted) return
      if (answerOf(error) === 'OFFSET_OUT_OF_RANGE')
        return jumpToEarliest(deps, session, error as OutOfRange).catch(onError)
      onError(error)
      await pause(retryMs, session.over.signal)
    }
  }

  return { run, wake: () => wake() }
}

/** Tells lanes that do not know yet where they stand. */
async function startLanes({ link, group, wireName }: Deps, session: Session): Promise<void> {
  const waiting = [...session.lanes.values()].filter(lane => !lane.isStarted())
  for (const [topic, lanes] of groupBy(waiting, lane => wireName(lane.topic))) {
    const partitions = lanes.map(lane => lane.partition)
    await link.use(async cluster => {
      const committed = await fetchCommitted(await group.coordinator(cluster), group.id, topic, partitions)
      const fresh = partitions.filter(partition => committed.get(partition) === null)
      const begins = fresh.length > 0 ? await listOffsets(cluster, topic, fresh, earliest) : new Map<number, number>()
      for (const lane of lanes) {
        const at = committed.get(lane.partition) ?? null
        lane.start({ next: at ?? (begins.get(lane.partition) as number), committed: at })
      }
    })
  }
}

function wantedByLeader({ link, wireName }: Deps, session: Session): Promise<Map<string, FetchFrom[]>> {
  return link.use(async cluster => {
    await cluster.refreshMetadataIfNecessary()
    const wanted = [...session.lanes.values()].flatMap(lane => {
      const offset = lane.wants()
      return offset === undefined ? [] : [{ topic: lane.topic, partition: lane.partition, offset }]
    })
    return groupBy(
      wanted,
      ({ topic, partition }) => byLeader(cluster, wireName(topic), [partition]).keys().next().value as string,
    )
  })
}

/** Of kafkajs's error; the topic is as it is called in Kafka. */
type OutOfRange = { readonly topic: string; readonly partition: number }

/** What was to come next is gone, or never was: from the earliest on, because what is skipped is lost for ever. */
async function jumpToEarliest({ link, group, wireName, log }: Deps, session: Session, at: OutOfRange): Promise<void> {
  const lanes = [...session.lanes.values()]
  const lane = lanes.find(each => wireName(each.topic) === at.topic && each.partition === at.partition)
  const wanted = lane?.wants()
  if (!lane || wanted === undefined) return
  const begins = await link.use(cluster => listOffsets(cluster, at.topic, [at.partition], earliest))
  const next = begins.get(at.partition) as number
  log.warn(
    { group: group.id, topic: lane.topic, partition: at.partition, offset: wanted, earliest: next },
    'the group’s offset is not in the journal (any more); it goes on from the earliest record there is',
  )
  lane.jump(next)
}
