/** The environment variables: where things are, and secrets. Everything else stands in `holdfast.yaml`. */
import { isIP } from 'node:net'
import { ConfigError } from '../errors.ts'
import { readSigningKey, type SigningKey } from '../proof/note.ts'

export type Variables = Readonly<Record<string, string | undefined>>

export type Environment = {
  /** Folder of everything a single node stores. */
  readonly dataDir: string
  /** Address the services bind to. */
  readonly host: string
  readonly frontPort: number
  readonly brokerPort: number
  readonly auditPort: number
  /** API key of the agent `dev` on a single node. */
  readonly devKey: string | undefined
  /** What services show each other. */
  readonly internalToken: string | undefined
  /** Seals sessions, keys commitments; the same on every process. */
  readonly secret: string | undefined
  readonly olderSecrets: readonly string[]
  /** Where brokers reach this front or this broker, and where fronts reach brokers. */
  readonly frontUrl: string | undefined
  readonly brokerUrl: string | undefined
  readonly brokerUrls: readonly string[] | undefined
  /** After a database failover, how far before the last commit that surely survived the journal is read back. */
  readonly failoverWindowMs: number
  /** How long a process that was told to stop lets calls in flight finish. */
  readonly drainMs: number | undefined
  /** Real servers instead of the embedded stores. */
  readonly databaseUrl: string | undefined
  readonly kafkaBrokers: readonly string[] | undefined
  /** How the brokers are spoken to, and what the topics there are called. */
  readonly kafka: KafkaAccess
  readonly clickhouseUrl: string | undefined
  /** ClickHouse as its reading and its migrating user, where these are others than the inserting one. */
  readonly clickhouseReaderUrl: string | undefined
  readonly clickhouseMigrationUrl: string | undefined
  /** What checkpoints are signed with, the newest first: all sign. */
  readonly signingKeys: readonly [SigningKey, ...SigningKey[]] | undefined
  /** The folder that checkpoints are published to, beside the history. */
  readonly checkpoints: string | undefined
}

export type KafkaAccess = {
  readonly tls: { readonly caFile: string | undefined } | undefined
  readonly sasl: { readonly mechanism: SaslMechanism; readonly username: string; readonly password: string } | undefined
  /** Stands before the name of every topic and group. */
  readonly topicPrefix: string
  readonly compression: Compression
  /** Copies of every record. */
  readonly replication: number
}

const saslMechanisms = ['plain', 'scram-sha-256', 'scram-sha-512'] as const
export type SaslMechanism = (typeof saslMechanisms)[number]
const compressions = ['none', 'gzip'] as const
export type Compression = (typeof compressions)[number]

export type Variable = { readonly name: string; readonly default: string | undefined; readonly description: string }

