import { join } from 'node:path'
import pg from 'pg'
import { ConfigError, UnavailableError } from '../../shared/errors.ts'
import type { Shell } from './command.ts'
import { dataFolder, readJson, textIn } from './running.ts'

/** @throws ConfigError when nothing says where it is */
export function databaseUrl(shell: Shell): string {
  const url = shell.env.DATABASE_URL || textIn(readJson(join(dataFolder(shell), 'postgres.json')), 'url')
  if (!url) throw new ConfigError(['Holdfast is not running here (start it with npm start, or set DATABASE_URL)'])
  return url
}

/**
 * Runs something with a connection to Holdfast's database: `DATABASE_URL`, else that of the node that runs here.
 * @throws ConfigError when nothing says where it is, UnavailableError when it does not answer
 */
export async function withDatabase<Result>(shell: Shell, run: (client: pg.Client) => Promise<Result>): Promise<Result> {
  const url = databaseUrl(shell)
  const client = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: 10_000,
    application_name: 'holdfast keys',
  })
  // A connection that ends while idle would otherwise be an uncaught error; the next query tells of it.
  client.on('error', () => {})
  try {
    await client.connect()
  } catch (cause) {
    throw unreachable(cause)
  }
  try {
    return await run(client)
  } finally {
    await client.end()
  }
}

export const unreachable = (cause: unknown): UnavailableError =>
  new UnavailableError(
    'postgres',
    `The database does not answer (${reasonOf(cause)}): start Holdfast with npm start, or correct DATABASE_URL.`,
    { cause },
  )

/** An AggregateError of several addresses has no message of its own. */
const reasonOf = (cause: unknown): string => {
  const { message, code } = cause as { message?: string; code?: string }
  return message || code || String(cause)
}
