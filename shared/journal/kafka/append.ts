/**
 * Appending: calls that wait while a request is under way go together in the next one; one request is in flight at a
 * time to each broker, acknowledged by all replicas that are in sync.
 *
 * What an error means (J1), batch by batch: until a request has been handed to a connection nothing can be in the
 * journal; the broker's word that a partition did not take its records refutes it too. Everything else (no answer, a
 * time-out on its side) leaves it open. A batch is tried again while there is time, also one that may be there: it may
 * then be there twice, as after any doubtful append, and the records' ids tell. A call is refused when none of its batches
 * can be there, and doubtful when one can.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { createBatcher } from '../../batch/batcher.ts'
import { AppendDoubtful, AppendRefused, type NewRecord, type Position } from '../port.ts'
import { isLoginRefused, isNotAppended, isRefusal, messageOf as wordsOf } from './errors.ts'
import { groupBy } from './group-by.ts'
import type { Link } from './link.ts'
import { byLeader } from './offsets.ts'
import type { Broker, Cluster } from './protocol.ts'
import { messageOf, sizeOf } from './records.ts'
import { errorOfCode } from './repairs.ts'

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

/** The records of one partition in one request, and what is known of them. */
type Batch = {
  readonly records: NewRecord[]
  /** Of the first record, once it is acknowledged. */
  offset?: number
  /** A request with it was sent, and nothing refutes that it is there. */
  mayBeThere: boolean
  /** Why the last try failed; `isFinal` when another one is no use. */
  failure?: { readonly cause: unknown; readonly isFinal: boolean }
}

async function send(deps: Deps, calls: readonly Call[]): Promise<Settled[]> {
  const records = calls.flatMap(call => call.records)
  const batches = new Map(
    [...groupBy(records, placeOf)].map(([place, list]): [string, Batch] => [
      place,
      { records: list, mayBeThere: false },
    ]),
  )
  await insist(deps, [...batches.values()])
  const taken = new Map<string, number>()
  return calls.map(call => {
    const own = [...call.bytes.keys()].map(place => batches.get(place) as Batch)
    const failed = own.find(batch => batch.offset === undefined)
    if (failed) return { error: errorOf(own, failed) }
    return { positions: call.records.map(record => positionOf(record, batches, taken)) }
  })
}

/** Records of a batch lie in the order they were sent in. */
function positionOf(record: NewRecord, batches: ReadonlyMap<string, Batch>, taken: Map<string, number>): Position {
  const { topic, partition } = record
  const index = taken.get(placeOf(record)) ?? 0
  taken.set(placeOf(record), index + 1)
  return { topic, partition, offset: ((batches.get(placeOf(record)) as Batch).offset as number) + index }
}

function errorOf(batches: readonly Batch[], failed: Batch): AppendDoubtful | AppendRefused {
  const cause = failed.failure?.cause
  return batches.some(batch => batch.mayBeThere || batch.offset !== undefined)
    ? new AppendDoubtful(`The journal did not acknowledge the records: ${wordsOf(cause)}`, { cause })
    : new AppendRefused(`The journal did not take the records: ${wordsOf(cause)}`, { cause })
}

/** Until every batch is acknowledged or given up. */
async function insist(deps: Deps, batches: readonly Batch[]): Promise<void> {
  const { link, patienceMs } = deps
  const startedAt = performance.now()
  for (let tries = 0; ; tries += 1) {
    const waited = performance.now() - startedAt
    const left = batches.filter(batch => {
      if (batch.offset !== undefined || batch.failure?.isFinal) return false
      return tries === 0 || waited <= (batch.mayBeThere ? patienceMs.doubtful : patienceMs.unsent)
    })
    if (left.length === 0) return
    if (tries > 0) await pause(retryMs[Math.min(tries - 1, retryMs.length - 1)])
    await link
      .use(cluster => produce(cluster, deps, left))
      // What went wrong before anything was sent went wrong for all.
      .catch(cause => {
        for (const batch of left)
          if (batch.offset === undefined) batch.failure ??= { cause, isFinal: isLoginRefused(cause) }
      })
  }
}

/**
 * Sends batches to the leaders of their partitions, and notes what becomes of each.
 * @throws what makes this connection to the cluster useless for another try
 */
async function produce(cluster: Cluster, deps: Deps, batches: readonly Batch[]): Promise<void> {
  for (const batch of batches) delete batch.failure
  await cluster.refreshMetadataIfNecessary()
  const requests = groupBy(batches, batch => {
    const { topic, partition } = batch.records[0] as NewRecord
    return byLeader(cluster, deps.wireName(topic), [partition]).keys().next().value as string
  })
  const brokers = await Promise.all([...requests.keys()].map(nodeId => cluster.findBroker({ nodeId })))
  await Promise.all([...requests.values()].map((request, index) => sendTo(brokers[index] as Broker, deps, request)))
  const failed = batches.find(batch => batch.failure)
  if (failed) throw failed.failure?.cause
}

async function sendTo(broker: Broker, { wireName, compression }: Deps, batches: readonly Batch[]): Promise<void> {
  const topicOf = (batch: Batch) => wireName((batch.records[0] as NewRecord).topic)
  const partitionOf = (batch: Batch) => (batch.records[0] as NewRecord).partition
  try {
    const { topics } = await broker.produce({
      acks: -1,
      timeout: 8_000, // below the time-out of requests: the broker's own word first
      compression,
      topicData: [...groupBy(batches, topicOf)].map(([topic, list]) => ({
        topic,
        partitions: list.map(batch => ({ partition: partitionOf(batch), messages: batch.records.map(messageOf) })),
      })),
    })
    for (const batch of batches) {
      const answers = topics.find(({ topicName }) => topicName === topicOf(batch))?.partitions
      const answer = answers?.find(({ partition }) => partition === partitionOf(batch))
      note(batch, answer)
    }
  } catch (cause) {
    for (const batch of batches) {
      batch.mayBeThere = true
      batch.failure = { cause, isFinal: false }
    }
  }
}

function note(batch: Batch, answer: { errorCode: number; baseOffset: string } | undefined): void {
  const cause = answer ? errorOfCode(answer.errorCode) : new Error('Kafka did not answer for this partition')
  if (answer && !cause) batch.offset = Number(answer.baseOffset)
  else {
    if (!isNotAppended(cause)) batch.mayBeThere = true
    batch.failure = { cause, isFinal: isRefusal(cause) }
  }
}
