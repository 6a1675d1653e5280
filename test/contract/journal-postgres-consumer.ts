/** A consumer to be killed: `consumerProcess` of the journal's contract. Arguments: database, topic, group, lease in ms. */
import { createPostgresJournal } from '../../shared/journal/postgres/journal.ts'
import { silent } from '../helpers/silent.ts'

const [url, topic, group, leaseMs] = process.argv.slice(2) as [string, string, string, string]

const journal = await createPostgresJournal({
  url,
  log: silent,
  topics: [{ name: topic, partitions: 4 }],
  leaseMs: Number(leaseMs),
})
const consumer = await journal.consume({
  group,
  topics: [topic],
  handle: async delivery => {
    for (const { value, offset } of delivery.records) {
      if (value === 'commit') await delivery.commit(offset)
      else process.stdout.write(`${value}\n`)
    }
  },
})
await consumer.joined
process.stdout.write('joined\n')
