/** Connections to Kafka: who may be spoken to, how, and a `Cluster` of kafkajs for each one who asks. */
import { readFileSync } from 'node:fs'
import { Kafka, type KafkaConfig, type logCreator, logLevel } from 'kafkajs'
import { ConfigError } from '../../errors.ts'
import type { Cluster } from './protocol.ts'
import { repairKafkaJs } from './repairs.ts'

export type Log = {
  debug?(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

export type KafkaAt = {
  /** `host:port` each. */
  readonly brokers: readonly string[]
  readonly tls: { readonly caFile: string | undefined } | undefined
  readonly sasl:
    | {
        readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512'
        readonly username: string
        readonly password: string
      }
    | undefined
}

export type Client = {
  /** Not connected yet. The caller connects and disconnects it. */
  cluster(): Cluster
  /** For topics and their settings. */
  admin(): ReturnType<Kafka['admin']>
}

/** @throws ConfigError when the file of certificates cannot be read */
export function createClient(at: KafkaAt, log: Log): Client {
  repairKafkaJs()
  const kafka = new Kafka({
    clientId: 'holdfast',
    brokers: [...at.brokers],
    ...(at.tls && { ssl: tlsOf(at.tls.caFile) }),
    ...(at.sasl && { sasl: at.sasl as NonNullable<KafkaConfig['sasl']> }),
    connectionTimeout: 3_000,
    authenticationTimeout: 5_000,
    requestTimeout: 10_000,
    // Every broker of the list is tried; who calls decides what comes then.
    retry: { retries: Math.max(2, at.brokers.length), initialRetryTime: 50, maxRetryTime: 500 },
    logLevel: logLevel.DEBUG,
    logCreator: logCreatorOf(log),
  })
  return {
    admin: () => kafka.admin(),
    cluster() {
      let made: Cluster | undefined
      // Assigners are made with the consumer and given its cluster, all of which is kafkajs's documented way.
      kafka.consumer({
        groupId: 'unused',
        allowAutoTopicCreation: false,
        partitionAssigners: [
          ({ cluster }) => {
            made = cluster as unknown as Cluster
            return {
              name: 'unused',
              version: 0,
              assign: async () => [],
              protocol: () => ({ name: '', metadata: Buffer.alloc(0) }),
            }
          },
        ],
      })
      return made as Cluster
    },
  }
}

function tlsOf(caFile: string | undefined): true | { ca: string } {
  if (caFile === undefined) return true
  try {
    return { ca: readFileSync(caFile, 'utf8') }
  } catch (cause) {
    throw new ConfigError([`KAFKA_TLS_CA names ${caFile}, which cannot be read: correct it`], { cause })
  }
}

/**
 * kafkajs calls errors what we try again, and says so for every try: for our log all of it is detail. What matters is
 * said by who gave up.
 */
const logCreatorOf =
  (log: Log): logCreator =>
  () =>
  ({ namespace, log: { message, ...fields } }) =>
    log.debug?.({ namespace, ...fields }, `kafkajs: ${message}`)
