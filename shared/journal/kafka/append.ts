/**
 * Appending: calls that wait while a request is under way go together in the next one; one request is in flight at a
 * time, acknowledged by all replicas that are in sync.
 *
 * What an error means (J1): until a request with records has been handed to a connection, nothing can be in the journal:
 * refused. From then on only the broker's word that it did not take them refutes it, and only for a single partition,
 * since kafkajs tells of one answer only: everything else is doubtful. A request is tried again while there is time, also
 * a doubtful one: records may then be there twice, as they may after any doubtful append, and their ids tell.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { createBatcher } from '../../batch/batcher.ts'
import { AppendDoubtful, AppendRefused, type NewRecord, type Position } from '../port.ts'
import { isLoginRefused, isNotAppended, isRefusal, messageOf as wordsOf } from './errors.ts'
import { groupBy } from './group-by.ts'
import type { Link } from './link.ts'
import { byLeader } from './offsets.ts'
import type { Cluster } from './protocol.ts'
import { messageOf, sizeOf } from './records.ts'

export type Appender = { append(records: readonly NewRecord[]): Promise<readonly Position[]> }

type Deps = {
  readonly link: Link
  readonly wireName: (topic: string) => string
  readonly partitions: (topic: string) => number
  /** Of the records of one call in one partition, which go in one batch. */
  readonly maxRecordBytes: number
  /** kafkajs's number of the compression. */
  readonly compression: number
  /** How long to try while nothing was sent, and while something may have been. */
  readonly patienceMs: { readonly unsent: number; readonly doubtful: number }
}

type Call = { readonly records: readonly NewRecord[]; readonly bytes: ReadonlyMap<string, number> }
type Settled = { readonly positions: Position[] } | { readonly error: unknown }

const maxCalls = 512
/** Of one request, over all partitions: far below what a broker takes (100 MB), and sent in well under a second. */
const maxRequestBytes = 32 * 1024 * 1024
const retryMs = [20, 50, 100, 250]

export function createAppender(deps: Deps): Appender {
  const flush = async (calls: Call[]): Promise<Settled[]> => {
    const settled: Settled[] = []
    for (const group of inRequests(calls, deps.maxRecordBytes)) settled.push(...(await send(deps, group)))
    return settled
  }
  const batcher = createBatcher(flush, { maxItems: maxCalls, maxInFlight: 1 })

  return {
    async append(records) {
      if (records.length === 0) return []
      const settled = await batcher.add({ records, bytes: bytesOf(records, deps) })
      if ('error' in settled) throw settled.error
      return settled.positions
    },
  }
}

const placeOf = ({ topic, partition }: NewRecord) => `${topic}/${partition}`

/** @throws AppendRefused for what Kafka could not take, before it joins others in a batch */
function bytesOf(records: readonly NewRecord[], { partitions, maxRecordBytes }: Deps): Map<string, number> {
  const bytes = new Map<string, number>()
  for (const record of records) {
    const { topic, partition } = record
    const count = partitions(topic)
    if (!Number.isInteger(partition) || partition < 0 || partition >= count)
      throw new AppendRefused(`There is no partition ${partition} in topic ${topic}, which has ${count}`)
    const size = sizeOf(record)
    if (size > maxRecordBytes) throw new AppendRefused(`A record of ${size} bytes is larger than ${maxRecordBytes}`)
    const sum = (bytes.get(placeOf(record)) ?? 0) + size
    if (sum > maxRecordBytes)
      throw new AppendRefused(
        `Records of ${sum} bytes for one partition are more than one append takes (${maxRecordBytes})`,
      )
    bytes.set(placeOf(record), sum)
  }
  return bytes
}

/** Calls in their order, in as few requests as the sizes allow: a partition's records of one request are one batch. */
function inRequests(calls: readonly Call[], maxBatchBytes: number): Call[][] {
  const requests: Call[][] = []
  let batches = new Map<string, number>()
  let total = 0
  for (const call of calls) {
    const size = [...call.bytes.values()].reduce((sum, bytes) => sum + bytes, 0)
    const fits =
      total + size <= maxRequestBytes &&
      [...call.bytes].every(([place, bytes]) => (batches.get(place) ?? 0) + bytes <= maxBatchBytes)
    if (requests.length === 0 || !fits) {
      requests.push([])
      batches = new Map()
      total = 0
    }
    requests.at(-1)?.push(call)
    total += size
    for (const [place, bytes] of call.bytes) batches.set(place, (batches.get(place) ?? 0) + bytes)
  }
  return requests
}

