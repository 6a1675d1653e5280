import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createPostgresJournal } from '../../../shared/journal/postgres/journal.ts'
import { topics } from '../../../shared/journal/topics.ts'
import { silent } from '../../helpers/silent.ts'
import type { Node } from '../../helpers/node.ts'

/** Where a single node's own database is. */
export const databaseOf = ({ folder }: Node): string =>
  (JSON.parse(readFileSync(join(folder, 'data', 'postgres.json'), 'utf8')) as { url: string }).url

/** Puts records that nobody can read into the journal: they are rejected, and hold nothing up. */
export async function junk(node: Node): Promise<void> {
  const journal = await createPostgresJournal({ url: databaseOf(node), log: silent, topics: Object.values(topics) })
  try {
    const record = { partition: 0, key: 'junk', value: 'no JSON', headers: {} }
    for (let n = 0; n < 2; n += 1) {
      await journal.append([
        { topic: topics.calls.name, ...record },
        { topic: topics.events.name, ...record },
      ])
      // Far enough apart to be two batches.
      await new Promise(resolve => setTimeout(resolve, 1_500))
    }
  } catch {
    // The node is gone, as it should be.
  } finally {
    await journal.close().catch(() => {})
  }
}
