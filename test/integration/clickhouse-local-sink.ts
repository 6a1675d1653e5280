/** An audit sink as a process of its own, until it is killed. Arguments: ClickHouse, PostgreSQL. */
import { historyOf } from '../../services/audit/sink/history.ts'
import { sinkDefaults, startSink } from '../../services/audit/sink/sink.ts'
import { connectClickhouse } from '../../shared/clickhouse/connect.ts'
import { createPostgresJournal } from '../../shared/journal/postgres/journal.ts'
import { topics } from '../../shared/journal/topics.ts'
import { silent } from '../helpers/clickhouse.ts'

const [clickhouseUrl = '', databaseUrl = ''] = process.argv.slice(2)
const clickhouse = await connectClickhouse({ url: clickhouseUrl })
const journal = await createPostgresJournal({
  url: databaseUrl,
  log: silent,
  topics: Object.values(topics),
  leaseMs: 500,
})
await startSink(
  { journal, history: historyOf(clickhouse), log: silent },
  {
    ...sinkDefaults,
    intervalMs: 20,
    fence: { sendMs: 500, insertMs: 2_000, slackMs: 100 },
  },
)
process.stdout.write('started\n')
