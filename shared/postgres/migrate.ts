/**
 * Forward-only migrations: `infra/postgres/NNNN_name.sql` in order, each once. All pending ones are one transaction under
 * an advisory lock, so two migrators may race and a failed one leaves nothing behind.
 */
import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { ConfigError } from '../errors.ts'
import type { Log } from './log.ts'
import { inTransaction, type Pool, query, type Queryable } from './pool.ts'

type Migration = { readonly number: number; readonly name: string; readonly checksum: string; readonly sql: string }
type Applied = { readonly number: number; readonly name: string; readonly checksum: string }

/** Any constant will do, as long as every migrator uses the same: "holdfast" in ASCII, cut to 63 bits. */
const lockKey = '7525351015455257460'

export const migrationsFolder = fileURLToPath(new URL('../../infra/postgres/', import.meta.url))

/**
 * Brings the database up to date.
 * @returns names of the migrations applied by this call
 * @throws ConfigError when an applied file was edited, or a new file is numbered below an applied one
 */
export async function migrate(deps: { pool: Pool; log: Log }, folder = migrationsFolder): Promise<string[]> {
  const migrations = await readMigrations(folder)
  const names = await inTransaction(deps.pool, async connection => {
    await connection.query('select pg_advisory_xact_lock($1)', [lockKey])
    const pending = choosePending(migrations, await readApplied(connection))
    for (const migration of pending) await apply(connection, migration)
    return pending.map(migration => migration.name)
  })
  if (names.length > 0) deps.log.info({ migrations: names }, 'database migrated')
  return names
}

async function readMigrations(folder: string): Promise<Migration[]> {
  const names = (await readdir(folder)).filter(name => /^\d{4}_[a-z0-9_]+\.sql$/.test(name)).sort()
  const migrations = await Promise.all(
    names.map(async name => {
      const sql = await readFile(`${folder}/${name}`, 'utf8')
      return { number: Number(name.slice(0, 4)), name, checksum: createHash('sha256').update(sql).digest('hex'), sql }
    }),
  )
  const twice = migrations.find((migration, index) => migrations[index - 1]?.number === migration.number)
  if (twice) throw new ConfigError([`Two migrations have the number of ${twice.name}.`])
  return migrations
}

function choosePending(migrations: readonly Migration[], applied: readonly Applied[]): Migration[] {
  const byNumber = new Map(applied.map(row => [row.number, row]))
  const newest = Math.max(0, ...byNumber.keys())
  const problems = migrations.flatMap(({ number, name, checksum }) => {
    const row = byNumber.get(number)
    if (row && row.checksum !== checksum)
      return [`Migration ${name} was edited after it was applied (as ${row.name}): undo the edit and add a new file.`]
    if (!row && number < newest)
      return [`Migration ${name} is numbered below ${newest}, which is applied: give it the next number.`]
    return []
  })
  const ours = new Set(migrations.map(({ number }) => number))
  const unknown = applied.filter(({ number }) => !ours.has(number)).map(({ name }) => name)
  if (unknown.length > 0) {
    problems.push(`The database was migrated by a newer Holdfast (${unknown.join(', ')}): run that one or a later one.`)
  }
  if (problems.length > 0) throw new ConfigError(problems)
  return migrations.filter(migration => !byNumber.has(migration.number))
}

async function readApplied(connection: Queryable): Promise<Applied[]> {
  await connection.query(
    `create table if not exists migrations (
       number int primary key, name text not null, checksum text not null, applied_at timestamptz not null default now())`,
  )
  return query<Applied>(connection, { text: 'select number, name, checksum from migrations order by number' })
}

async function apply(connection: Queryable, { number, name, checksum, sql }: Migration): Promise<void> {
  await connection.query(sql).catch(error => {
    throw new ConfigError([`Migration ${name} failed: ${error.message}`], { cause: error })
  })
  await connection.query('insert into migrations (number, name, checksum) values ($1, $2, $3)', [
    number,
    name,
    checksum,
  ])
}
