/** Makes checkpoints in a process of its own, until a crash point ends it. */
import { checkpointDefaults, startCheckpointer } from '../../services/audit/proofs/checkpointer.ts'
import { createFolder } from '../../services/audit/proofs/places/folder.ts'
import { createPostgresJournal } from '../../shared/journal/postgres/journal.ts'
import { topics } from '../../shared/journal/topics.ts'
import { createPool } from '../../shared/postgres/pool.ts'
import { readSigningKey } from '../../shared/proof/note.ts'
import { silent } from '../helpers/clickhouse.ts'

const [url = '', folder = '', key = ''] = process.argv.slice(2)
const pool = createPool({ url, name: 'child', max: 2, log: silent })
const journal = await createPostgresJournal({ url, log: silent, topics: Object.values(topics) })
startCheckpointer(
  {
    db: pool,
    journal,
    keys: [readSigningKey(key)!],
    places: [createFolder(folder)],
    maker: `child-${process.pid}`,
    log: silent,
  },
  { ...checkpointDefaults, intervalMs: 50, lateMs: 0, tickMs: 10 },
)
setTimeout(() => process.exit(3), 60_000)
