/**
 * Brings a ClickHouse to the schema of `infra/clickhouse`: numbered files, forward only, each recorded with its
 * checksum. Every statement can run twice (`if not exists`, `or replace`), so a process killed between a statement and
 * its record, or two migrators at once, do no harm.
 */
import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import type { ClickHouseClient } from '@clickhouse/client'
import { ConfigError } from '../errors.ts'
import { integer, literal } from './literal.ts'

export type Migration = {
  readonly version: number
  readonly name: string
  readonly checksum: string
  readonly statements: readonly string[]
}

export const migrationsFolder = new URL('../../infra/clickhouse/', import.meta.url)

/**
 * Applies what is missing.
 * @returns the names of the files applied now
 * @throws ConfigError when an applied file was changed since, or the history was written by a newer Holdfast
 */
export async function migrate(client: ClickHouseClient, folder: URL = migrationsFolder): Promise<string[]> {
  const known = await readMigrations(folder)
  await client.command({ query: 'create database if not exists holdfast' })
  await createMigrationsTable(client)
  const applied = await appliedMigrations(client)
  refuseSurprises(known, applied)
  const names: string[] = []
  for (const migration of known) {
    if (applied.has(migration.version)) continue
    for (const query of migration.statements) await client.command({ query })
    await recordMigration(client, migration)
    names.push(migration.name)
  }
  return names
}

/** The files of a folder in order. A statement ends with `;` at the end of a line. */
export async function readMigrations(folder: URL): Promise<Migration[]> {
  const names = (await readdir(folder)).filter(name => /^\d{4}_\w+\.sql$/.test(name)).sort()
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

async function createMigrationsTable(client: ClickHouseClient): Promise<void> {
  await client.command({
    query: `create table if not exists holdfast.migrations
      (version UInt32, name String, checksum String, applied_at DateTime64(3, 'UTC') default now64(3))
      engine = MergeTree order by version`,
  })
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
