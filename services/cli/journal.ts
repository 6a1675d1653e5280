/** The journal, and the database it may live in, for commands that read it themselves. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { readEnvironment } from '../../shared/config/environment.ts'
import { ConfigError } from '../../shared/errors.ts'
import { openJournal } from '../../shared/journal/open.ts'
import type { Journal } from '../../shared/journal/port.ts'
import { startEmbeddedPostgres } from '../../shared/postgres/embedded.ts'
import { createPool } from '../../shared/postgres/pool.ts'
import { type Closers, createClosers } from '../../shared/process/closers.ts'
import { lockDataFolder } from '../single/data-folder.ts'
import type { Shell } from './command.ts'
import { databaseUrl, unreachable } from './database.ts'
import { quiet } from './quiet.ts'
import { dataFolder, readJson } from './running.ts'

export const journalHelp = `
The journal is KAFKA_BROKERS (with DATABASE_URL), else that of DATABASE_URL, else that of the node of the data folder
(HOLDFAST_DATA, .holdfast here), whether it runs or not.`

export type OpenedStores = {
  readonly journal: Journal
  readonly databaseUrl: string
  /** The node of the data folder does not run, and is held for this command until it ends. */
  readonly offline: boolean
  readonly closers: Closers
}

/**
 * Opens them for the time of one command. Of a single node that does not run, its PostgreSQL is started for as long.
 * @throws ConfigError, UnavailableError
 */
export async function withJournal<Result>(
  shell: Shell,
  run: (stores: OpenedStores) => Promise<Result>,
): Promise<Result> {
  const closers = createClosers({ error: () => {} })
  try {
    const environment = readEnvironment(shell.env)
    const { url, offline } = await findDatabase(shell, closers)
    const { journal } = await openJournal({ environment, databaseUrl: url, log: quiet })
    closers.add(() => journal.close())
    return await run({ journal, databaseUrl: url, offline, closers })
  } finally {
    await closers.close()
  }
}

async function findDatabase(shell: Shell, closers: Closers): Promise<{ url: string; offline: boolean }> {
  if (shell.env.DATABASE_URL) {
    await reach(shell.env.DATABASE_URL)
    return { url: shell.env.DATABASE_URL, offline: false }
  }
  const folder = dataFolder(shell)
  const isRunning = await reach(databaseUrl(shell)).then(
    () => true,
    () => false,
  )
  if (isRunning) return { url: databaseUrl(shell), offline: false }
  if (!existsSync(join(folder, 'postgres', 'pgdata')) || readJson(join(folder, 'postgres.json')) === undefined)
    throw new ConfigError([`There is no journal in ${folder} (start Holdfast there, or set DATABASE_URL)`])
  closers.add(lockDataFolder(folder))
  const postgres = await startEmbeddedPostgres({ dataDir: join(folder, 'postgres'), log: quiet })
  closers.add(() => postgres.stop())
  return { url: postgres.url, offline: true }
}

/** @throws UnavailableError */
async function reach(url: string): Promise<void> {
  const pool = createPool({ url, name: 'holdfast', max: 1, log: quiet })
  try {
    await pool.query('select 1').catch(cause => {
      throw unreachable(cause)
    })
  } finally {
    await pool.end()
  }
}
