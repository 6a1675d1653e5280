/**
 * The single node: front, broker and audit in one process over embedded stores. Each resource's closer stands on the
 * line after it was opened; stopping runs them backwards.
 */
import { mkdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { Logger } from 'pino'
import { startBank } from '../../examples/bank/start.ts'
import type { Reply } from '../../shared/call/record.ts'
import type { Environment, Variables } from '../../shared/config/environment.ts'
import { type Config, findConfig, loadConfig } from '../../shared/config/load.ts'
import { checkRenames } from '../../shared/config/renames.ts'
import { agentSettings, serverAddresses } from '../../shared/config/settings.ts'
import { ConfigError, UnavailableError } from '../../shared/errors.ts'
import { createPostgresJournal } from '../../shared/journal/postgres/journal.ts'
import { createOutboxRelay } from '../../shared/journal/postgres/outbox.ts'
import { topics } from '../../shared/journal/topics.ts'
import { createAuthenticator } from '../../shared/policy/authenticate.ts'
import { loadDevKey } from '../../shared/policy/dev-key.ts'
import { createDatabaseClock } from '../../shared/postgres/clock.ts'
import { startEmbeddedPostgres } from '../../shared/postgres/embedded.ts'
import { migrate } from '../../shared/postgres/migrate.ts'
import { byKeySettings, createPool, type Queryable } from '../../shared/postgres/pool.ts'
import { createUpstreams } from '../../shared/upstream/pool.ts'
import { auditConfig, clickhouseAt } from '../audit/config.ts'
import { start as startAudit } from '../audit/start.ts'
import { brokerSettings } from '../broker/settings.ts'
import { readLiveScopes } from '../broker/sql/outcomes.ts'
import { repeat } from '../broker/repeat.ts'
import { startBroker } from '../broker/start.ts'
import { startFront } from '../front/start.ts'
import { lockDataFolder, readOlderSecrets, readSecret, writePrivate } from './data-folder.ts'
import { createIds } from './ids.ts'
import { recordStart } from './lifecycle.ts'
import { onPort } from './port-holder.ts'

export type SingleInput = { readonly environment: Environment; readonly variables: Variables; readonly log: Logger }

export type Single = {
  /** MCP endpoint over all servers. */
  readonly mcp: string
  /** HTTP outcome API: `{outcomes}/{server}/{key}`. */
  readonly outcomes: string
  /** SQL over the history. */
  readonly sql: string
  /** The development key. */
  readonly key: string
  readonly config: Config
  readonly isExample: boolean
  stop(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

const day = 24 * 60 * 60 * 1000
/** Longer than the longest `dispatchBy` and any outage a person would sleep through. */
const keepCommandsMs = 7 * day
const trimPauseMs = 10 * 60 * 1000

/** @throws ConfigError with every problem an operator can mend; UnavailableError when a store does not come up */
export async function startSingle({ environment, variables, log }: SingleInput): Promise<Single> {
  const closers: Array<() => unknown> = []
  const stop = once(async () => {
    for (const close of closers.toReversed()) {
      await Promise.resolve(close()).catch(error => log.error({ err: error }, 'something did not close'))
    }
  })
  try {
    const running = await open(environment, variables, log, closers)
    return { ...running, stop, [Symbol.asyncDispose]: stop }
  } catch (error) {
    await stop()
    throw error
  }
}

const once = (run: () => Promise<void>) => {
  let running: Promise<void> | undefined
  return () => (running ??= run())
}

async function open(environment: Environment, variables: Variables, log: Logger, closers: Array<() => unknown>) {
  if (environment.kafkaBrokers !== undefined) {
    throw new ConfigError(['KAFKA_BROKERS is set, but a single node keeps its journal in PostgreSQL: unset it'])
  }
  const dataDir = resolve(environment.dataDir)
  const { path, isExample } = findConfig(variables)
  const config = loadConfig({ path, env: variables, dataDir })
  closers.push(lockDataFolder(dataDir))
  const secret = readSecret(dataDir)
  const key = loadDevKey({ dataDir, env: variables })
  if (isExample) {
    mkdirSync(join(dataDir, 'files'), { recursive: true })
    const bank = await onPort(examplePort, 'the example bank: write a holdfast.yaml of your own', port =>
      startBank({ port, dataDir: join(dataDir, 'bank') }),
    )
    closers.push(() => bank.stop())
  }

  const database = environment.databaseUrl ?? (await startPostgres(dataDir, log, closers))
  writePrivate(dataDir, 'postgres.json', { url: database })
  const pool = createPool({ url: database, name: 'holdfast', max: 16, log, settings: byKeySettings })
  closers.push(() => pool.end())
  await reach(pool)
  await migrate({ pool, log })
  refuseOrphans(config, await readLiveScopes(pool))
  const databaseClock = createDatabaseClock(pool)
  closers.push(() => databaseClock.stop())
  await databaseClock.sync()
  // Whole milliseconds: what is decided with is what is stored.
  const clock = { now: () => Math.floor(databaseClock.now()) }

  const journal = await createPostgresJournal({ url: database, log, topics: Object.values(topics) })
  closers.push(() => journal.close())
  const relay = createOutboxRelay({ journal, log })
  relay.start()
  closers.push(() => relay.stop())

  const ids = createIds()
  closers.push(await recordStart({ journal, clock, ids }, config.version))
  const trimming = repeat({ log, doing: 'trimming the journal' }, trimPauseMs, async () => {
    await journal.trim({ topic: topics.calls.name, olderThanMs: keepCommandsMs, keepUncommitted: true })
  })
  closers.push(() => trimming.stop())

  const upstreams = createUpstreams({ servers: serverAddresses(config, { env: variables, dataDir }), log })
  closers.push(() => upstreams.close())
  const authenticate = createAuthenticator({ pool, devKey: key, agentSettings: agent => agentSettings(config, agent) })

  // Front and broker hold each other: replies go to the front that is opened after the broker.
  let deliver: (replies: readonly Reply[]) => void = () => {}
  const broker = await startBroker(
    {
      db: pool,
      journal,
      upstreams,
      settings: brokerSettings(config),
      clock,
      ids,
      log,
      events: { secret, maxArgumentsBytes: 256 * 1024 },
      olderSecrets: readOlderSecrets(dataDir),
      reply: (_, replies) => deliver(replies),
    },
    { alone: true, rememberMs: 2 * keepCommandsMs },
  )
  closers.push(() => broker.stop())

  const audit = await onPort(environment.auditPort, 'set HOLDFAST_AUDIT_PORT to another one', port =>
    startAudit({
      config: { ...auditConfig(environment), port },
      journal,
      clickhouse: clickhouseAt({ ...environment, dataDir }),
      authenticate,
      log,
    }),
  )
  closers.push(() => audit.stop())

  const front = await onPort(environment.frontPort, 'set HOLDFAST_FRONT_PORT to another one', port =>
    startFront({
      config,
      host: environment.host,
      port,
      journal,
      broker: broker.port,
      upstreams,
      authenticate,
      pool,
      clock,
      ids,
      log,
      secret,
      replyTo: 'single',
    }),
  )
  closers.push(() => front.stop())
  deliver = replies => front.deliver(replies)
  await Promise.all([broker.ready, front.ready(), audit.ready()])

  const ready = { mcp: `${front.url}/mcp`, outcomes: `${front.url}/v1/outcomes`, sql: audit.url, key }
  writePrivate(dataDir, 'ready.json', ready)
  return { ...ready, config, isExample }
}

/** Where `examples/holdfast.yaml` expects the bank. */
const examplePort = 4001

async function startPostgres(dataDir: string, log: Logger, closers: Array<() => unknown>): Promise<string> {
  const postgres = await startEmbeddedPostgres({ dataDir: join(dataDir, 'postgres'), log })
  closers.push(() => postgres.stop())
  return postgres.url
}

/** Only a database of the operator's own can fail here; `pg` tells the reason and never the password. */
async function reach(pool: Queryable): Promise<void> {
  try {
    await pool.query('select 1')
  } catch (cause) {
    const { message, code } = cause as { message?: string; code?: string }
    const why = message || code || String(cause)
    throw new UnavailableError(
      'postgres',
      `the database does not answer (${why}): start it, or correct DATABASE_URL.`,
      { cause },
    )
  }
}

/** A rename that would make repeated calls run again is refused before anything is served. */
function refuseOrphans(config: Config, scopes: Array<{ keyspace: string; server: string }>): void {
  const problems = checkRenames(config, scopes)
  if (problems.length > 0)
    throw new ConfigError([
      ...problems.map(problem => `${config.path}: ${problem}`),
      'To start afresh beside what is kept, set HOLDFAST_DATA to another folder.',
    ])
}
