/**
 * ClickHouse's engine inside this process (chDB). One process owns a folder; the engine lives while any session on it
 * is open and takes its configuration from the first one, so that session is kept here as an anchor.
 *
 * Two configurations: `owner` may change the schema (migrations), `service` holds SELECT and INSERT on holdfast and
 * nothing else, for the whole process: users cannot differ per connection in one engine. Readers are narrowed further,
 * see `reader.ts`. A configuration file is always given, so a stray `config.xml` in the working directory is not read.
 */
import { randomUUID } from 'node:crypto'
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { Session } from 'chdb'
import { ConfigError } from '../errors.ts'

export type Rights = 'owner' | 'service'

export type ChdbEngine = {
  readonly path: string
  /** Another connection to the running engine: its own settings, in parallel to the others. About 1 ms. */
  session(): Session
  /** A path for a file that lives as long as one answer; leftovers go at the next start. */
  readonly temporaryFile: () => string
  /** Ends the engine, after every query under way; the folder is free afterwards. */
  close(): Promise<void>
}

/** The tenant that stands for every tenant; see `tenantFilter`. No tenant can be named so: `reader.ts` refuses it. */
export const everyTenant = '* every tenant *'

/**
 * Which rows a connection sees. The tenant travels in the setting `log_comment`, the one free text among the settings
 * that a read-only connection can read and not change; custom settings do not exist in chDB. Without it a connection
 * sees no tenant. As a row policy it is applied before any condition of the query, so an error message of a condition
 * never shows another tenant's row (`additional_table_filters` does not hold that, with PREWHERE or `merge()`).
 * Rows without a tenant are the service's own (`record.rejected`).
 */
const tenantFilter = `getSetting('log_comment') = '${everyTenant}' or tenant in (getSetting('log_comment'), '')`

/** The tables whose rows belong to tenants: a reader sees its own and those of the service. */
export const tenantTables = ['events'] as const

/** The others of the history, which every reader sees whole, and why it may. */
export const openTables: readonly { readonly name: string; readonly because: string }[] = [
  { name: 'checkpoints', because: 'signed hashes, of whose leaves nothing can be told' },
  { name: 'migrations', because: 'versions of the schema' },
  { name: 'writers', because: 'which process wrote which partition, and when' },
]

/** Tables of `system` that say how to read the history and nothing about anybody's data. */
export const systemTables = ['columns', 'databases', 'functions', 'numbers', 'one', 'tables'] as const

/** What the engine may allocate; with its own code and Node's heap the process peaks at about 0.8 GB. */
const memoryBytes = 512_000_000

/**
 * Starts the engine over a folder, which is created when missing.
 * @param folder where the history lives; configuration is written beside the data at every start
 * @throws ConfigError when this platform has no chDB, or another process holds the folder
 */
export async function openChdb(folder: string, rights: Rights): Promise<ChdbEngine> {
  const { Session, drainPending } = await loadChdb()
  const path = join(resolve(folder), 'data')
  const configuration = await writeConfiguration(resolve(folder), rights)
  const anchor = openSession(() => new Session(path, { connectionArgs: [`--config-file=${configuration}`] }), folder)
  return {
    path,
    session: () => new Session(path),
    temporaryFile: () => join(resolve(folder), `${temporaryPrefix}${randomUUID()}`),
    close: async () => {
      await drainPending()
      anchor.close()
      await drainPending()
    },
  }
}

async function loadChdb(): Promise<typeof import('chdb')> {
  try {
    return await import('chdb')
  } catch (error) {
    throw new ConfigError(
      [
        `The embedded history (chDB) does not run on ${process.platform} ${process.arch}: set CLICKHOUSE_URL to a ClickHouse server.`,
      ],
      { cause: error },
    )
  }
}

function openSession(open: () => Session, folder: string): Session {
  try {
    return open()
  } catch (error) {
    throw new ConfigError(
      [
        `The history in ${folder} could not be opened: stop the process that holds it, or set HOLDFAST_DATA to another folder.`,
      ],
      { cause: error },
    )
  }
}

const temporaryPrefix = 'answer-'

async function writeConfiguration(folder: string, rights: Rights): Promise<string> {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  for (const name of await readdir(folder))
    if (name.startsWith(temporaryPrefix)) await rm(join(folder, name), { force: true })
  const users = join(folder, `users-${rights}.xml`)
  const configuration = join(folder, `config-${rights}.xml`)
  await writeFile(users, usersXml(rights))
  await writeFile(configuration, configurationXml(users))
  return configuration
}

const configurationXml = (users: string) => `<clickhouse>
  <users_config>${escapeXml(users)}</users_config>
  <max_server_memory_usage>${memoryBytes}</max_server_memory_usage>
  <mark_cache_size>33554432</mark_cache_size>
  <index_mark_cache_size>8388608</index_mark_cache_size>
  <uncompressed_cache_size>0</uncompressed_cache_size>
  <mmap_cache_size>100</mmap_cache_size>
  <background_pool_size>2</background_pool_size>
  <background_schedule_pool_size>4</background_schedule_pool_size>
</clickhouse>
`

const usersXml = (rights: Rights) => `<clickhouse>
  <profiles><default/></profiles>
  <quotas><default/></quotas>
  <users>
    <default>
      <password></password>
      <networks><ip>::/0</ip></networks>
      <profile>default</profile>
      <quota>default</quota>${rights === 'service' ? serviceXml : ''}
    </default>
  </users>
</clickhouse>
`

const grants = [
  'SELECT, INSERT, SHOW ON holdfast.*',
  'SELECT ON information_schema.*',
  ...systemTables.map(table => `SELECT ON system.${table}`),
]

const serviceXml = `
      <grants>${grants.map(grant => `<query>GRANT ${grant}</query>`).join('')}</grants>
      <databases><holdfast>${tenantTables
        .map(table => `<${table}><filter>${escapeXml(tenantFilter)}</filter></${table}>`)
        .join('')}</holdfast></databases>`

function escapeXml(text: string): string {
  return text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;')
}
