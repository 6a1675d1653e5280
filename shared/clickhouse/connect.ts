/**
 * The history's store, brought to the current schema: ClickHouse's engine in this process, or a ClickHouse server.
 * Owns every connection to it. What differs between the two ends here.
 */
import { type ClickHouseClient, ClickHouseLogLevel, createClient } from '@clickhouse/client'
import { ConfigError, UnavailableError } from '../errors.ts'
import { type ChdbEngine, everyTenant, openChdb } from './chdb.ts'
import { literal } from './literal.ts'
import { migrate, type MigrateOptions, requireSchema } from './migrate.ts'
import { openChdbReader, openServerReader, type Reader, type ReaderOptions } from './reader.ts'

/** `path`: a folder for the embedded engine. `url`: a server, user and password in it, such as http://user:secret@host:8123. */
export type ClickhouseAt =
  | { readonly path: string }
  | {
      readonly url: string
      /** The user that SQL of agents runs as; best one that can SELECT only. Default: `url`. */
      readonly readerUrl?: string | undefined
      /** The user that may change the schema: then it is brought up to date first. Default: somebody else does that. */
      readonly migrationUrl?: string | undefined
    }

export type Clickhouse = {
  /** Whether other processes can write to it too. The embedded engine's folder is held by one. */
  readonly shared: boolean
  /** The service's own connection: sees every tenant, reads and inserts. One statement after the other over chDB. */
  readonly client: ClickHouseClient
  /** Resolves once an insert that ended in doubt can no longer take effect; `queryId` is the one it was sent with. */
  readonly settled: (queryId: string) => Promise<void>
  /** A connection for SQL of others: read-only, one tenant, bounded. The caller closes it. */
  openReader(options: ReaderOptions): Promise<Reader>
  /** @throws UnavailableError */
  ping(): Promise<void>
  close(): Promise<void>
}

/**
 * Connects. The embedded engine's folder is migrated here; a server by `holdfast migrate`, which has rights of its own.
 * @throws ConfigError when the folder is in use, the platform has no engine, the address is wrong or the schema is not ours
 * @throws UnavailableError when a server does not answer, or its schema is not there yet
 */
export function connectClickhouse(at: ClickhouseAt): Promise<Clickhouse> {
  return 'path' in at ? connectChdb(at.path) : connectServer(at)
}

async function connectChdb(path: string): Promise<Clickhouse> {
  await migrateAsOwner(path)
  const engine = await openChdb(path, 'service')
  const client = await chdbClient(engine)
  await client.command({ query: `set log_comment = ${literal(everyTenant)}, async_insert = 0` })
  return {
    shared: false,
    client,
    // An insert into the embedded engine has ended when its promise has.
    settled: async () => {},
    openReader: options => openChdbReader(engine, options),
    ping: () => ping(client),
    close: async () => {
      await client.close()
      await engine.close()
    },
  }
}

/** Brings the embedded engine's folder to the current schema, in a short life of its own with an owner's rights. */
export async function migrateAsOwner(path: string): Promise<void> {
  const engine = await openChdb(path, 'owner')
  try {
    const client = await chdbClient(engine)
    try {
      await migrate(client)
    } finally {
      await client.close()
    }
  } finally {
    await engine.close()
  }
}

type ChdbAsConnection = NonNullable<NonNullable<Parameters<typeof createClient>[0]>['connection']>

async function chdbClient(engine: ChdbEngine): Promise<ClickHouseClient> {
  const { createChdbConnection } = await import('chdb/connection')
  // The two packages carry their own copy of one interface, with a private member each.
  const connection = createChdbConnection({ path: engine.path }) as unknown as ChdbAsConnection
  return createClient({ connection })
}

/** Longer than `insertLimitSeconds`, so that the server's own limit ends an insert before our patience does. */
const requestTimeoutMs = 30_000

async function connectServer(at: Exclude<ClickhouseAt, { path: string }>): Promise<Clickhouse> {
  const client = serverClient(at.url)
  try {
    await ping(client)
    if (at.migrationUrl !== undefined) await migrateServer(at.migrationUrl)
    await requireSchema(client)
  } catch (error) {
    await client.close()
    throw error
  }
  return {
    shared: true,
    client,
    settled: queryId => queryGone(client, queryId),
    openReader: options => openServerReader(at.readerUrl ?? at.url, options),
    ping: () => ping(client),
    close: () => client.close(),
  }
}

function serverClient(url: string): ClickHouseClient {
  try {
    return createClient({
      url,
      request_timeout: requestTimeoutMs,
      // Its errors are ours to log, once.
      log: { level: ClickHouseLogLevel.OFF },
      clickhouse_settings: { log_comment: everyTenant, async_insert: 0 },
    })
  } catch (error) {
    throw new ConfigError(
      ['CLICKHOUSE_URL is not an address of a ClickHouse server, such as http://user:secret@host:8123.'],
      {
        cause: error,
      },
    )
  }
}

/**
 * Brings a server to the current schema.
 * @param url of a user that may create and alter in the database `holdfast`
 * @returns the names of the files applied now
 * @throws ConfigError as `migrate`; UnavailableError when it does not answer
 */
export async function migrateServer(url: string, options: MigrateOptions = {}): Promise<string[]> {
  const client = serverClient(url)
  try {
    await ping(client)
    return await migrate(client, options)
  } finally {
    await client.close()
  }
}

async function ping(client: ClickHouseClient): Promise<void> {
  const result = await client.ping({ select: true })
  if (!result.success) throw new UnavailableError('clickhouse', 'ClickHouse does not answer.', { cause: result.error })
}

const queryGonePollMs = 250

/** A user may always see its own queries. Throws while the server cannot be asked: then nothing is settled. */
async function queryGone(client: ClickHouseClient, queryId: string): Promise<void> {
  for (;;) {
    const result = await client.query({
      query: `select count() as running from system.processes where query_id = ${literal(queryId)}`,
      format: 'JSONEachRow',
    })
    const [row] = await result.json<{ running: number }>()
    if (Number(row?.running) === 0) return
    await new Promise(resolve => setTimeout(resolve, queryGonePollMs))
  }
}
