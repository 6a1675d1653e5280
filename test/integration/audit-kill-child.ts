/**
 * The sink as a process that is killed: a journal that has the same records at every start, and of whose commits some are
 * lost, until everything is in the history. Arguments: where the history is (a folder, or an address), how many records, the
 * file of the commits. Says on standard output when an insert begins (`<`) and when it has ended (`>`).
 */
import { appendFileSync, existsSync, readFileSync, writeSync } from 'node:fs'
import { historyOf } from '../../services/audit/sink/history.ts'
import { sinkDefaults, startSink } from '../../services/audit/sink/sink.ts'
import { connectClickhouse } from '../../shared/clickhouse/connect.ts'
import { eventRecord } from '../../shared/events/event.ts'
import { silent } from '../helpers/clickhouse.ts'
import { createMemoryJournal } from './audit-memory-journal.ts'

const [place = '', count = '0', commits = ''] = process.argv.slice(2)
const committed = new Map<number, number>()
for (const line of existsSync(commits) ? readFileSync(commits, 'utf8').split('\n') : []) {
  const [partition, offset] = line.split(' ')
  if (offset !== undefined) committed.set(Number(partition), Number(offset))
}
let made = 0
const journal = createMemoryJournal({
  committed,
  // A third of them gets lost, as when Kafka or the process goes away just then.
  onCommit: (partition, offset) => {
    made += 1
    if (made % 3 !== 0) appendFileSync(commits, `${partition} ${offset}\n`)
  },
})
// Three months in every batch: an insert over several partitions of the table is not atomic.
const months = ['2026-09-30T23:59:59.000Z', '2026-10-01T00:00:00.000Z', '2026-11-20T10:00:00.000Z']
await journal.append(
  Array.from({ length: Number(count) }, (_, number) => {
    const record = eventRecord({
      type: 'call.denied',
      stream: `call-${number}`,
      sequence: 1,
      time: '2026-11-20T10:00:00.000Z',
      source: 'holdfast/front',
      tenant: 'acme',
      agent: 'bot',
      callId: `call-${number}`,
      arguments: 'x'.repeat(300),
    })
    return { ...record, headers: { ...record.headers, 'x-journal-time': months[number % 3]! } }
  }),
)
const clickhouse = await connectClickhouse(place.startsWith('http') ? { url: place } : { path: place })
const history = historyOf(clickhouse)
const told = {
  ...history,
  insert: async (...input: Parameters<typeof history.insert>) => {
    writeSync(1, '<')
    await history.insert(...input)
    writeSync(1, '>')
  },
}
const fence = { sendMs: 500, insertMs: 1_000, slackMs: 100 }
const sink = await startSink(
  { journal, history: told, log: silent },
  { ...sinkDefaults, maxRows: 300, intervalMs: 1, fence },
)
while ((await sink.lag()).some(each => each.lag > 0)) await new Promise(resolve => setTimeout(resolve, 10))
await sink.stop()
await clickhouse.close()
