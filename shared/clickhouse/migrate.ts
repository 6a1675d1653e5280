/**
 * Brings a ClickHouse to the schema of `infra/clickhouse`: numbered files, forward only, each recorded with its
 * checksum. Every statement can run twice (`if not exists`, `or replace`), so a process killed between a statement and
 * its record, or two migrators at once, do no harm.
 */
import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import type { ClickHouseClient } from '@clickhouse/client'
import { ConfigError, InvariantError, UnavailableError } from '../errors.ts'
import { clustered } from './cluster.ts'
import { integer, literal } from './literal.ts'

export type Migration = {
  readonly version: number
  readonly name: string
  readonly checksum: string
  readonly statements: readonly string[]
}

export const migrationsFolder = new URL('../../infra/clickhouse/', import.meta.url)

/** Of a cluster: its name in the servers' configuration. */
export type MigrateOptions = { readonly folder?: URL; readonly cluster?: string | undefined }

/**
 * Applies what is missing.
 * @returns the names of the files applied now
 * @throws ConfigError when an applied file was changed since, or the history was written by a newer Holdfast
 */
export async function migrate(
  client: ClickHouseClient,
  { folder = migrationsFolder, cluster }: MigrateOptions = {},
): Promise<string[]> {
  const known = await readMigrations(folder)
  for (const query of beginning.flatMap(statement => formsOf(statement, cluster))) await client.command({ query })
  const applied = await appliedMigrations(client)
  refuseSurprises(known, applied)
  const names: string[] = []
  for (const migration of known) {
    if (applied.has(migration.version)) continue
    for (const query of migration.statements.flatMap(statement => formsOf(statement, cluster)))
      await client.command({ query })
    await recordMigration(client, migration)
    names.push(migration.name)
  }
  return names
}

const beginning = [
  'create database if not exists holdfast',
  `create table if not exists holdfast.migrations
      (version UInt32, name String, checksum String, applied_at DateTime64(3, 'UTC') default now64(3))
      engine = MergeTree order by version`,
]

const formsOf = (statement: string, cluster: string | undefined): string[] =>
  cluster === undefined ? [statement] : clustered(statement, cluster)

/** Everything that `migrate` would run on an empty ClickHouse, in order: for whoever runs it by hand. */
export async function allStatements({ folder = migrationsFolder, cluster }: MigrateOptions = {}): Promise<string[]> {
  const statements = [...beginning, ...(await readMigrations(folder)).flatMap(each => each.statements)]
  return statements.flatMap(statement => formsOf(statement, cluster)).map(statement => statement.trim())
}

/**
 * Whether the schema is the one of this release, asked as a user that may only read.
 * @throws UnavailableError when something is missing, which `holdfast migrate` brings; ConfigError as `migrate`
 */
export async function requireSchema(client: ClickHouseClient, folder: URL = migrationsFolder): Promise<void> {
  const known = await readMigrations(folder)
  const applied = await appliedMigrations(client).catch((cause: unknown) => {
    // Neither the table nor the right to ask for it: both are what a migration brings.
    if (/UNKNOWN_(?:TABLE|DATABASE)|ACCESS_DENIED/.test(String((cause as { type?: string }).type ?? cause)))
      return new Map<number, string>()
    throw cause
  })
  refuseSurprises(known, applied)
  const missing = known.filter(({ version }) => !applied.has(version))
  if (missing.length === 0) return
  throw new UnavailableError(
    'clickhouse',
    `The history lacks ${missing.length === known.length ? 'its tables' : missing.map(({ name }) => name).join(', ')}: run holdfast migrate as a user that may create them.`,
  )
}

/** The files of a folder in order. A statement ends with `;` at the end of a line. */
export async function readMigrations(folder: URL): Promise<Migration[]> {
  const names = (await readdir(folder)).filter(name => /^\d{4}_\w+\.sql$/.test(name)).sort()
  const versions = names.map(name => name.slice(0, 4))
  const twice = names.find((_, index) => versions.indexOf(versions[index] as string) !== index)
  // The second would never be applied.
  if (twice !== undefined) throw new InvariantError(`${twice} has the number of another migration`)
  return Promise.all(
    names.map(async name => {
      const text = await readFile(new URL(name, folder), 'utf8')
      return {
        version: Number(name.slice(0, 4)),
        name,
        checksum: createHash('sha256').update(text).digest('hex'),
        statements: text.split(/;[ \t]*(?:\n|$)/).filter(statement => /^\s*[^\s-]/m.test(statement)),
      }
    }),
  )
}

function refuseSurprises(known: readonly Migration[], applied: ReadonlyMap<number, string>) {
  for (const [version, checksum] of applied) {
    const migration = known.find(candidate => candidate.version === version)
    if (!migration) {
      throw new ConfigError([
        `The history has schema version ${version}, which this Holdfast does not know: run the newer release.`,
      ])
    }
    if (migration.checksum !== checksum) {
      throw new ConfigError([
        `${migration.name} was changed after it had been applied to this history: restore the released file.`,
      ])
    }
  }
}

async function appliedMigrations(client: ClickHouseClient): Promise<Map<number, string>> {
  const result = await client.query({
    query: 'select version, any(checksum) as checksum from holdfast.migrations group by version order by version',
    format: 'JSONEachRow',
  })
  const rows = await result.json<{ version: number; checksum: string }>()
  return new Map(rows.map(row => [Number(row.version), row.checksum]))
}

async function recordMigration(client: ClickHouseClient, { version, name, checksum }: Migration): Promise<void> {
  await client.command({
    query: `insert into holdfast.migrations (version, name, checksum)
      settings async_insert = 0 values (${integer(version)}, ${literal(name)}, ${literal(checksum)})`,
  })
}