/** Every variable, for `docs/configuration.md`. */
export const variables: readonly Variable[] = [
  {
    name: 'HOLDFAST_CONFIG',
    default: 'holdfast.yaml',
    description: 'The configuration file. Where there is none, a single node runs `examples/holdfast.yaml`.',
  },
  { name: 'HOLDFAST_DATA', default: '.holdfast', description: 'Folder of everything a single node stores.' },
  {
    name: 'HOLDFAST_HOST',
    default: '127.0.0.1',
    description: 'Address the services bind to. `0.0.0.0` opens them to the network: put TLS in front.',
  },
  {
    name: 'HOLDFAST_FRONT_PORT',
    default: '8080',
    description: 'Port of front: MCP and the HTTP API. 0 takes any free one.',
  },
  { name: 'HOLDFAST_BROKER_PORT', default: '8081', description: 'Port of broker, for the other services.' },
  { name: 'HOLDFAST_AUDIT_PORT', default: '8090', description: 'Port of audit: SQL.' },
  {
    name: 'HOLDFAST_DEV_KEY',
    default: undefined,
    description:
      'API key of the agent `dev`, at least 8 printable characters. Without it a single node makes one and keeps it in `dev.key` in the data folder.',
  },
  {
    name: 'HOLDFAST_INTERNAL_TOKEN',
    default: undefined,
    description: 'What the services show each other, at least 16 printable characters. A cluster needs it.',
  },
  {
    name: 'HOLDFAST_SECRET',
    default: undefined,
    description:
      'Seals the sessions of legacy clients and keys the commitments in the history: at least 32 printable characters, the same on every process. A cluster needs it; a single node makes one and keeps it in `secret` in the data folder.',
  },
  {
    name: 'HOLDFAST_OLDER_SECRETS',
    default: undefined,
    description:
      'Secrets that were in use before, separated by commas: what was sealed with them until calls are settled can still be read. A single node has them in `secret` in the data folder, on the lines below the first.',
  },
  {
    name: 'HOLDFAST_FRONT_URL',
    default: undefined,
    description:
      'Where brokers reach this very front with their replies, `http://host:port`. Default: the address it is bound to, or the name of its machine where it is bound to all.',
  },
  {
    name: 'HOLDFAST_BROKER_URL',
    default: undefined,
    description:
      'Where other brokers reach this very broker with calls to the `command` servers it runs, `http://host:port`. Default: as `HOLDFAST_FRONT_URL`.',
  },
  {
    name: 'HOLDFAST_BROKER_URLS',
    default: undefined,
    description:
      'Where fronts ask brokers for outcomes, `http://host:port`, separated by commas; one may stand for several brokers. A cluster needs it.',
  },
  {
    name: 'HOLDFAST_FAILOVER_WINDOW_MINUTES',
    default: '15',
    description:
      'After a failover of PostgreSQL, how far before the last commit that surely survived the journal is read back. Longer than a call may wait to be sent (a minute), and than the clocks of journal and database differ.',
  },
  {
    name: 'HOLDFAST_DRAIN_SECONDS',
    default: undefined,
    description:
      'How long a process that was told to stop lets calls in flight finish. Default: a broker as long as the longest `timeout` and 5 seconds, a front 10, a single node 3. What kills processes has to wait longer.',
  },
  { name: 'DATABASE_URL', default: undefined, description: 'PostgreSQL (`postgres://…`) instead of the embedded one.' },
  {
    name: 'KAFKA_BROKERS',
    default: undefined,
    description: 'Apache Kafka (`host:port,host:port`) instead of the journal in PostgreSQL.',
  },
  {
    name: 'KAFKA_REPLICATION',
    default: '3',
    description:
      'Copies of every record in Kafka. An append is acknowledged when two brokers have it; with `1` it is lost with the disk of one broker, which suits development.',
  },
  { name: 'KAFKA_TLS', default: 'false', description: '`true`: connections to Kafka are encrypted.' },
  {
    name: 'KAFKA_TLS_CA',
    default: undefined,
    description: 'File with the certificates (PEM) that vouch for the brokers. Default: those Node comes with.',
  },
  {
    name: 'KAFKA_SASL_MECHANISM',
    default: undefined,
    description: `How Holdfast logs in to Kafka: ${saslMechanisms.map(name => `\`${name}\``).join(', ')}.`,
  },
  { name: 'KAFKA_USERNAME', default: undefined, description: 'The name to log in to Kafka with.' },
  { name: 'KAFKA_PASSWORD', default: undefined, description: 'The password to log in to Kafka with.' },
  {
    name: 'KAFKA_TOPIC_PREFIX',
    default: undefined,
    description:
      'Stands before the names of all topics and groups in Kafka, as in `prod.`: several Holdfasts can share one cluster.',
  },
  {
    name: 'KAFKA_COMPRESSION',
    default: 'none',
    description: 'How records are compressed on their way to Kafka and there: `none` or `gzip`.',
  },
  {
    name: 'CLICKHOUSE_URL',
    default: undefined,
    description: 'ClickHouse (`http://…`) instead of the embedded engine.',
  },
  {
    name: 'CLICKHOUSE_READER_URL',
    default: undefined,
    description:
      'The same ClickHouse as a user that can only read, for SQL of agents and people. Default: `CLICKHOUSE_URL`.',
  },
  {
    name: 'CLICKHOUSE_MIGRATION_URL',
    default: undefined,
    description:
      'The same ClickHouse as a user that may create tables: for `holdfast migrate`, and for a single node, which migrates itself. Default: `CLICKHOUSE_URL`. Not for audit processes.',
  },
  {
    name: 'HOLDFAST_SIGNING_KEYS',
    default: undefined,
    description:
      'What audit signs checkpoints with (docs/proofs.md), as `holdfast signing-key create` makes it; during a change of keys several, separated by commas, the newest first. Without it a cluster makes no checkpoints; a single node makes a key and keeps it in `signing.keys` in the data folder.',
  },
  {
    name: 'HOLDFAST_CHECKPOINTS',
    default: undefined,
    description:
      'A folder for checkpoints that should belong to somebody else than the stores do. It must exist. Default: on a single node `checkpoints` in the data folder, in a cluster none.',
  },
]

