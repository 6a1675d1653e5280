/** The journal that the environment names: Kafka where there are brokers, else the tables of the database. */
import { kafkaTopics } from '../../infra/kafka/topics.ts'
import { createKafkaJournal, type KafkaJournalOptions } from './kafka/journal.ts'
import { createPostgresJournal, type PostgresJournal, type PostgresJournalOptions } from './postgres/journal.ts'
import type { Journal } from './port.ts'
import { topics } from './topics.ts'

export type OpenInput = {
  /** Where it is: `Environment` of `shared/config` fits. */
  readonly environment: {
    readonly kafkaBrokers: readonly string[] | undefined
    readonly kafka: Omit<KafkaJournalOptions['at'], 'brokers'> &
      Pick<KafkaJournalOptions, 'topicPrefix' | 'compression' | 'replication'>
  }
  /** A migrated database: the journal's own without Kafka. */
  readonly databaseUrl: string
  readonly log: PostgresJournalOptions['log'] & KafkaJournalOptions['log']
}

/**
 * Which one it is matters to two: the relay of the outbox (`services/broker/relay.ts` takes this whole value), and
 * retention, which Kafka keeps by itself and `PostgresJournal.trim` by being called.
 */
export type OpenedJournal =
  | { readonly kind: 'postgres'; readonly journal: PostgresJournal }
  | { readonly kind: 'kafka'; readonly journal: Journal }

/**
 * The caller closes the journal.
 * @throws ConfigError with everything about the topics that is not as it must be; UnavailableError
 */
export async function openJournal({ environment, databaseUrl, log }: OpenInput): Promise<OpenedJournal> {
  const { kafkaBrokers: brokers, kafka } = environment
  if (brokers === undefined) {
    const journal = await createPostgresJournal({ url: databaseUrl, log, topics: Object.values(topics) })
    return { kind: 'postgres', journal }
  }
  const { tls, sasl, topicPrefix, compression, replication } = kafka
  const journal = await createKafkaJournal({
    at: { brokers, tls, sasl },
    topics: kafkaTopics,
    topicPrefix,
    compression,
    replication,
    log,
  })
  return { kind: 'kafka', journal }
}
