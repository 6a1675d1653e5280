/** A real Postgres for the tests of keys and of the commands that make them. */
import { createPool, type Pool } from '../../shared/postgres/pool.ts'
import { silent, testPostgres } from '../helpers/postgres.ts'

export type KeysDatabase = {
  readonly url: string
  readonly pool: Pool
  close(): Promise<void>
}

export async function startKeysDatabase(): Promise<KeysDatabase> {
  const { url } = await (await testPostgres()).database()
  const pool = createPool({ url, max: 4, name: 'holdfast-test', log: silent })
  return { url, pool, close: () => pool.end() }
}
