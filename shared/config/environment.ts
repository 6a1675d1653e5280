/** The environment variables: where things are, and secrets. Everything else stands in `holdfast.yaml`. */
import { isIP } from 'node:net'
import { ConfigError } from '../errors.ts'

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
  /** Real servers instead of the embedded stores. */
  readonly databaseUrl: string | undefined
  readonly kafkaBrokers: readonly string[] | undefined
  readonly clickhouseUrl: string | undefined
  /** ClickHouse as its reading and its migrating user, where these are others than the inserting one. */
  readonly clickhouseReaderUrl: string | undefined
  readonly clickhouseMigrationUrl: string | undefined
}

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
  { name: 'DATABASE_URL', default: undefined, description: 'PostgreSQL (`postgres://…`) instead of the embedded one.' },
  {
    name: 'KAFKA_BROKERS',
    default: undefined,
    description: 'Apache Kafka (`host:port,host:port`) instead of the journal in PostgreSQL.',
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
    description: 'The same ClickHouse as a user that may create tables, for migrations. Default: `CLICKHOUSE_URL`.',
  },
]

type Report = (name: string, what: string) => undefined

/**
 * Reads and checks the environment. An empty variable counts as not set. Values never appear in problems: some are secrets.
 * @throws ConfigError with every problem at once
 */
export function readEnvironment(env: Variables): Environment {
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
    databaseUrl: urlOf(env, 'DATABASE_URL', ['postgres:', 'postgresql:'], report),
    kafkaBrokers: brokersOf(env, report),
    clickhouseUrl: urlOf(env, 'CLICKHOUSE_URL', ['http:', 'https:'], report),
    clickhouseReaderUrl: urlOf(env, 'CLICKHOUSE_READER_URL', ['http:', 'https:'], report),
    clickhouseMigrationUrl: urlOf(env, 'CLICKHOUSE_MIGRATION_URL', ['http:', 'https:'], report),
  }
  if (problems.length > 0) throw new ConfigError(problems)
  return environment
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

function brokersOf(env: Variables, report: Report): string[] | undefined {
  if (!env.KAFKA_BROKERS) return undefined
  const brokers = env.KAFKA_BROKERS.split(',').map(broker => broker.trim())
  if (brokers.every(broker => /^[^\s:/]+:\d{1,5}$|^\[[0-9a-fA-F:]+\]:\d{1,5}$/.test(broker))) return brokers
  return report('KAFKA_BROKERS', 'is not a list of host:port (separate them with commas)')
}
