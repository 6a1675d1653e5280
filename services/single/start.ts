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
import { scopeRedaction } from '../../shared/config/redaction.ts'
import { agentSettings, serverAddresses } from '../../shared/config/settings.ts'
import { ConfigError } from '../../shared/errors.ts'
import { createNumbering } from '../../shared/events/numbering.ts'
import { openListener } from '../../shared/internal/listener.ts'
import { openJournal } from '../../shared/journal/open.ts'
import { createAuthenticator } from '../../shared/policy/authenticate.ts'
import { loadDevKey } from '../../shared/policy/dev-key.ts'
import { startEmbeddedPostgres } from '../../shared/postgres/embedded.ts'
import { type Closers, createClosers } from '../../shared/process/closers.ts'
import { createIds } from '../../shared/process/ids.ts'
import { recordStart } from '../../shared/process/lifecycle.ts'
import { onPort } from '../../shared/process/port-holder.ts'
import { recordConfiguration } from '../../shared/stores/configurations.ts'
import { openDatabase } from '../../shared/stores/database.ts'
import { numbered } from '../../shared/stores/open.ts'
import { createSubjectKeys } from '../../shared/subjects/keys.ts'
import { startTelemetry } from '../../shared/telemetry/telemetry.ts'
import { createUpstreams } from '../../shared/upstream/pool.ts'
import { auditDefaults, ownClickhouseAt } from '../audit/config.ts'
import { start as startAudit } from '../audit/start.ts'
import { keepCommandsMs, maxArgumentsBytes } from '../broker/keep.ts'
import { createRelay } from '../broker/relay.ts'
import { brokerSettings } from '../broker/settings.ts'
import { startBroker } from '../broker/start.ts'
import { startTrimming } from '../broker/trimming.ts'
import { startFront } from '../front/start.ts'
import {
  lockDataFolder,
  ownCheckpoints,
  readOlderSecrets,
  readSecret,
  readSigning,
  writePrivate,
} from './data-folder.ts'

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

/** @throws ConfigError with every problem an operator can mend; UnavailableError when a store does not come up */
export async function startSingle({ environment, variables, log }: SingleInput): Promise<Single> {
  const closers = createClosers(log)
  try {
    const running = await open(environment, variables, log, closers)
    return { ...running, stop: closers.close, [Symbol.asyncDispose]: closers.close }
  } catch (error) {
    await closers.close()
    throw error
  }
}

