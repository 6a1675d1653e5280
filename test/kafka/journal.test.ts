import { fileURLToPath } from 'node:url'
import type { Journal } from '../../shared/journal/port.ts'
import { journalContract } from '../contract/journal.ts'
import { consumerProcess } from '../helpers/consumer-process.ts'
import { createKafkaJournal, journalOptions, kafkaTopic, testKafka } from '../helpers/kafka.ts'

const topic = 'holdfast.test'
/** The shortest that brokers allow as they are shipped. */
const leaseMs = 6_000
const script = fileURLToPath(new URL('./journal-consumer.ts', import.meta.url))

// Before any test: the first start ever fetches Kafka, which no test's time-out allows for.
const brokers = await testKafka()

journalContract('Apache Kafka', async () => {
  const options = journalOptions(brokers, { topics: [kafkaTopic(topic, 4)], leaseMs })
  const instances: Journal[] = []
  const another = async () => {
    const journal = await createKafkaJournal(options)
    instances.push(journal)
    return journal
  }
  return {
    journal: await another(),
    another,
    topic,
    leaseMs,
    close: async () => void (await Promise.all(instances.map(instance => instance.close()))),
    consumerProcess: group =>
      consumerProcess(script, [brokers.join(), options.topicPrefix, topic, group, String(leaseMs)]),
  }
})