type Report = (name: string, what: string) => undefined

/**
 * Reads and checks the environment. An empty variable counts as not set. Values never appear in problems: some are secrets.
 * @throws ConfigError with every problem at once
 */
export function readEnvironment(env: Variables): Environment {
  const { environment, problems } = inspectEnvironment(env)
  if (problems.length > 0) throw new ConfigError(problems)
  return environment
}

/** The same for those who find more problems: what is wrong counts as not set. */
export function inspectEnvironment(env: Variables): { environment: Environment; problems: string[] } {
  const problems: string[] = []
  const report: Report = (name, what) => void problems.push(`${name} ${what}`)
  const environment: Environment = {
    dataDir: env.HOLDFAST_DATA || '.holdfast',
    host: hostOf(env, report) ?? '127.0.0.1',
    frontPort: portOf(env, 'HOLDFAST_FRONT_PORT', report) ?? 8080,
    brokerPort: portOf(env, 'HOLDFAST_BROKER_PORT', report) ?? 8081,
    auditPort: portOf(env, 'HOLDFAST_AUDIT_PORT', report) ?? 8090,
    devKey: secretOf(env, 'HOLDFAST_DEV_KEY', 8, report),
    internalToken: secretOf(env, 'HOLDFAST_INTERNAL_TOKEN', 16, report),
    secret: secretOf(env, 'HOLDFAST_SECRET', 32, report),
    olderSecrets: (env.HOLDFAST_OLDER_SECRETS ?? '').split(',').filter(secret => secret !== ''),
    frontUrl: baseUrlsOf(env, 'HOLDFAST_FRONT_URL', report)?.[0],
    brokerUrl: baseUrlsOf(env, 'HOLDFAST_BROKER_URL', report)?.[0],
    brokerUrls: baseUrlsOf(env, 'HOLDFAST_BROKER_URLS', report),
    failoverWindowMs: failoverWindowOf(env, report) ?? 15 * 60_000,
    drainMs: drainOf(env, report),
    databaseUrl: urlOf(env, 'DATABASE_URL', ['postgres:', 'postgresql:'], report),
    kafkaBrokers: brokersOf(env, report),
    kafka: kafkaOf(env, report),
    clickhouseUrl: urlOf(env, 'CLICKHOUSE_URL', ['http:', 'https:'], report),
    clickhouseReaderUrl: urlOf(env, 'CLICKHOUSE_READER_URL', ['http:', 'https:'], report),
    clickhouseMigrationUrl: urlOf(env, 'CLICKHOUSE_MIGRATION_URL', ['http:', 'https:'], report),
    signingKeys: signingKeysOf(env, report),
    checkpoints: env.HOLDFAST_CHECKPOINTS || undefined,
  }
  return { environment, problems }
}