async function open(environment: Environment, variables: Variables, log: Logger, closers: Closers) {
  if (environment.kafkaBrokers !== undefined) {
    throw new ConfigError(['KAFKA_BROKERS is set, but a single node keeps its journal in PostgreSQL: unset it'])
  }
  const { host, frontPort, auditPort, drainMs } = environment
  const dataDir = resolve(environment.dataDir)
  const { path, isExample } = findConfig(variables)
  const config = loadConfig({ path, env: variables, dataDir })
  closers.add(lockDataFolder(dataDir))
  const secret = environment.secret ?? readSecret(dataDir)
  const olderSecrets = environment.secret === undefined ? readOlderSecrets(dataDir) : environment.olderSecrets
  const key = loadDevKey({ dataDir, env: variables })
  const frontListener = await onPort(frontPort, 'set HOLDFAST_FRONT_PORT to another one', port =>
    openListener({ host, port, needs: ['journal'], log }),
  )
  closers.add(() => frontListener.close())
  const auditListener = await onPort(auditPort, 'set HOLDFAST_AUDIT_PORT to another one', port =>
    openListener({ host, port, needs: ['history'], log }),
  )
  closers.add(() => auditListener.close())
  if (isExample) {
    mkdirSync(join(dataDir, 'files'), { recursive: true })
    const bank = await onPort(examplePort, 'the example bank: write a holdfast.yaml of your own', port =>
      startBank({ port, dataDir: join(dataDir, 'bank') }),
    )
    closers.add(() => bank.stop())
  }

  const databaseUrl = environment.databaseUrl ?? (await startPostgres(dataDir, log, closers))
  writePrivate(dataDir, 'postgres.json', { url: databaseUrl })
  const database = await openDatabase({ url: databaseUrl, name: 'holdfast', maxConnections: 16, config, log })
  closers.add(() => database.close())
  const { pool, kept, clock } = database

  const ids = createIds(clock)
  const numbering = createNumbering(ids.ulid())
  const opened = numbered(await openJournal({ environment, databaseUrl, log }), numbering)
  const { journal } = opened
  closers.add(() => journal.close())
  const telemetry = await startTelemetry({ variables, host, token: environment.internalToken, log })
  closers.add(() => telemetry.stop())
  const brokerTelemetry = telemetry.broker()
  const relay = createRelay(opened, { pool, log, telemetry: brokerTelemetry })
  relay.start()
  closers.add(() => relay.stop())

  await recordConfiguration({ pool, clock, ids }, { config, service: 'single' })
  const start = { service: 'single', run: numbering.producer, policyVersion: config.version }
  closers.add(await recordStart({ journal, clock }, start))
  const trimming = startTrimming(opened, log)
  closers.add(() => trimming.stop())

  const upstreams = createUpstreams({ servers: serverAddresses(config, { env: variables, dataDir }), log })
  closers.add(() => upstreams.close())
  const authenticate = createAuthenticator({ pool, devKey: key, agentSettings: agent => agentSettings(config, agent) })

  // Front and broker hold each other: replies go to the front that is opened after the broker.
  let deliver: (replies: readonly Reply[]) => void = () => {}
  const broker = await startBroker(
    {
      db: kept,
      journal,
      ...(opened.kind === 'postgres' && { appending: opened.journal }),
      upstreams,
      settings: brokerSettings(config),
      clock,
      ids,
      log,
      events: { secret, maxArgumentsBytes, redactionOf: scopeRedaction(config) },
      numbering,
      olderSecrets,
      reply: (_, replies) => deliver(replies),
      telemetry: brokerTelemetry,
    },
    {
      alone: true,
      rememberMs: 2 * keepCommandsMs,
      windowMs: environment.failoverWindowMs,
      ...(drainMs !== undefined && { graceMs: drainMs }),
    },
  )
  closers.add(() => broker.stop())

  const audit = await startAudit({
    // Nobody else makes checkpoints, so there is nobody to wait for.
    config: { ...auditDefaults, checkpoints: { ...auditDefaults.checkpoints, lateMs: 0 } },
    listener: auditListener,
    journal,
    clickhouse: ownClickhouseAt({ ...environment, dataDir }),
    authenticate,
    subjects: createSubjectKeys({ db: pool }, { secret, olderSecrets }),
    signing: {
      db: pool,
      keys: environment.signingKeys ?? readSigning(dataDir),
      maker: ids.ulid(),
      folder: environment.checkpoints ?? ownCheckpoints(dataDir),
    },
    clock,
    ids,
    log,
    telemetry: telemetry.audit(),
  })
  closers.add(() => audit.stop())

  const front = await startFront({
    config,
    listener: frontListener,
    journal: broker.journal,
    broker: broker.port,
    upstreams,
    authenticate,
    pool,
    clock,
    ids,
    log,
    telemetry: telemetry.front(),
    secret,
    replyTo: 'single',
    ...(drainMs !== undefined && { times: { drainMs } }),
  })
  closers.add(() => front.stop())
  deliver = front.deliver
  await Promise.all([broker.ready, front.ready(), audit.ready()])

  const ready = { mcp: `${front.url}/mcp`, outcomes: `${front.url}/v1/outcomes`, sql: audit.url, key }
  writePrivate(dataDir, 'ready.json', ready)
  return { ...ready, config, isExample }
}

/** Where `examples/holdfast.yaml` expects the bank. */
const examplePort = 4001

async function startPostgres(dataDir: string, log: Logger, closers: Closers): Promise<string> {
  const postgres = await startEmbeddedPostgres({ dataDir: join(dataDir, 'postgres'), log })
  closers.add(() => postgres.stop())
  return postgres.url
}
