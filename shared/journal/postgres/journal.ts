/**
 * The journal in PostgreSQL tables, for one node: any number of processes may use it, over one database.
 *
 * Acknowledged appends are handed to this process's own consumers in memory, where one stands exactly there; everything
 * else is found by one cheap poll (watch.ts) and read from the table. Promises J1 to J6: `../port.ts`.
 */
import { createBatcher } from '../../batch/batcher.ts'
import { ConfigError, UnavailableError } from '../../errors.ts'
import type { Log } from '../../postgres/log.ts'
import { keepConnections } from '../../postgres/kept.ts'
import { byKeySettings, createPool, type Queryable, query } from '../../postgres/pool.ts'
import type { Consumer, ConsumeOptions, Journal, JournalRecord } from '../port.ts'
import { type Appender, createAppender } from './append.ts'
import { createCommitter } from './commits.ts'
import { type Member, startMember } from './member.ts'
import { readRange } from './read.ts'
import { byPlace, createHeads, moveOutbox, placeOf, readEnds, readLag, readStretches, type Stretch } from './records.ts'
import { type TrimOptions, trimTopic } from './trim.ts'
import { createWatch, type Seen } from './watch.ts'

export type PostgresJournalOptions = {
  /** A migrated database. */
  readonly url: string
  readonly log: Log
  readonly topics: ReadonlyArray<{ readonly name: string; readonly partitions: number }>
  /** How long a consumer that died keeps its partitions. Default 5 s. */
  readonly leaseMs?: number
  /** Default 8 MiB. */
  readonly maxRecordBytes?: number
  /** How often other processes' appends are looked for: while there are some, and after a second without. Default 10 and 50. */
  readonly pollMs?: number
  readonly idlePollMs?: number
}

export type PostgresJournal = Journal & {
  /** For statements over the same database that put records into the journal in their own commit. */
  appendBy: Appender['appendBy']
  /** True when a consumer of this process holds the partition for the group and has handled all it knows of it. */
  isAtEnd(group: string, at: { readonly topic: string; readonly partition: number }): boolean
  /**
   * Moves at most `maxRows` rows of the outbox into the journal: one statement, both or neither.
   * @returns how many
   */
  drainOutbox(maxRows: number): Promise<number>
  /** Deletes old records; returns how many. */
  trim(options: TrimOptions): Promise<number>
}

/** Bytes of values that one read of one partition brings at most (its first record always comes). */
const maxReadBytes = 4_000_000

/** Reads, appends and deletions are small. A connection that went silent holds its partition or relay for so long. */
const statementTimeoutMs = 10_000

/** One for `append`, and four statements of `appendBy` side by side; further ones wait. Opened when needed. */
const appenders = 5

/**
 * @throws ConfigError when the database has another number of partitions for a topic
 */
