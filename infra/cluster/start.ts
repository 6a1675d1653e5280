/**
 * A cluster on one machine, for development: one broker, audit and front, each a process with the environment that
 * infra/docker gives its container, over one node of each store. Kafka and ClickHouse are the development ones
 * (infra/kafka, infra/clickhouse/local): one copy of everything, so this survives kills but not the loss of its disk.
 */
import { randomBytes } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { Logger } from 'pino'
import { startBank } from '../../examples/bank/start.ts'
import {
  lockDataFolder,
  ownCheckpoints,
  readSecret,
  readSigning,
  writePrivate,
} from '../../services/single/data-folder.ts'
import type { Single } from '../../services/single/start.ts'
import type { Environment, Variables } from '../../shared/config/environment.ts'
import { findConfig, loadConfig } from '../../shared/config/load.ts'
import { loadDevKey } from '../../shared/policy/dev-key.ts'
import { startEmbeddedPostgres } from '../../shared/postgres/embedded.ts'
import { type Closers, createClosers } from '../../shared/process/closers.ts'
import { onPort } from '../../shared/process/port-holder.ts'
import { startLocalClickhouse } from '../clickhouse/local/start.ts'
import { startKafka } from '../kafka/start.ts'
import { choosePort, type ServiceProcess, startService } from './service.ts'

export type LocalClusterInput = {
  readonly environment: Environment
  readonly variables: Variables
  readonly log: Logger
  /** The services' own lines are appended here. */
  readonly logFile: string
}

export type LocalCluster = Single & {
  /** Resolves with a sentence when a part ends by itself. */
  readonly ended: Promise<string>
}

/** @throws ConfigError, UnavailableError with what an operator can do */
export async function startLocalCluster(input: LocalClusterInput): Promise<LocalCluster> {
  const closers = createClosers(input.log)
  try {
    const running = await open(input, closers)
    return { ...running, stop: closers.close, [Symbol.asyncDispose]: closers.close }
  } catch (error) {
    await closers.close()
    throw error
  }
}

/** Where `examples/holdfast.yaml` expects the bank. */
const examplePort = 4001

async function open({ environment, variables, log, logFile }: LocalClusterInput, closers: Closers) {
  const dataDir = resolve(environment.dataDir)
  const { path, isExample } = findConfig(variables)
  const config = loadConfig({ path, env: variables, dataDir })
  closers.add(lockDataFolder(dataDir))
  const key = loadDevKey({ dataDir, env: variables })
  if (isExample) {
    mkdirSync(join(dataDir, 'files'), { recursive: true })
    const bank = await onPort(examplePort, 'the example bank: write a holdfast.yaml of your own', port =>
      startBank({ port, dataDir: join(dataDir, 'bank') }),
    )
    closers.add(() => bank.stop())
  }

  const stores = await openStores(dataDir, environment, log, closers)
  writePrivate(dataDir, 'postgres.json', { url: stores.DATABASE_URL })
  const frontPort = await choosePort(environment.frontPort, 'HOLDFAST_FRONT_PORT')
  const brokerPort = await choosePort(environment.brokerPort, 'HOLDFAST_BROKER_PORT')
  const auditPort = await choosePort(environment.auditPort, 'HOLDFAST_AUDIT_PORT')
  const shared = {
    ...stores,
    HOLDFAST_CONFIG: path,
    HOLDFAST_DATA: dataDir,
    HOLDFAST_DEV_KEY: key,
    HOLDFAST_SECRET: environment.secret ?? readSecret(dataDir),
    HOLDFAST_SIGNING_KEYS: (environment.signingKeys ?? readSigning(dataDir)).map(({ text }) => text).join(','),
    HOLDFAST_CHECKPOINTS: environment.checkpoints ?? ownCheckpoints(dataDir),
    HOLDFAST_INTERNAL_TOKEN: environment.internalToken ?? randomBytes(24).toString('base64url'),
    HOLDFAST_BROKER_URLS: `http://127.0.0.1:${brokerPort}`,
    HOLDFAST_FRONT_PORT: String(frontPort),
    HOLDFAST_BROKER_PORT: String(brokerPort),
    HOLDFAST_AUDIT_PORT: String(auditPort),
  }
  // Backwards at stop: front first, so that nothing new comes; broker last, so that what came is done.
  const services: ServiceProcess[] = []
  for (const [name, port] of [
    ['broker', brokerPort],
    ['audit', auditPort],
    ['front', frontPort],
  ] as const) {
    const service = startService({ name, port, variables: { ...variables, ...shared }, logFile })
    closers.add(() => service.stop())
    services.push(service)
  }
  await Promise.all(services.map(service => service.ready))

  const front = `http://127.0.0.1:${frontPort}`
  const ready = { mcp: `${front}/mcp`, outcomes: `${front}/v1/outcomes`, sql: `http://127.0.0.1:${auditPort}`, key }
  writePrivate(dataDir, 'ready.json', ready)
  return { ...ready, config, isExample, ended: Promise.race(services.map(service => service.ended)) }
}

/** Those that the environment names are used, the others started here. */
async function openStores(dataDir: string, environment: Environment, log: Logger, closers: Closers) {
  const stores: { DATABASE_URL?: string; KAFKA_BROKERS?: string; KAFKA_REPLICATION?: string; CLICKHOUSE_URL?: string } =
    {}
  if (environment.databaseUrl === undefined) {
    const postgres = await startEmbeddedPostgres({ dataDir: join(dataDir, 'postgres'), log })
    closers.add(() => postgres.stop())
    stores.DATABASE_URL = postgres.url
  }
  if (environment.kafkaBrokers === undefined) {
    const kafka = await startKafka({ dataDir: join(dataDir, 'kafka'), log })
    closers.add(() => kafka.stop())
    stores.KAFKA_BROKERS = kafka.brokers
    stores.KAFKA_REPLICATION = '1'
  }
  if (environment.clickhouseUrl === undefined) {
    const clickhouse = await startLocalClickhouse({ dataDir: join(dataDir, 'clickhouse'), port: 0, log })
    closers.add(() => clickhouse.stop())
    stores.CLICKHOUSE_URL = clickhouse.url
  }
  return { ...stores, DATABASE_URL: stores.DATABASE_URL ?? (environment.databaseUrl as string) }
}
