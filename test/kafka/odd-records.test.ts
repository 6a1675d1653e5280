/** Anybody with access can write into a topic. What that may be arrives, readable, at those who reject it. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { CompressionTypes, Kafka, logLevel, Partitioners } from 'kafkajs'
import { parseEvent } from '../../services/audit/sink/row.ts'
import { readCommand } from '../../shared/call/command.ts'
import type { JournalRecord } from '../../shared/journal/port.ts'
import { createKafkaJournal, journalOptions, kafkaTopic, ownPrefix, testKafka } from '../helpers/kafka.ts'

test('tombstones, missing keys and headers, repeated headers and bytes that are no text all arrive, in order', async () => {
  const brokers = await testKafka()
  const topicPrefix = ownPrefix()
  const journal = await createKafkaJournal(journalOptions(brokers, { topicPrefix, topics: [kafkaTopic('t', 1)] }))
  await journal.ends('t') // the topic is ready: the other producer below would not notice that it is not
  const notText = Buffer.from([0x7b, 0xff, 0xfe, 0x7d])
  const producer = new Kafka({ brokers, logLevel: logLevel.NOTHING }).producer({
    createPartitioner: Partitioners.DefaultPartitioner,
  })
  await producer.connect()
  await producer.send({
    topic: `${topicPrefix}t`,
    messages: [
      { key: null, value: null },
      { value: notText, headers: { ce_id: notText, many: ['first', 'second'] } },
      { key: notText, value: '{"a":1}' },
    ],
  })
  await producer.send({ topic: `${topicPrefix}t`, compression: CompressionTypes.GZIP, messages: [{ value: 'zipped' }] })
  await producer.disconnect()

  const delivered: JournalRecord[] = []
  const consumer = await journal.consume({
    group: 'g',
    topics: ['t'],
    handle: async ({ records }) => void delivered.push(...records),
  })
  while (delivered.length < 4) await new Promise(resolve => setTimeout(resolve, 10))
  await consumer.stop()
  const encoded = `base64:${notText.toString('base64')}`
  assert.deepEqual(
    delivered.map(({ offset, key, value, headers }) => ({ offset, key, value, headers })),
    [
      { offset: 0, key: '', value: '', headers: {} },
      { offset: 1, key: '', value: encoded, headers: { ce_id: encoded, many: 'first' } },
      { offset: 2, key: encoded, value: '{"a":1}', headers: {} },
      { offset: 3, key: '', value: 'zipped', headers: {} },
    ],
  )
  for (const record of delivered) {
    assert.ok('reason' in readCommand(record.value), 'the broker rejects it')
    assert.ok('rejected' in parseEvent(record), 'the sink rejects it')
  }
  const read: JournalRecord[] = []
  for await (const record of journal.read({ topic: 't', partition: 0 })) read.push(record)
  assert.deepEqual(read, delivered)
  await journal.close()
})