export async function createPostgresJournal(options: PostgresJournalOptions): Promise<PostgresJournal> {
  const { url, log, topics, leaseMs = 5_000, maxRecordBytes = 8 * 1024 * 1024, pollMs = 10, idlePollMs = 50 } = options
  const settings = byKeySettings
  const pool = createPool({ url, max: 6, name: 'holdfast-journal', log, settings, statementTimeoutMs })
  const appendPool = createPool({ url, max: appenders, name: 'holdfast-append', log, settings, statementTimeoutMs })
  const appending = keepConnections(appendPool, appenders)
  const closePools = () => {
    appending.release()
    return Promise.all([pool.end(), appendPool.end()])
  }
  await openTopics(pool, topics).catch(async error => {
    await closePools()
    throw error
  })

  const counts = new Map(topics.map(topic => [topic.name, topic.partitions]))
  const places = topics.flatMap(({ name, partitions }) =>
    Array.from({ length: partitions }, (_, partition) => placeOf({ topic: name, partition })),
  )
  const members = new Set<Member>()
  let drains = 0
  let sawDuringDrain = false
  let closing: Promise<void> | undefined

  const lanes = (place: string) => [...members].flatMap(member => member.lane(place) ?? [])

  const handOver = (records: readonly JournalRecord[]) => {
    if (members.size === 0) return
    for (const [place, consecutive] of byPlace(records)) {
      for (const lane of lanes(place)) lane.offer(consecutive)
    }
  }

  const appender = createAppender({
    connections: appending,
    partitions: topic => counts.get(topic) ?? 0,
    maxRecordBytes,
    appended: handOver,
  })
  const commit = createCommitter(pool)
  const reads = createBatcher<Stretch, JournalRecord[]>(stretches => readStretches(pool, stretches, maxReadBytes), {
    maxItems: 32,
    maxInFlight: 2,
  })

  /**
   * A poll may see a commit of our own before its reply is here. What is being written is left to the hand-over, which
   * follows at once; during a drain, whose partitions are not known, at most every second poll is.
   */
  const seen = ({ ends, versions, bereaved }: Seen): boolean => {
    let isNews = false
    sawDuringDrain = drains > 0 && !sawDuringDrain
    for (const [index, place] of sawDuringDrain ? [] : places.entries()) {
      if (appender.isWriting(place)) continue
      for (const lane of lanes(place)) isNews = lane.advance(ends[index] as number) || isNews
    }
    for (const member of members) {
      isNews = member.regroup(versions.get(member.group) ?? 0, bereaved.has(member.group)) || isNews
    }
    return isNews
  }

  const watch = createWatch({
    pool,
    topics: topics.map(topic => topic.name),
    groups: () => [...new Set([...members].map(member => member.group))],
    seen,
    onError: error => log.warn({ error: String(error) }, 'the journal could not be polled; trying again'),
    busyMs: pollMs,
    idleMs: idlePollMs,
  })

  const consume = async (consumeOptions: ConsumeOptions): Promise<Consumer> => {
    for (const topic of consumeOptions.topics) {
      if (!counts.has(topic)) throw new RangeError(`There is no topic ${topic}`)
    }
    const member = startMember(
      {
        pool,
        commit,
        read: (topic, partition, first, end, most) => reads.add({ topic, partition, first, end, most }),
        earliest: async (topic, partition) =>
          (await readEnds(pool, topic)).find(entry => entry.partition === partition)?.earliest ?? 0,
        hurry: watch.hurry,
        leaseMs,
      },
      consumeOptions,
    )
    members.add(member)
    watch.start()
    return {
      joined: member.joined,
      assigned: () => member.assigned(),
      async stop() {
        await member.stop()
        members.delete(member)
      },
    }
  }

  const close = async () => {
    await Promise.all([...members].map(member => member.stop()))
    members.clear()
    await watch.stop()
    await closePools()
  }

  return {
    append: records => appender.append(records),
    appendBy: (records, run) => appender.appendBy(records, run),
    isAtEnd: (group, at) => [...members].some(member => member.group === group && member.lane(placeOf(at))?.isAtEnd()),
    consume,
    read: readOptions => readRange(pool, readOptions),
    partitions: topic => counts.get(topic) ?? 0,
    ends: topic => readEnds(pool, topic),
    lag: (group, topic) => readLag(pool, group, topic),
    maxRecordBytes,
    async ping() {
      await query(pool, { text: 'select 1 from journal_heads limit 1' }).catch(cause => {
        throw new UnavailableError('journal', `The journal's database does not answer: ${cause.message}`, { cause })
      })
    },
    async drainOutbox(maxRows) {
      drains += 1
      try {
        const { count, records } = await moveOutbox(pool, maxRows, members.size > 0)
        handOver(records)
        return count
      } finally {
        drains -= 1
      }
    },
    trim: trimOptions => trimTopic(pool, trimOptions),
    close: () => (closing ??= close()),
  }
}

/** A key's partition never changes, so neither does a topic's number of them. */
async function openTopics(on: Queryable, topics: PostgresJournalOptions['topics']): Promise<void> {
  for (const { name, partitions } of topics) {
    await createHeads(on, name, partitions)
    const found = (await readEnds(on, name)).length
    if (found === partitions) continue
    throw new ConfigError([`Topic ${name} has ${found} partitions in the database and is meant to have ${partitions}.`])
  }
}
