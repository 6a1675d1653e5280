/**
 * Connections that stay checked out between statements. A pool hands one over in a later turn of the event loop, after
 * everything else that is ready to run; a kept one is written to at once, so that PostgreSQL works while this process
 * goes on. For whoever runs one statement after the other.
 */
import type pg from 'pg'
import { isConnectionError } from './errors.ts'
import type { Pool } from './pool.ts'

export type KeptConnections = {
  /** A kept connection that is free, else one of the pool. Give it back. */
  take(): Promise<pg.PoolClient>
  /** @param error what its statement failed with: after a broken connection it is not used again */
  giveBack(connection: pg.PoolClient, error?: unknown): void
  /** Runs one statement. */
  query<Row extends object = Record<string, unknown>>(
    statement: string | { name: string; text: string },
    values?: readonly unknown[],
  ): Promise<{ rows: Row[]; rowCount: number | null }>
  /** Keeps none any more. To be called before the pool ends, which waits for every connection that is checked out. */
  release(): void
}

/** @param most how many are kept: others that share the pool must find one too */
export function keepConnections(pool: Pool, most: number): KeptConnections {
  const free: pg.PoolClient[] = []
  const watched = new WeakSet<pg.PoolClient>()
  let keep = most

  /** One that ends while nobody uses it. In use, its statement fails and tells. */
  const drop = (connection: pg.PoolClient) => {
    const index = free.indexOf(connection)
    if (index < 0) return
    free.splice(index, 1)
    connection.release(true)
  }

  const take = async () => {
    const connection = free.pop() ?? (await pool.connect())
    if (!watched.has(connection)) connection.once('end', () => drop(connection))
    watched.add(connection)
    return connection
  }

  const giveBack = (connection: pg.PoolClient, error?: unknown) => {
    if (error !== undefined && isConnectionError(error)) connection.release(true)
    else if (free.length < keep) free.push(connection)
    else connection.release()
  }

  return {
    take,
    giveBack,
    async query(statement, values) {
      const connection = free.length > 0 ? (free.pop() as pg.PoolClient) : await take()
      try {
        const result = await connection.query(statement as never, values as never)
        giveBack(connection)
        return result as never
      } catch (error) {
        giveBack(connection, error)
        throw error
      }
    },
    release() {
      keep = 0
      for (const connection of free.splice(0)) connection.release()
    },
  }
}
