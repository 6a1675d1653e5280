/** A consumer to be killed: `consumerProcess` of the journal's contract. Arguments: brokers, prefix, topic, group, lease in ms. */
import { createKafkaJournal } from '../../shared/journal/kafka/journal.ts'
import { journalOptions, kafkaTopic } from '../helpers/kafka.ts'

const [brokers, topicPrefix, topic, group, leaseMs] = process.argv.slice(2) as [string, string, string, string, string]

const journal = await createKafkaJournal(
  journalOptions(brokers.split(','), { topicPrefix, topics: [kafkaTopic(topic, 4)], leaseMs: Number(leaseMs) }),
)
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
