/** One fetch from one broker: it answers as soon as there is a record, or with nothing after `maxWaitMs`. */
import type { JournalRecord } from '../port.ts'
import { groupBy } from './group-by.ts'
import { type Broker, readUncommitted } from './protocol.ts'
import { recordOf } from './records.ts'

export type FetchFrom = { readonly topic: string; readonly partition: number; readonly offset: number }
/** Records from `offset` on, and where to go on: behind what is no record of anybody's (a transaction's mark), too. */
export type Fetched = FetchFrom & { readonly records: JournalRecord[]; readonly next: number }

/** A record that is larger comes all the same, alone. */
const maxBytes = { partition: 1024 * 1024, request: 16 * 1024 * 1024 }

/** @param wireName and back: topics here have our names */
export async function fetchFrom(
  broker: Broker,
  from: readonly FetchFrom[],
  { wireName, maxWaitMs }: { wireName: (topic: string) => string; maxWaitMs: number },
): Promise<Fetched[]> {
  const topics = groupBy(from, entry => entry.topic)
  const { responses } = await broker.fetch({
    isolationLevel: readUncommitted,
    maxWaitTime: maxWaitMs,
    minBytes: 1,
    maxBytes: maxBytes.request,
    topics: [...topics].map(([topic, entries]) => ({
      topic: wireName(topic),
      partitions: entries.map(({ partition, offset }) => ({
        partition,
        fetchOffset: String(offset),
        maxBytes: maxBytes.partition,
      })),
    })),
  })
  return from.flatMap(entry => {
    const raw = responses
      .filter(response => response.topicName === wireName(entry.topic))
      .flatMap(response => response.partitions)
      .filter(({ partition }) => partition === entry.partition)
      .flatMap(({ messages }) => messages)
      // A batch comes whole, also when the fetch begins in its middle.
      .filter(({ offset }) => Number(offset) >= entry.offset)
    const last = raw.at(-1)
    if (!last) return []
    const records = raw
      .filter(record => !record.isControlRecord)
      .map(record => recordOf(entry.topic, entry.partition, record))
    return [{ ...entry, records, next: Number(last.offset) + 1 }]
  })
}
