/** The stores as `prove` and `verify` open them: those that the environment names, else those of the node that runs here. */
import { readEnvironment } from '../../../shared/config/environment.ts'
import { ConfigError } from '../../../shared/errors.ts'
import { openJournal } from '../../../shared/journal/open.ts'
import type { Journal } from '../../../shared/journal/port.ts'
import { createPool, type Pool } from '../../../shared/postgres/pool.ts'
import type { Closers } from '../../../shared/process/closers.ts'
import { historyAt } from '../audit/history-at.ts'
import type { HistoryAt } from '../audit/history.ts'
import { type Arguments, type Shell } from '../command.ts'
import { databaseUrl, unreachable } from '../database.ts'
import { quiet } from '../quiet.ts'

export type Stores = { readonly pool: Pool; readonly journal: Journal; readonly history: HistoryAt | undefined }

export const storeOptions = {
  url: { type: 'string' },
  'api-key': { type: 'string' },
  'no-history': { type: 'boolean' },
} as const

export const storesHelp = `
--url <address> --api-key <API key>   of the SQL endpoint; else CLICKHOUSE_URL; else that of the node that runs here
--no-history                          leave the history out
The database is DATABASE_URL, the journal KAFKA_BROKERS, else both are those of the node that runs here.`

/**
 * @param closers closes what is opened
 * @throws ConfigError when nothing says where they are; UnavailableError
 */
export async function openStores(shell: Shell, input: Arguments, closers: Closers): Promise<Stores> {
  const url = databaseUrl(shell)
  const pool = createPool({ url, name: 'holdfast verify', max: 2, log: quiet })
  closers.add(() => pool.end())
  await pool.query('select 1').catch(cause => {
    throw unreachable(cause)
  })
  const { journal } = await openJournal({ environment: readEnvironment(shell.env), databaseUrl: url, log: quiet })
  closers.add(() => journal.close())
  return { pool, journal, history: input.options['no-history'] ? undefined : historyOf(shell, input) }
}

/** An API key is `--api-key` here: `--key` is a public one. */
function historyOf(shell: Shell, input: Arguments): HistoryAt {
  const { 'api-key': key, ...options } = input.options
  const asked = { ...input, options: { ...options, key } }
  try {
    return historyAt(shell, asked)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    throw new ConfigError(error.problems.map(problem => problem.replace('--key', '--api-key')))
  }
}
