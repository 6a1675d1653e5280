/** What every process of a cluster opens first, waiting for each, and closes last. */
import type { Logger } from 'pino'
import type { ReplicaConfig } from '../config/replica.ts'
import { type OpenedJournal, openJournal } from '../journal/open.ts'
import { createNumbering, type Numbering } from '../events/numbering.ts'
import { numberedJournal } from '../journal/numbered.ts'
import { createIds } from '../process/ids.ts'
import { recordStart } from '../process/lifecycle.ts'
import type { Opening } from '../process/replica.ts'
import { startTelemetry, type Telemetry } from '../telemetry/telemetry.ts'
import { recordConfiguration } from './configurations.ts'
import { type Database, openDatabase } from './database.ts'

export type Stores = Database & {
  readonly opened: OpenedJournal
  readonly ids: { ulid(): string }
  readonly numbering: Numbering
  /** Metrics and traces of this process. */
  readonly telemetry: Telemetry
}

/** Names for `/readyz`; the service adds its own. */
export const storeNeeds = ['postgres', 'journal', 'configuration_on_record', 'start_on_record'] as const

/** @param service its name in the history and in the database's list of connections */
export async function openStores(
  { listener: { needs }, closers }: Opening,
  {
    service,
    settings: { environment, config, variables },
    maxConnections,
    log,
  }: {
    readonly service: string
    readonly settings: ReplicaConfig<'databaseUrl'>
    readonly maxConnections: number
    readonly log: Logger
  },
): Promise<Stores> {
  const { databaseUrl: url, host, internalToken: token } = environment
  const telemetry = await startTelemetry({ variables, host, token, log })
  closers.add(() => telemetry.stop())
  const database = await needs.until('postgres', () =>
    openDatabase({ url, name: `holdfast-${service}`, maxConnections, config, log }),
  )
  closers.add(() => database.close())
  needs.check('postgres', () => database.ping())
  const ids = createIds(database.clock)
  const numbering = createNumbering(ids.ulid())
  const opened = numbered(
    await needs.until('journal', () => openJournal({ environment, databaseUrl: url, log })),
    numbering,
  )
  const { journal } = opened
  closers.add(() => journal.close())
  needs.check('journal', () => journal.ping())

  await needs.until('configuration_on_record', () => recordConfiguration({ ...database, ids }, { config, service }))
  const start = { service, run: numbering.producer, policyVersion: config.version }
  // Tried again under one id: it is in the history once.
  closers.add(await needs.until('start_on_record', () => recordStart({ journal, clock: database.clock }, start)))
  return { ...database, opened, ids, numbering, telemetry }
}

export const numbered = (opened: OpenedJournal, numbering: Numbering): OpenedJournal =>
  opened.kind === 'postgres'
    ? { kind: 'postgres', journal: numberedJournal(opened.journal, numbering) }
    : { kind: 'kafka', journal: numberedJournal(opened.journal, numbering) }
