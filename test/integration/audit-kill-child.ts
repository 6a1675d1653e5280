/** The sink over a journal that has the same records at every start and forgets every commit, until it has caught up. */
import { historyOf } from '../../services/audit/sink/history.ts'
import { sinkDefaults, startSink } from '../../services/audit/sink/sink.ts'
import { eventRecord } from '../../shared/events/event.ts'
import { openHistory, silent } from '../helpers/clickhouse.ts'
import { createMemoryJournal } from './audit-memory-journal.ts'

const [path = '', count = '0'] = process.argv.slice(2)
const journal = createMemoryJournal()
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
await using history = await openHistory(path)
const sink = await startSink(
  { journal, history: historyOf(history), log: silent },
  { ...sinkDefaults, maxRows: 500, intervalMs: 1 },
)
process.stdout.write('started\n')
while ((await sink.lag()).some(each => each.lag > 0)) await new Promise(resolve => setTimeout(resolve, 10))
await sink.stop()
