import { join } from 'node:path'
import pg from 'pg'
import { silent } from '../../test/helpers/silent.ts'
import { startEmbeddedPostgres } from '../../shared/postgres/embedded.ts'
import type { Contestant, Place } from './contestant.ts'
import { startWorker } from './worker.ts'

const answerLimitMs = 60_000

/** DBOS: a library in the application's process, over PostgreSQL. A workflow that was killed is begun again at `launch()`. */
export async function startDbos(
  { bankUrl, folder, modules, env: further }: Place,
  { name, step }: { name: string; step: Readonly<Record<string, unknown>> },
): Promise<Contestant> {
  const postgres = await startEmbeddedPostgres({ dataDir: join(folder, 'postgres'), log: silent })
  const database = new URL(postgres.url)
  database.pathname = '/dbos'
  const client = new pg.Client({ connectionString: postgres.url })
  await client.connect()
  await client.query('create database dbos')
  await client.end()
  const env = { BANK_URL: bankUrl, DATABASE: database.href, STEP_OPTIONS: JSON.stringify(step), ...further }
  let worker = await startWorker(modules, 'dbos', env).catch(async error => {
    await postgres.stop()
    throw error
  })
  return {
    name,
    begin: async change => void (await worker.order({ order: 'pay', change }, answerLimitMs)),
    kill: () => worker.kill(),
    restart: async () => {
      worker = await startWorker(modules, 'dbos', env)
    },
    ask: async change => {
      const { status, said } = await worker.order({ order: 'ask', change }, answerLimitMs)
      return { told: status === 'SUCCESS' ? 'done' : 'error', words: `${status}: ${said}` }
    },
    stop: async () => {
      await worker.kill()
      await postgres.stop()
    },
  }
}