async function send(deps: Deps, calls: readonly Call[]): Promise<Settled[]> {
  const batches = groupBy(
    calls.flatMap(call => call.records),
    placeOf,
  )
  try {
    const next = await insist(deps, batches)
    return calls.map(call => ({ positions: call.records.map(record => positionOf(record, next)) }))
  } catch (error) {
    return calls.map(() => ({ error }))
  }
}

/** Takes the next offset of the record's batch: records of a batch lie in the order they were sent in. */
function positionOf(record: NewRecord, next: Map<string, number>): Position {
  const { topic, partition } = record
  const offset = next.get(placeOf(record)) as number
  next.set(placeOf(record), offset + 1)
  return { topic, partition, offset }
}

/** @returns the first offset of each batch */
async function insist(deps: Deps, batches: ReadonlyMap<string, NewRecord[]>): Promise<Map<string, number>> {
  const { link, patienceMs } = deps
  const acknowledged = new Map<string, number>()
  const startedAt = performance.now()
  let mayBeThere = false
  for (let tries = 0; ; tries += 1) {
    let sent = false
    try {
      await link.use(cluster => produce(cluster, deps, batches, acknowledged, () => (sent = true)))
      return acknowledged
    } catch (cause) {
      const isRefuted = isNotAppended(cause) && batches.size === 1
      if (sent && !isRefuted) mayBeThere = true
      const waited = performance.now() - startedAt
      const isFinal = isRefusal(cause) || isLoginRefused(cause)
      if (isFinal || waited > (mayBeThere ? patienceMs.doubtful : patienceMs.unsent)) {
        if (mayBeThere)
          throw new AppendDoubtful(`The journal did not acknowledge the records: ${wordsOf(cause)}`, { cause })
        throw new AppendRefused(`The journal did not take the records: ${wordsOf(cause)}`, { cause })
      }
      await pause(retryMs[Math.min(tries, retryMs.length - 1)])
    }
  }
}

/** Sends what is not acknowledged yet to the leaders of its partitions. */
async function produce(
  cluster: Cluster,
  { wireName, compression }: Deps,
  batches: ReadonlyMap<string, NewRecord[]>,
  acknowledged: Map<string, number>,
  sending: () => void,
): Promise<void> {
  await cluster.refreshMetadataIfNecessary()
  const left = [...batches].filter(([place]) => !acknowledged.has(place)).map(([, records]) => records)
  const requests = new Map<string, Map<string, NewRecord[][]>>()
  for (const records of left) {
    const { topic, partition } = records[0] as NewRecord
    const [leader] = byLeader(cluster, wireName(topic), [partition]).keys()
    const topics = requests.get(leader as string) ?? new Map<string, NewRecord[][]>()
    requests.set(leader as string, topics)
    topics.set(topic, [...(topics.get(topic) ?? []), records])
  }
  const brokers = await Promise.all([...requests.keys()].map(nodeId => cluster.findBroker({ nodeId })))
  sending()
  const results = await Promise.allSettled(
    [...requests.values()].map(async (topics, index) => {
      const answer = await brokers[index]?.produce({
        acks: -1,
        timeout: 8_000, // below the time-out of requests: the broker's own word first
        compression,
        topicData: [...topics].map(([topic, lists]) => ({
          topic: wireName(topic),
          partitions: lists.map(records => ({
            partition: (records[0] as NewRecord).partition,
            messages: records.map(messageOf),
          })),
        })),
      })
      const ours = new Map([...topics.keys()].map(topic => [wireName(topic), topic]))
      for (const { topicName, partitions } of answer?.topics ?? [])
        for (const { partition, baseOffset } of partitions)
          acknowledged.set(`${ours.get(topicName)}/${partition}`, Number(baseOffset))
    }),
  )
  const failed = results.find(result => result.status === 'rejected')
  if (failed) throw failed.reason
}
