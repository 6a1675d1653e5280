/**
 * The relay from the outbox into the journal, whichever one it is. Any number of brokers may run it.
 *
 * Over the tables of PostgreSQL a row moves in one statement. Over Kafka there is no such thing, so rows are deleted in a
 * transaction that commits when the journal has acknowledged them. What can break, and why nothing is lost:
 * - Kafka is away, or the acknowledgement is missing: the transaction is rolled back, the rows wait and are tried again.
 * - killed between acknowledgement and commit, or the commit fails: PostgreSQL rolls back, and the rows are published
 *   again. Readers tell repeats by their ids.
 * - the relay hangs in between: PostgreSQL ends the transaction, and another relay takes the rows.
 */
import type { OpenedJournal } from '../../shared/journal/open.ts'
import type { Journal, NewRecord } from '../../shared/journal/port.ts'
import type { PostgresJournal } from '../../shared/journal/postgres/journal.ts'
import { createOutboxRelay, type OutboxRelay } from '../../shared/journal/postgres/outbox.ts'
import type { Log } from '../../shared/postgres/log.ts'
import { inTransaction, type Pool } from '../../shared/postgres/pool.ts'
import type { BrokerTelemetry } from '../../shared/telemetry/broker.ts'
import { silentBroker } from '../../shared/telemetry/silent.ts'
import { crashPoint } from '../../shared/process/crash-point.ts'
import { takeOutbox } from './sql/outbox.ts'

export type { OutboxRelay }

type Deps = {
  /** Of the database with the outbox. The relay takes one connection at a time, also while it waits for the journal. */
  readonly pool: Pool
  readonly log: Log
  /** Default: nobody watches. */
  readonly telemetry?: Pick<BrokerTelemetry, 'relay'>
}

/** Longer than any append is tried. */
const maxIdleMs = 60_000
/** Of values: what a batch of rows may take in memory. */
const maxBytes = 16 * 1024 * 1024

export function createRelay(opened: OpenedJournal, { pool, log, telemetry = silentBroker }: Deps): OutboxRelay {
  const drainOutbox =
    opened.kind === 'postgres'
      ? (maxRows: number) => moveSome(opened.journal, maxRows)
      : (maxRows: number) => publishSome({ pool, journal: opened.journal }, maxRows)
  return createOutboxRelay({ journal: telemetry.relay({ drainOutbox }), log })
}

async function moveSome(journal: Pick<PostgresJournal, 'drainOutbox'>, maxRows: number): Promise<number> {
  const moved = await journal.drainOutbox(maxRows)
  if (moved > 0) crashPoint('relay.moved')
  return moved
}

/** @returns how many rows were published and are gone */
async function publishSome(deps: { pool: Pool; journal: Journal }, maxRows: number): Promise<number> {
  const published = await inTransaction(deps.pool, async connection => {
    const records = await takeOutbox(connection, { maxRows, maxBytes, maxIdleMs })
    if (records.length > 0) crashPoint('relay.taken')
    await publish(deps.journal, records)
    if (records.length > 0) crashPoint('relay.published')
    return records.length
  })
  if (published > 0) crashPoint('relay.committed')
  return published
}

/** Each by itself, so that the journal makes its batches by their sizes. All are waited for, whatever becomes of one. */
async function publish(journal: Journal, records: readonly NewRecord[]): Promise<void> {
  const results = await Promise.allSettled(records.map(record => journal.append([record])))
  const failed = results.find(result => result.status === 'rejected')
  if (failed) throw failed.reason
}
