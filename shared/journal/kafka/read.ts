/**
 * Reading a range without a group (J6): plain fetches from the partition's leader. Nothing is joined, committed or left
 * behind. The range is fixed when reading begins, so it ends.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { CorruptionError, UnavailableError } from '../../errors.ts'
import type { JournalRecord, ReadOptions } from '../port.ts'
import { answerOf, messageOf } from './errors.ts'
import { type Fetched, fetchFrom } from './fetch.ts'
import type { Link } from './link.ts'
import { byLeader, listEnds, listOffsets } from './offsets.ts'

type Deps = {
  readonly link: Link
  readonly wireName: (topic: string) => string
  readonly partitions: (topic: string) => number
}

/** The range exists, so an answer without records is a hiccup; ten in a row are none. */
const tries = 10

export async function* readRange(deps: Deps, options: ReadOptions): AsyncGenerator<JournalRecord> {
  const { topic, partition } = options
  if (!(partition >= 0 && partition < deps.partitions(topic)))
    throw new RangeError(`There is no partition ${partition} in topic ${topic}`)
  const range = await rangeOf(deps, options)
  let { first } = range
  let left = options.maxRecords ?? Number.POSITIVE_INFINITY
  while (first < range.end && left > 0) {
    const { records, next } = await fetchSome(deps, { topic, partition, offset: first })
    for (const record of records) {
      if (record.offset >= range.end || left === 0) return
      left -= 1
      yield record
    }
    first = next
  }
}

async function rangeOf({ link, wireName }: Deps, options: ReadOptions): Promise<{ first: number; end: number }> {
  const { topic, partition, fromOffset = 0, fromTime, toOffset = Number.POSITIVE_INFINITY } = options
  const wire = wireName(topic)
  return patiently(link, async cluster => {
    const [ends] = await listEnds(cluster, wire, [partition])
    const { earliest = 0, end = 0 } = ends ?? {}
    let first = Math.max(fromOffset, earliest)
    if (fromTime !== undefined) {
      const found = (await listOffsets(cluster, wire, [partition], String(fromTime))).get(partition) as number
      first = found < 0 ? end : Math.max(first, found)
    }
    return { first, end: Math.min(end, toOffset) }
  })
}

async function fetchSome(
  { link, wireName }: Deps,
  from: { topic: string; partition: number; offset: number },
): Promise<Fetched> {
  const wire = wireName(from.topic)
  for (let left = tries; left > 0; left -= 1) {
    const [fetched] = await patiently(link, async cluster => {
      const [nodeId] = byLeader(cluster, wire, [from.partition]).keys()
      const broker = await cluster.findBroker({ nodeId: nodeId as string })
      return fetchFrom(broker, [from], { wireName, maxWaitMs: 500 }).catch(async error => {
        if (answerOf(error) !== 'OFFSET_OUT_OF_RANGE') throw error
        // Retention was faster: what is left begins later.
        const [ends] = await listEnds(cluster, wire, [from.partition])
        return [{ ...from, records: [], next: ends?.earliest ?? from.offset }]
      })
    })
    if (fetched) return fetched
  }
  throw new CorruptionError(
    `${from.topic}/${from.partition} has nothing at offset ${from.offset}, which is before its end`,
  )
}

const patienceMs = 10_000

/** Tries again while a broker may be restarting. */
export async function patiently<T>(link: Link, work: Parameters<typeof link.use<T>>[0]): Promise<T> {
  const giveUpAt = performance.now() + patienceMs
  for (;;) {
    try {
      return await link.use(work)
    } catch (cause) {
      if (performance.now() > giveUpAt)
        throw new UnavailableError('journal', `Kafka does not answer: ${messageOf(cause)}`, { cause })
      await pause(200)
    }
  }
}
