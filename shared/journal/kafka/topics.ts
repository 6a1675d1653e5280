/**
 * Topics at start: created where they are missing, else held to what they must be. A topic that would lose or misplace
 * records is never silently used, and never changed either: it may be somebody else's.
 */
import { setTimeout as pause } from 'node:timers/promises'
import type { Admin, ITopicMetadata } from 'kafkajs'
import { ConfigError, UnavailableError } from '../../errors.ts'
import { answerOf, isLoginRefused, messageOf } from './errors.ts'

export type Setting = {
  readonly name: string
  /** What a new topic gets. */
  readonly value: string
  /** What a topic that exists may have instead, as a test of its value. Default: nothing else. */
  readonly accepts?: (value: string) => boolean
  readonly must: string
  readonly why: string
}

export type KafkaTopic = {
  readonly name: string
  readonly partitions: number
  readonly why: string
  readonly settings: readonly Setting[]
}

export type OpenTopics = {
  readonly topics: readonly KafkaTopic[]
  /** What a topic is called in Kafka. */
  readonly wireName: (topic: string) => string
  readonly replication: number
}

/** How many brokers have a record before it is acknowledged: two, or the only one. */
export const minInSync = (replication: number): number => Math.min(replication, 2)

/** The setting that hangs on the number of copies. */
export const inSyncSetting = (replication: number): Setting => ({
  name: 'min.insync.replicas',
  value: String(minInSync(replication)),
  accepts: value => Number(value) >= minInSync(replication) && Number(value) <= replication,
  must: `be at least ${minInSync(replication)} and at most ${replication}`,
  why: 'fewer, and an acknowledged record is lost with one broker; more than there are copies, and nothing can be appended',
})

/**
 * @returns the largest batch of records that every topic takes, in bytes
 * @throws ConfigError with every problem at once; UnavailableError when Kafka does not answer
 */
export async function openTopics(admin: Admin, wanted: OpenTopics): Promise<number> {
  try {
    await admin.connect()
    await createMissing(admin, wanted)
    return await checkAll(admin, wanted)
  } catch (error) {
    throw explained(error)
  } finally {
    await admin.disconnect().catch(() => {})
  }
}

async function createMissing(admin: Admin, { topics, wireName, replication }: OpenTopics): Promise<void> {
  const present = new Set(await admin.listTopics())
  const missing = topics.filter(topic => !present.has(wireName(topic.name)))
  if (missing.length === 0) return
  await admin
    .createTopics({
      timeout: 10_000,
      waitForLeaders: false, // it gives up while the broker has not heard of its own new topic
      topics: missing.map(({ name, partitions, settings }) => ({
        topic: wireName(name),
        numPartitions: partitions,
        replicationFactor: replication,
        configEntries: [...settings, inSyncSetting(replication)].map(setting => ({
          name: setting.name,
          value: setting.value,
        })),
      })),
    })
    .catch(cause => {
      throw new ConfigError([whyNotCreated(cause, missing.map(({ name }) => wireName(name)).join(', '), replication)], {
        cause,
      })
    })
}

function whyNotCreated(error: unknown, names: string, replication: number): string {
  const errors = (error as { errors?: unknown[] }).errors ?? [error]
  const answers = errors.map(answerOf)
  if (answers.includes('INVALID_REPLICATION_FACTOR'))
    return `Kafka has fewer than ${replication} brokers, so ${names} cannot be created with ${replication} copies: add brokers, or set KAFKA_REPLICATION to how many copies there shall be.`
  if (answers.some(answer => answer?.endsWith('_AUTHORIZATION_FAILED')))
    return `Holdfast may not create ${names} in Kafka: create them as docs/kafka.md says, or grant it Create.`
  throw error
}

async function checkAll(admin: Admin, { topics, wireName, replication }: OpenTopics): Promise<number> {
  const names = topics.map(topic => wireName(topic.name))
  const metadata = await metadataOf(admin, names)
  const { resources } = await admin.describeConfigs({
    includeSynonyms: false,
    resources: names.map(name => ({ type: topicResource, name })),
  })
  const limits: number[] = []
  const problems = topics.flatMap(topic => {
    const name = wireName(topic.name)
    const found = metadata.topics.find(entry => entry.name === name)
    const entries = resources.find(entry => entry.resourceName === name)?.configEntries ?? []
    const values = new Map(entries.map(entry => [entry.configName, entry.configValue]))
    limits.push(Number(values.get('max.message.bytes')))
    return [
      ...shapeProblems(topic, found, replication).map(problem => `Topic ${name} in Kafka ${problem}.`),
      ...[...topic.settings, inSyncSetting(replication)].flatMap(setting => settingProblem(name, setting, values)),
    ]
  })
  if (problems.length > 0) throw new ConfigError(problems)
  return Math.min(...limits)
}

/** A topic that was just created needs a moment to be known everywhere and to have leaders. */
async function metadataOf(admin: Admin, names: string[]) {
  for (let left = 100; ; left -= 1) {
    try {
      return await admin.fetchTopicMetadata({ topics: names })
    } catch (error) {
      const passes = ['UNKNOWN_TOPIC_OR_PARTITION', 'LEADER_NOT_AVAILABLE'].includes(answerOf(error) ?? '')
      if (!passes || left === 0) throw error
      await pause(100)
    }
  }
}

/** `ConfigResourceTypes.TOPIC` of kafkajs. */
const topicResource = 2

function shapeProblems(topic: KafkaTopic, found: ITopicMetadata | undefined, replication: number): string[] {
  if (!found) return ['is missing']
  const count = found.partitions.length
  const copies = Math.min(...found.partitions.map(partition => partition.replicas.length))
  return [
    ...(count === topic.partitions
      ? []
      : [`has ${count} partitions and must have ${topic.partitions}: a key's partition is part of where it lives`]),
    ...(copies >= replication
      ? []
      : [`has ${copies} copies of a partition, and KAFKA_REPLICATION asks for ${replication}`]),
  ]
}

function settingProblem(topic: string, setting: Setting, values: ReadonlyMap<string, string>): string[] {
  const value = values.get(setting.name)
  if (value !== undefined && (setting.accepts?.(value) ?? value === setting.value)) return []
  const has = value === undefined ? `does not tell its ${setting.name}, which` : `has ${setting.name}=${value}, which`
  return [`Topic ${topic} in Kafka ${has} must ${setting.must}: ${setting.why}.`]
}

/** Errors of kafkajs in words that an operator can act on; those that are ours already stay. */
function explained(error: unknown): unknown {
  if (error instanceof ConfigError) return error
  if (isLoginRefused(error))
    return new ConfigError(
      [
        `Kafka refused the log-in (${messageOf(error)}): correct KAFKA_SASL_MECHANISM, KAFKA_USERNAME and KAFKA_PASSWORD.`,
      ],
      { cause: error },
    )
  return new UnavailableError(
    'kafka',
    `Kafka does not answer (${messageOf(error)}): start it, or correct KAFKA_BROKERS and KAFKA_TLS.`,
    { cause: error },
  )
}
