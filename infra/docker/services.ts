/**
 * What runs in a cluster: one image, one process per container, and the environment each is given. Compose file,
 * Kubernetes manifests and the tests that start clusters are held to this one list.
 */

export type Service = {
  /** Argument of the image. */
  readonly name: string
  readonly port: number
  /** Variables that it does not start without. */
  readonly required: readonly string[]
  /** Variables that a deployment may set beside them. */
  readonly optional: readonly string[]
}

/** Of every service: where it binds, its configuration, its stores. */
const everywhere = ['HOLDFAST_HOST', 'HOLDFAST_CONFIG', 'HOLDFAST_DATA', 'DATABASE_URL', 'KAFKA_BROKERS']
const kafka = [
  'KAFKA_REPLICATION',
  'KAFKA_TLS',
  'KAFKA_TLS_CA',
  'KAFKA_SASL_MECHANISM',
  'KAFKA_USERNAME',
  'KAFKA_PASSWORD',
  'KAFKA_TOPIC_PREFIX',
  'KAFKA_COMPRESSION',
]
const secrets = ['HOLDFAST_SECRET', 'HOLDFAST_INTERNAL_TOKEN']

export const services: readonly Service[] = [
  {
    name: 'front',
    port: 8080,
    required: [...everywhere, ...secrets, 'HOLDFAST_BROKER_URLS'],
    optional: [...kafka, 'HOLDFAST_FRONT_URL', 'HOLDFAST_FRONT_PORT', 'HOLDFAST_DRAIN_SECONDS'],
  },
  {
    name: 'broker',
    port: 8081,
    required: [...everywhere, ...secrets],
    optional: [
      ...kafka,
      'HOLDFAST_BROKER_URL',
      'HOLDFAST_BROKER_PORT',
      'HOLDFAST_FAILOVER_WINDOW_MINUTES',
      'HOLDFAST_DRAIN_SECONDS',
    ],
  },
  {
    name: 'audit',
    port: 8090,
    required: [...everywhere, 'CLICKHOUSE_URL'],
    // The token opens /metrics beyond the machine itself.
    optional: [
      ...kafka,
      'HOLDFAST_INTERNAL_TOKEN',
      'CLICKHOUSE_READER_URL',
      'HOLDFAST_SIGNING_KEYS',
      'HOLDFAST_CHECKPOINTS',
      'HOLDFAST_AUDIT_PORT',
    ],
  },
]
