/** A replay reads Kafka as it reads PostgreSQL, and names what retention or a lost end took. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { Kafka, logLevel } from 'kafkajs'
import { kafkaTopics } from '../../infra/kafka/topics.ts'
import { replay } from '../../services/audit/replay/replay.ts'
import { partitionFor } from '../../shared/journal/partition.ts'
import { topics } from '../../shared/journal/topics.ts'
import { createKafkaJournal, journalOptions, ownPrefix, testKafka } from '../helpers/kafka.ts'
import { appendIncident, replaySuite } from '../helpers/replay-suite.ts'

test('a replay over the journal in Kafka', async t => {
  const brokers = await testKafka()
  const topicPrefix = ownPrefix()
  const journal = await createKafkaJournal(journalOptions(brokers, { topicPrefix, topics: kafkaTopics }))
  t.after(() => journal.close())
  await replaySuite(t, journal)

  await t.test('the part of the range that retention has deleted is named', async () => {
    const { operationId, began } = await appendIncident(journal, Date.now() - 60_000)
    const partition = partitionFor(operationId, topics.events.partitions)
    const { end } = (await journal.ends(topics.events.name))[partition]!
    const admin = new Kafka({ brokers, logLevel: logLevel.NOTHING }).admin()
    await admin.connect()
    const name = `${topicPrefix}${topics.events.name}`
    await admin.fetchTopicOffsets(name) // it knows the topic then
    await admin.deleteTopicRecords({ topic: name, partitions: [{ partition, offset: String(end - 1) }] })
    await admin.disconnect()
    const incident = await replay(
      { journal, now: Date.now, progress: () => {} },
      { range: { from: began - 1, to: began + 3_600_000 }, filters: {}, lateMs: 0, follow: true },
    )
    assert.deepEqual(
      incident.journal.lost.map(({ kind, partition: of, to }) => [kind, of, to]),
      [['trimmed', partition, end - 1]],
    )
  })
})
