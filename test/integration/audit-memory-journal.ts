/**
 * A journal in memory for the sink's fault tests, whose partitions can be taken away at a chosen moment. It keeps J2 to
 * J4 of the port for one member at a time; that a real journal keeps them is for its contract suite to show.
 */
import type { ConsumeOptions, Journal, JournalRecord, NewRecord } from '../../shared/journal/port.ts'
import { topics } from '../../shared/journal/topics.ts'

export type MemoryJournal = Journal & {
  /** Takes every partition from the group's member and hands it back from the committed offset: a rebalance. */
  rebalance(): Promise<void>
  /** From now on commits are lost without a word to anybody (true) or work (false). */
  loseCommits(lost: boolean): void
  records(topic: string): readonly JournalRecord[]
  committed(partition: number): number
}

type Member = {
  readonly options: ConsumeOptions
  generation: AbortController
  readonly loops: Map<number, Promise<void>>
  stopped: boolean
}

/** What outlives the process: where the group stood, and a word about each commit. */
export type Kept = {
  readonly committed: ReadonlyMap<number, number>
  readonly onCommit: (partition: number, offset: number) => void
}

export function createMemoryJournal(kept?: Kept): MemoryJournal {
  const logs = new Map<string, JournalRecord[]>()
  const committed = new Map<number, number>(kept?.committed)
  const members = new Set<Member>()
  let lost = false
  let wakers: (() => void)[] = []

  const log = (topic: string, partition: number) => {
    const name = `${topic}/${partition}`
    const records = logs.get(name) ?? []
    logs.set(name, records)
    return records
  }
  const partitions = (topic: string) => Object.values(topics).find(each => each.name === topic)!.partitions
  const wake = () => {
    for (const waker of wakers) waker()
    wakers = []
  }

  const deliver = async (member: Member, partition: number) => {
    const { signal } = member.generation
    const [topic = ''] = member.options.topics
    await member.options.onAssigned?.(topic, partition)
    let next = (committed.get(partition) ?? -1) + 1
    while (!signal.aborted) {
      const records = log(topic, partition).slice(next, next + (member.options.maxRecords ?? 500))
      if (records.length === 0) {
        await new Promise<void>(resolve => wakers.push(resolve))
        continue
      }
      next += records.length
      const commit = async (offset = records.at(-1)!.offset) => {
        if (signal.aborted) return false
        if (lost) return true
        committed.set(partition, Math.max(committed.get(partition) ?? -1, offset))
        kept?.onCommit(partition, offset)
        return true
      }
      await member.options.handle({ topic, partition, records, signal, commit })
    }
    await member.options.onRevoked?.(topic, partition)
  }
  const assign = (member: Member) => {
    member.generation = new AbortController()
    for (let partition = 0; partition < partitions(member.options.topics[0]!); partition += 1) {
      member.loops.set(partition, deliver(member, partition))
    }
  }
  const revoke = async (member: Member) => {
    member.generation.abort()
    wake()
    await Promise.all(member.loops.values())
  }

  const append = (records: readonly NewRecord[]) => {
    const positions = records.map(record => {
      const target = log(record.topic, record.partition)
      const time = Date.parse(record.headers['x-journal-time'] ?? '') || Date.now()
      target.push({ ...record, offset: target.length, time })
      return { topic: record.topic, partition: record.partition, offset: target.length - 1 }
    })
    wake()
    return Promise.resolve(positions)
  }
  const ends = (topic: string) =>
    Array.from({ length: partitions(topic) }, (_, partition) => ({
      partition,
      earliest: 0,
      end: log(topic, partition).length,
    }))

  return {
    append,
    partitions,
    maxRecordBytes: 1_000_000,
    ping: async () => {},
    close: async () => {},
    ends: async topic => ends(topic),
    lag: async (_, topic) =>
      ends(topic).map(each => ({
        ...each,
        committed: committed.get(each.partition) ?? null,
        lag: each.end - 1 - (committed.get(each.partition) ?? -1),
      })),
    read: async function* ({ topic, partition, fromOffset = 0, toOffset }) {
      yield* log(topic, partition).slice(fromOffset, toOffset)
    },
    consume: async options => {
      const member: Member = { options, generation: new AbortController(), loops: new Map(), stopped: false }
      members.add(member)
      assign(member)
      return {
        joined: Promise.resolve(),
        assigned: () => [...member.loops.keys()].map(partition => ({ topic: options.topics[0]!, partition })),
        stop: async () => {
          members.delete(member)
          await revoke(member)
        },
      }
    },
    rebalance: async () => {
      for (const member of members) {
        await revoke(member)
        assign(member)
      }
    },
    loseCommits: now => {
      lost = now
    },
    records: topic => Array.from({ length: partitions(topic) }, (_, partition) => log(topic, partition)).flat(),
    committed: partition => committed.get(partition) ?? -1,
  }
}