function portOf(env: Variables, name: string, report: Report): number | undefined {
  const text = env[name]
  if (!text) return undefined
  if (/^\d{1,5}$/.test(text) && Number(text) <= 65_535) return Number(text)
  // Kubernetes sets HOLDFAST_FRONT_PORT=tcp://… in every pod beside a Service of the name holdfast-front.
  if (text.startsWith('tcp://'))
    return report(name, 'was set by Kubernetes for a Service of that name (set enableServiceLinks: false in the pod)')
  return report(name, 'is not a port (set a number, 0 to 65535)')
}

function hostOf(env: Variables, report: Report): string | undefined {
  const host = env.HOLDFAST_HOST
  if (!host) return undefined
  const isHostName = /^[A-Za-z0-9]([A-Za-z0-9.-]{0,252})$/.test(host)
  return isIP(host) || isHostName
    ? host
    : report('HOLDFAST_HOST', 'is not an address to bind to (set 127.0.0.1, ::1 or 0.0.0.0, without a port)')
}

function secretOf(env: Variables, name: string, least: number, report: Report): string | undefined {
  const text = env[name]
  if (!text) return undefined
  // It travels in an HTTP header.
  return text.length >= least && /^[\x21-\x7e]+$/.test(text)
    ? text
    : report(name, `is not a usable secret (set ${least} or more printable characters without spaces)`)
}

function urlOf(env: Variables, name: string, protocols: readonly string[], report: Report): string | undefined {
  const text = env[name]
  if (!text) return undefined
  if (URL.canParse(text) && protocols.includes(new URL(text).protocol)) return text
  return report(name, `is not a ${protocols[0]}// address (correct it)`)
}

/** Addresses of services: the paths are ours. */
function baseUrlsOf(env: Variables, name: string, report: Report): string[] | undefined {
  const text = env[name]
  if (!text) return undefined
  const urls = text.split(',').map(url => url.trim())
  if (urls.every(isBaseUrl)) return urls.map(url => new URL(url).origin)
  return report(name, 'is not http://host:port (correct it; several are separated by commas)')
}

