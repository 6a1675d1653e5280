/** A real Postgres with the table of API keys, for the tests of keys and of the commands that make them. */
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { startEmbeddedPostgres } from '../../shared/postgres/embedded.ts'

const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
const migration = new URL('../../infra/postgres/0003_api_keys.sql', import.meta.url)

export type KeysDatabase = {
  readonly url: string
  readonly pool: pg.Pool
  close(): Promise<void>
}

export async function startKeysDatabase(): Promise<KeysDatabase> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-api-keys-'))
  // As root Postgres runs as another user, who must be able to enter.
  await chmod(folder, 0o711)
  // Embedded Postgres never keeps a process alive by itself, and before the first query nothing else does.
  const alive = setInterval(() => {}, 60_000)
  try {
    const postgres = await startEmbeddedPostgres({ dataDir: join(folder, 'postgres'), log: silent })
    const pool = new pg.Pool({ connectionString: postgres.url, max: 4 })
    pool.on('error', () => {})
    await pool.query(await readFile(migration, 'utf8'))
    const close = async () => {
      await pool.end()
      await postgres.stop()
      await rm(folder, { recursive: true, force: true })
    }
    return { url: postgres.url, pool, close }
  } finally {
    clearInterval(alive)
  }
}
