/** Connections to PostgreSQL, whichever one it is: a pool that survives the server's restarts, and two helpers. */
import pg from 'pg'
import { CorruptionError } from '../errors.ts'
import type { Log } from './log.ts'

export type Pool = pg.Pool
/** A pool or one connection of it: what runs a single statement. */
export type Queryable = Pick<pg.Pool, 'query'>

export type PoolOptions = {
  readonly url: string
  /** Most connections. */
  readonly max: number
  /** Shown as `application_name` in `pg_stat_activity`. */
  readonly name: string
  readonly log: Log
  /** Server settings of every connection, for example `enable_seqscan: 'off'`. */
  readonly settings?: Readonly<Record<string, string>>
  /** The server gives up a statement after this time and rolls it back. Default: never. */
  readonly statementTimeoutMs?: number
}

/** `end()` it to close. A connection that cannot be made within 5 s is an error of the query that wanted it. */
export function createPool({ url, max, name, log, settings = {}, statementTimeoutMs }: PoolOptions): Pool {
  const pool = new pg.Pool({
    connectionString: url,
    max,
    application_name: name,
    connectionTimeoutMillis: 5_000,
    idleTimeoutMillis: 30_000,
    keepAlive: true,
    types: { getTypeParser },
    options: Object.entries(settings)
      .map(([setting, value]) => `-c ${setting}=${value}`)
      .join(' '),
    ...(statementTimeoutMs !== undefined && {
      statement_timeout: statementTimeoutMs,
      query_timeout: statementTimeoutMs + 5_000, // the server's own verdict first, it is definite
    }),
  })
  // A connection's end is an error event, and one nobody listens to crashes the process. The pool listens while it is idle;
  // one that is checked out can end between two statements. The next query opens a new one.
  pool.on('error', error => log.warn({ error: error.message, pool: name }, 'a PostgreSQL connection ended'))
  pool.on('connect', connection => connection.on('error', () => {}))
  return pool
}

/** int8 as number: every bigint of ours is a counter that stays below 2^53. All else as `pg` does it. */
const getTypeParser = ((oid: number, format?: 'text' | 'binary') =>
  oid === pg.types.builtins.INT8 && format !== 'binary'
    ? parseInt8
    : pg.types.getTypeParser(oid, format as 'text')) as typeof pg.types.getTypeParser

function parseInt8(text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value)) throw new CorruptionError(`The database holds a counter beyond 2^53: ${text}`)
  return value
}

/**
 * For statements that look rows up by their keys. Their plans are made once per connection, in a new database before
 * there is anything to count: the planner then takes the big tables for empty and scans them for every row, until the
 * next autovacuum. With an index at hand it must use it.
 */
export const byKeySettings = { enable_seqscan: 'off', enable_hashjoin: 'off', enable_mergejoin: 'off' } as const

export type Statement = {
  readonly text: string
  readonly values?: unknown[] /** Prepared once per connection under this name. */
  readonly name?: string
}

/** Runs one statement and returns its rows. */
export async function query<Row extends pg.QueryResultRow>(on: Queryable, statement: Statement): Promise<Row[]> {
  const { rows } = await on.query<Row>(statement)
  return rows
}

/**
 * Runs `work` on one connection between BEGIN and COMMIT; rolls back and rethrows when it throws.
 * When COMMIT itself gets no answer (`isConnectionError`) the work may be committed.
 */
export async function inTransaction<T>(pool: Pool, work: (connection: pg.PoolClient) => Promise<T>): Promise<T> {
  const connection = await pool.connect()
  let broken: boolean | undefined
  try {
    await connection.query('begin')
    const result = await work(connection)
    await connection.query('commit')
    return result
  } catch (error) {
    await connection.query('rollback').catch(() => (broken = true))
    throw error
  } finally {
    connection.release(broken)
  }
}
