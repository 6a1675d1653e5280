/** The journal's window that is read back: from well before the last commit that surely survived, to its end. */
import type { JournalRecord } from '../../../shared/journal/port.ts'
import { topics } from '../../../shared/journal/topics.ts'
import type { Completing } from './complete.ts'

type Window = Pick<Completing, 'journal' | 'fromMs'>

const chunkSize = 500

/** Every record of the window, in the order of each partition. */
export async function* chunks({ journal, fromMs }: Window, topic: string): AsyncGenerator<JournalRecord[]> {
  for (const { partition } of await journal.ends(topic)) {
    let chunk: JournalRecord[] = []
    for await (const record of journal.read({ topic, partition, fromTime: fromMs })) {
      chunk.push(record)
      if (chunk.length < chunkSize) continue
      yield chunk
      chunk = []
    }
    if (chunk.length > 0) yield chunk
  }
}

/** References of what was kept as rejected since the window's beginning; of a whole command it is the call's id. */
export async function readRejected(window: Window): Promise<Set<string>> {
  const references = new Set<string>()
  for await (const records of chunks(window, topics.rejected.name)) for (const { key } of records) references.add(key)
  return references
}

/** Partitions whose retention has passed into the window: what was there before can no longer be told. */
export async function partitionsCutShort({ journal, fromMs }: Window, topic: string): Promise<number[]> {
  const cut: number[] = []
  for (const { partition, earliest, end } of await journal.ends(topic)) {
    if (earliest === 0 || earliest >= end) continue
    for await (const first of journal.read({ topic, partition, fromOffset: earliest, maxRecords: 1 })) {
      if (first.time > fromMs) cut.push(partition)
    }
  }
  return cut
}
