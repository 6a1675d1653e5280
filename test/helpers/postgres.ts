/**
 * A real PostgreSQL for tests: one per test process, started when first asked for, gone when the process is (also when it
 * crashes: the server hangs on a pipe, and so does a small shell that removes the folder).
 */
import { spawn } from 'node:child_process'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../shared/postgres/embedded.ts'
import { migrate } from '../../shared/postgres/migrate.ts'
import { createPool, type Pool, query } from '../../shared/postgres/pool.ts'
import { silent } from './silent.ts'

export { silent }

export type TestDatabase = { readonly url: string; readonly name: string; [Symbol.asyncDispose](): Promise<void> }

export type TestPostgres = {
  readonly server: EmbeddedPostgres
  /** A fresh, migrated database of its own. Dropped when disposed, else with the server. */
  database(): Promise<TestDatabase>
}

let started: Promise<TestPostgres> | undefined

/** The server of this test process. */
export function testPostgres(): Promise<TestPostgres> {
  return (started ??= start())
}

after(async () => {
  if (started) await (await started).server.stop()
})

/**
 * A temporary folder that another system user may enter, removed when this process is gone and PostgreSQL with it.
 * @returns its path
 */
export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-test-'))
  await chmod(folder, 0o755)
  const remover =
    'read x; i=0; while ls "$0"/*/pgdata/postmaster.pid && [ $i -lt 100 ]; do sleep 0.1; i=$((i+1)); done; rm -rf "$0"'
  const reaper = spawn('sh', ['-c', remover, folder], { detached: true, stdio: ['pipe', 'ignore', 'ignore'], cwd: '/' })
  reaper.unref()
  ;(reaper.stdin as unknown as { unref(): void }).unref()
  return folder
}

async function start(): Promise<TestPostgres> {
  const folder = await temporaryFolder()
  const server = await startEmbeddedPostgres({ dataDir: join(folder, 'postgres'), log: silent })
  await createTemplate(server.url)
  let count = 0
  const database = async (): Promise<TestDatabase> => {
    const name = `test_${++count}`
    await administer(server.url, pool => query(pool, { text: `create database ${name} template test_template` }))
    const drop = () =>
      administer(server.url, pool => query(pool, { text: `drop database if exists ${name} with (force)` }))
    return { url: databaseUrl(server.url, name), name, [Symbol.asyncDispose]: async () => void (await drop()) }
  }
  return { server, database }
}

async function createTemplate(url: string): Promise<void> {
  await administer(url, pool => query(pool, { text: 'create database test_template' }))
  await administer(databaseUrl(url, 'test_template'), pool => migrate({ pool, log: silent }))
}

async function administer<T>(url: string, work: (pool: Pool) => Promise<T>): Promise<T> {
  const pool = createPool({ url, max: 1, name: 'holdfast-test', log: silent })
  try {
    return await work(pool)
  } finally {
    await pool.end()
  }
}

function databaseUrl(url: string, name: string): string {
  const changed = new URL(url)
  changed.pathname = `/${name}`
  return changed.href
}

/** Removes a folder made by `temporaryFolder` now rather than at the end. */
export const removeFolder = (folder: string): Promise<void> => rm(folder, { recursive: true, force: true })
