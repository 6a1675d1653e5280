import type { Journal } from '../../../shared/journal/port.ts'
import { createPostgresJournal } from '../../../shared/journal/postgres/journal.ts'
import { topics } from '../../../shared/journal/topics.ts'
import { createPool, type Pool } from '../../../shared/postgres/pool.ts'
import { silent, testPostgres } from '../postgres.ts'

/** A database of its own with the journal in it. */
export async function openStores(): Promise<{ journal: Journal; pool: Pool; close: () => Promise<void> }> {
  const database = await (await testPostgres()).database()
  const pool = createPool({ url: database.url, max: 2, name: 'front-test', log: silent })
  const journal = await createPostgresJournal({ url: database.url, log: silent, topics: Object.values(topics) })
  const close = async () => {
    await journal.close()
    await pool.end()
    await database[Symbol.asyncDispose]()
  }
  return { journal, pool, close }
}
