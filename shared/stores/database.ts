/** The database as every service opens it: reached, migrated, fit for the configuration, and its time known. */
import type { Config } from '../config/load.ts'
import { UnavailableError } from '../errors.ts'
import { createDatabaseClock } from '../postgres/clock.ts'
import { type KeptConnections, keepConnections } from '../postgres/kept.ts'
import type { Log } from '../postgres/log.ts'
import { migrate } from '../postgres/migrate.ts'
import { byKeySettings, createPool, type Pool, type Queryable } from '../postgres/pool.ts'
import { refuseOrphans } from './live-scopes.ts'

export type Database = {
  readonly pool: Pool
  /** A few of the pool's connections, for broker: its statements follow one another. */
  readonly kept: KeptConnections
  /** Database time, never ahead of it. Whole milliseconds: what is decided with is what is stored. */
  readonly clock: { now(): number }
  /** @throws UnavailableError */
  ping(): Promise<void>
  close(): Promise<void>
}

export type DatabaseInput = {
  readonly url: string
  /** Shown as `application_name`. */
  readonly name: string
  readonly maxConnections: number
  readonly config: Config
  readonly log: Log
}

/** More than a broker mostly has under way, and few enough that the pool has some for everybody else. */
const mostKept = 6

/**
 * A connection that goes silent, as behind a firewall that forgot it, holds what it carries no longer than this and five
 * seconds; without a limit it would be the quarter of an hour that TCP takes. Every statement of the path takes milliseconds.
 */
const statementTimeoutMs = 10_000

/**
 * Any number of processes may do this at a time: migrations take turns.
 * @throws UnavailableError when it does not answer; ConfigError when it is newer than this program, or the configuration
 *   leaves unexpired keys without a name. Nothing stays open then.
 */
export async function openDatabase({ url, name, maxConnections, config, log }: DatabaseInput): Promise<Database> {
  const pool = createPool({ url, name, max: maxConnections, log, settings: byKeySettings, statementTimeoutMs })
  const kept = keepConnections(pool, mostKept)
  const clock = createDatabaseClock(pool)
  const close = async () => {
    clock.stop()
    kept.release()
    await pool.end()
  }
  try {
    await reach(pool)
    await migrateUnhurried({ url, name, log })
    await refuseOrphans(pool, config)
    await clock.sync()
  } catch (error) {
    await close()
    throw error
  }
  return { pool, kept, clock: { now: () => Math.floor(clock.now()) }, ping: () => reach(pool), close }
}

/** On a connection without a time limit: an index takes as long as its table is large, and others wait for their turn. */
async function migrateUnhurried({ url, name, log }: Pick<DatabaseInput, 'url' | 'name' | 'log'>): Promise<void> {
  const pool = createPool({ url, name, max: 1, log })
  try {
    await migrate({ pool, log })
  } finally {
    await pool.end()
  }
}

/** `pg` tells the reason and never the password. */
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
