/**
 * The journal over Apache Kafka. Promises J1 to J6: `../port.ts`. Topics are checked at start (topics.ts), records are
 * appended in micro-batches (append.ts), groups are Kafka's classic consumer groups (member.ts).
 */
import { CompressionTypes } from 'kafkajs'
import { UnavailableError } from '../../errors.ts'
import { AppendRefused, type Consumer, type ConsumeOptions, type Journal } from '../port.ts'
import { createAppender } from './append.ts'
import { createClient, type KafkaAt, type Log } from './client.ts'
import { answerOf, messageOf } from './errors.ts'
import { createLink } from './link.ts'
import { startMember } from './member.ts'
import { fetchCommitted, listEnds } from './offsets.ts'
import { patiently, readRange } from './read.ts'
import { batchOverhead } from './records.ts'
import { type KafkaTopic, minInSync, openTopics } from './topics.ts'

export type KafkaJournalOptions = {
  readonly at: KafkaAt
  readonly topics: readonly KafkaTopic[]
  readonly topicPrefix: string
  readonly replication: number
  readonly compression: 'none' | 'gzip'
  readonly log: Log
  /** How long a consumer that died keeps its partitions: Kafka's session time-out, at least 6 s as brokers are shipped. Default 10 s. */
  readonly leaseMs?: number
  /** How long an append is tried while nothing was sent (default 3 s), and while something may have been (15 s). */
  readonly patienceMs?: { readonly unsent: number; readonly doubtful: number }
}

/** @throws ConfigError with everything about the topics that is not as it must be; UnavailableError when Kafka does not answer */
export async function createKafkaJournal(options: KafkaJournalOptions): Promise<Journal> {
  const { log, topicPrefix, leaseMs = 10_000, patienceMs = { unsent: 3_000, doubtful: 15_000 }, replication } = options
  const client = createClient(options.at, log)
  const wireName = (name: string) => `${topicPrefix}${name}`
  const maxBatchBytes = await openTopics(client.admin(), { topics: options.topics, wireName, replication })

  const counts = new Map(options.topics.map(topic => [topic.name, topic.partitions]))
  const partitions = (topic: string) => counts.get(topic) ?? 0
  const all = (topic: string) => Array.from({ length: partitions(topic) }, (_, partition) => partition)
  const names = options.topics.map(topic => wireName(topic.name))
  // Appends and questions each have a connection: a long answer never holds up an append.
  const appending = createLink(client, names)
  const asking = createLink(client, names)
  const consumers = new Set<Consumer>()
  const maxRecordBytes = maxBatchBytes - batchOverhead
  const compression = options.compression === 'gzip' ? CompressionTypes.GZIP : CompressionTypes.None
  const appender = createAppender({ link: appending, wireName, partitions, maxRecordBytes, compression, patienceMs })
  let closing: Promise<void> | undefined

  const requireTopic = (topic: string) => {
    if (!counts.has(topic)) throw new RangeError(`There is no topic ${topic}`)
  }

  const consume = async (consumeOptions: ConsumeOptions): Promise<Consumer> => {
    for (const topic of consumeOptions.topics) requireTopic(topic)
    const link = createLink(client, consumeOptions.topics.map(wireName))
    const member = startMember(
      { link, groupId: wireName(consumeOptions.group), wireName, log, leaseMs },
      consumeOptions,
    )
    const stop = async () => {
      await member.stop()
      consumers.delete(consumer)
    }
    const consumer: Consumer = { ...member, stop }
    consumers.add(consumer)
    return consumer
  }

  const ping = async () => {
    try {
      await asking.use(async cluster => {
        await cluster.refreshMetadata()
        const problems = options.topics.flatMap(({ name }) =>
          cluster
            .findTopicPartitionMetadata(wireName(name))
            .filter(found => found.leader < 0 || found.isr.length < minInSync(replication))
            .map(({ partitionId, leader, isr }) =>
              leader < 0
                ? `partition ${partitionId} of ${wireName(name)} has no leader`
                : `partition ${partitionId} of ${wireName(name)} has ${isr.length} brokers in sync and needs ${minInSync(replication)}`,
            ),
        )
        if (problems.length > 0) throw new Error(problems.slice(0, 3).join('; '))
      })
    } catch (cause) {
      const isMissing = answerOf(cause) === 'UNKNOWN_TOPIC_OR_PARTITION'
      const why = isMissing ? `one of the topics ${names.join(', ')} is missing` : messageOf(cause)
      throw new UnavailableError('journal', `Kafka cannot take records: ${why}`, { cause })
    }
  }

  const close = async () => {
    await Promise.all([...consumers].map(consumer => consumer.stop()))
    await Promise.all([appending.close(), asking.close()])
  }

  return {
    async append(records) {
      if (closing) throw new AppendRefused('The journal is closed')
      return appender.append(records)
    },
    consume,
    read: readOptions => readRange({ link: asking, wireName, partitions }, readOptions),
    partitions,
    async ends(topic) {
      requireTopic(topic)
      return patiently(asking, cluster => listEnds(cluster, wireName(topic), all(topic)))
    },
    async lag(group, topic) {
      requireTopic(topic)
      return patiently(asking, async cluster => {
        const coordinator = await cluster.findGroupCoordinator({ groupId: wireName(group) })
        const committed = await fetchCommitted(coordinator, wireName(group), wireName(topic), all(topic))
        const ends = await listEnds(cluster, wireName(topic), all(topic))
        return ends.map(place => {
          const at = committed.get(place.partition) ?? null
          return { ...place, committed: at, lag: Math.max(0, place.end - Math.max(place.earliest, at ?? 0)) }
        })
      })
    },
    maxRecordBytes,
    ping,
    close: () => (closing ??= close()),
  }
}