function isBaseUrl(text: string): boolean {
  if (!/^https?:\/\//.test(text) || !URL.canParse(text)) return false
  const { pathname, search, hash, username } = new URL(text)
  return pathname === '/' && search === '' && hash === '' && username === ''
}

function signingKeysOf(env: Variables, report: Report): Environment['signingKeys'] {
  const text = env.HOLDFAST_SIGNING_KEYS
  if (!text) return undefined
  const keys = readSigningKeys(text.split(','))
  return keys ?? report('HOLDFAST_SIGNING_KEYS', 'is not a signing key (make one with holdfast signing-key create)')
}

/** @returns undefined unless all are signing keys of one log */
export function readSigningKeys(texts: readonly string[]): Environment['signingKeys'] {
  const keys = texts.flatMap(text => readSigningKey(text.trim()) ?? [])
  const [first, ...rest] = keys
  const isOneLog = keys.every(({ verifier }) => verifier.name === first?.verifier.name)
  return first !== undefined && keys.length === texts.length && isOneLog ? [first, ...rest] : undefined
}

function drainOf(env: Variables, report: Report): number | undefined {
  const text = env.HOLDFAST_DRAIN_SECONDS
  if (!text) return undefined
  if (/^\d{1,4}$/.test(text)) return Number(text) * 1000
  return report('HOLDFAST_DRAIN_SECONDS', 'is not a number of seconds (set 0 to 9999)')
}

function failoverWindowOf(env: Variables, report: Report): number | undefined {
  const text = env.HOLDFAST_FAILOVER_WINDOW_MINUTES
  if (!text) return undefined
  if (/^\d{1,5}$/.test(text) && Number(text) >= 2) return Number(text) * 60_000
  return report('HOLDFAST_FAILOVER_WINDOW_MINUTES', 'is not a number of minutes (set 2 to 99999)')
}

function brokersOf(env: Variables, report: Report): string[] | undefined {
  if (!env.KAFKA_BROKERS) return undefined
  const brokers = env.KAFKA_BROKERS.split(',').map(broker => broker.trim())
  if (brokers.every(broker => /^[^\s:/]+:\d{1,5}$|^\[[0-9a-fA-F:]+\]:\d{1,5}$/.test(broker))) return brokers
  return report('KAFKA_BROKERS', 'is not a list of host:port (separate them with commas)')
}

function kafkaOf(env: Variables, report: Report): KafkaAccess {
  const encrypted = choiceOf(env, 'KAFKA_TLS', ['true', 'false'], report) === 'true'
  const caFile = env.KAFKA_TLS_CA || undefined
  if (caFile !== undefined && !encrypted) report('KAFKA_TLS_CA', 'is set without KAFKA_TLS (set KAFKA_TLS=true)')
  return {
    tls: encrypted ? { caFile } : undefined,
    sasl: saslOf(env, encrypted, report),
    topicPrefix: prefixOf(env, report) ?? '',
    compression: choiceOf(env, 'KAFKA_COMPRESSION', compressions, report) ?? 'none',
    replication: replicationOf(env, report) ?? 3,
  }
}

function saslOf(env: Variables, encrypted: boolean, report: Report): KafkaAccess['sasl'] {
  const mechanism = choiceOf(env, 'KAFKA_SASL_MECHANISM', saslMechanisms, report)
  const [username, password] = [env.KAFKA_USERNAME || undefined, env.KAFKA_PASSWORD || undefined]
  if (!env.KAFKA_SASL_MECHANISM) {
    if (username !== undefined || password !== undefined)
      report(
        'KAFKA_SASL_MECHANISM',
        `is not set, but a name or a password is (set one of ${saslMechanisms.join(', ')})`,
      )
    return undefined
  }
  if (username === undefined) report('KAFKA_USERNAME', 'is not set (KAFKA_SASL_MECHANISM needs it)')
  if (password === undefined) report('KAFKA_PASSWORD', 'is not set (KAFKA_SASL_MECHANISM needs it)')
  // The password itself goes over the wire.
  if (mechanism === 'plain' && !encrypted && !isOnThisMachine(env.KAFKA_BROKERS))
    report(
      'KAFKA_TLS',
      'is not true, and the mechanism plain would show the password to the network (set it, or scram)',
    )
  return mechanism && username !== undefined && password !== undefined ? { mechanism, username, password } : undefined
}

const isOnThisMachine = (brokers = '') =>
  brokers.split(',').every(broker => /^\s*(127\.\d+\.\d+\.\d+|localhost|\[::1\]):/.test(broker))

/** Topics in Kafka have at most 249 characters of these; the longest of ours has 17. */
function prefixOf(env: Variables, report: Report): string | undefined {
  const text = env.KAFKA_TOPIC_PREFIX
  if (!text) return undefined
  return /^[A-Za-z0-9._-]{1,100}$/.test(text)
    ? text
    : report('KAFKA_TOPIC_PREFIX', 'is not a beginning of a topic name (set up to 100 letters, digits, dots, - and _)')
}

function replicationOf(env: Variables, report: Report): number | undefined {
  const text = env.KAFKA_REPLICATION
  if (!text) return undefined
  return /^[1-9]$/.test(text) ? Number(text) : report('KAFKA_REPLICATION', 'is not a number of copies (set 1 to 9)')
}

function choiceOf<Choice extends string>(
  env: Variables,
  name: string,
  choices: readonly Choice[],
  report: Report,
): Choice | undefined {
  const text = env[name]
  if (!text) return undefined
  return choices.find(choice => choice === text) ?? report(name, `is none of ${choices.join(', ')} (set one of them)`)
}
