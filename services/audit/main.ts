/** Audit as a process of its own: configuration, start, wait, stop. */
import pino from 'pino'
import { readEnvironment } from '../../shared/config/environment.ts'
import { findConfig, loadConfig } from '../../shared/config/load.ts'
import { agentSettings } from '../../shared/config/settings.ts'
import { ConfigError } from '../../shared/errors.ts'
import { createPostgresJournal } from '../../shared/journal/postgres/journal.ts'
import { topics } from '../../shared/journal/topics.ts'
import { createAuthenticator } from '../../shared/policy/authenticate.ts'
import { createPool } from '../../shared/postgres/pool.ts'
import { startTelemetry } from '../../shared/telemetry/telemetry.ts'
import { auditConfig, clickhouseAt } from './config.ts'
import { start } from './start.ts'

const environment = readEnvironment(process.env)
const { dataDir, databaseUrl, kafkaBrokers } = environment
if (databaseUrl === undefined) throw new ConfigError(['DATABASE_URL is not set: audit alone finds the API keys there.'])
if (kafkaBrokers !== undefined)
  throw new ConfigError(['KAFKA_BROKERS is set, and this audit reads the journal in Postgres only.'])
const config = loadConfig({ path: findConfig(process.env).path, env: process.env, dataDir })
const log = pino({ base: { service: 'audit' } })

const stopped = new Promise<void>(resolve => {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve())
})
const pool = createPool({ url: databaseUrl, name: 'holdfast-audit', max: 4, log })
const journal = await createPostgresJournal({ url: databaseUrl, log, topics: Object.values(topics) })
const { host, internalToken: token } = environment
const telemetry = await startTelemetry({ variables: process.env, host, token, log })
const audit = await start({
  config: auditConfig(environment),
  journal,
  clickhouse: clickhouseAt(environment),
  authenticate: createAuthenticator({ pool, agentSettings: agent => agentSettings(config, agent) }),
  log,
  telemetry: telemetry.audit(),
})
log.info({ url: audit.url }, 'audit is ready')
await stopped
await audit.stop()
await telemetry.stop()
await journal.close()
await pool.end()
