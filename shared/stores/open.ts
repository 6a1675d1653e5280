/** What every process of a cluster opens first, waiting for each, and closes last. */
import type { Logger } from 'pino'
import type { ReplicaConfig } from '../config/replica.ts'
import { type OpenedJournal, openJournal } from '../journal/open.ts'
import { createIds } from '../process/ids.ts'
import { recordStart } from '../process/lifecycle.ts'
import type { Opening } from '../process/replica.ts'
import { startTelemetry, type Telemetry } from '../telemetry/telemetry.ts'
import { type Database, openDatabase } from './database.ts'

export type Stores = Database & {
  readonly opened: OpenedJournal
  readonly ids: { ulid(): string }
  /** Metrics and traces of this process. */
  readonly telemetry: Telemetry
}

/** Names for `/readyz`; the service adds its own. */
export const storeNeeds = ['postgres', 'journal', 'start_on_record'] as const

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
  const opened = await needs.until('journal', () => openJournal({ environment, databaseUrl: url, log }))
  const { journal } = opened
  closers.add(() => journal.close())
  needs.check('journal', () => journal.ping())

  const ids = createIds(database.clock)
  const start = { service, run: ids.ulid(), policyVersion: config.version }
  // Tried again under one id: it is in the history once.
  closers.add(await needs.until('start_on_record', () => recordStart({ journal, clock: database.clock }, start)))
  return { ...database, opened, ids, telemetry }
}
