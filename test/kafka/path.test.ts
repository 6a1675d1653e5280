/** A write's whole way over Kafka: command, broker, outbox, relay, sink, history; and what is no command or event. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { Kafka, logLevel, Partitioners } from 'kafkajs'
import pino from 'pino'
import { historyOf } from '../../services/audit/sink/history.ts'
import { sinkDefaults, startSink } from '../../services/audit/sink/sink.ts'
import { createRelay } from '../../services/broker/relay.ts'
import { startBroker } from '../../services/broker/start.ts'
import { noRedaction } from '../../shared/events/redact.ts'
import { commandRecord } from '../../shared/call/command.ts'
import type { Reply } from '../../shared/call/record.ts'
import { topics } from '../../shared/journal/topics.ts'
import { openLab } from '../helpers/broker.ts'
import { openHistory, select, temporaryFolder } from '../helpers/clickhouse.ts'
import { createKafkaJournal, journalOptions, ownPrefix, testKafka } from '../helpers/kafka.ts'

const log = pino({ level: 'silent' })
const notText = Buffer.from([0x7b, 0xff, 0x7d])

test('a call goes its whole way over Kafka, and strangers’ records end as rejected without holding it up', {
  timeout: 120_000,
}, async () => {
  const brokers = await testKafka()
  const topicPrefix = ownPrefix()
  const journal = await createKafkaJournal(journalOptions(brokers, { topicPrefix }))
  await Promise.all(Object.values(topics).map(topic => journal.ends(topic.name)))
  await using lab = await openLab()
  const replies: Reply[] = []
  const broker = await startBroker({
    db: lab.pool,
    journal,
    upstreams: lab.upstream,
    settings: {
      serverOf: server => server,
      lane: () => ({ concurrency: 4, queue: 16 }),
      tool: () => ({ timeoutMs: 10_000, retentionMs: 86_400_000, lateWindowMs: 1_000, allowTwins: false }),
    },
    clock: lab.clock,
    ids: lab.ids,
    log,
    events: { secret: 'test', maxArgumentsBytes: 10_000, redactionOf: () => noRedaction },
    reply: (_, heard) => replies.push(...heard),
  })
  const relay = createRelay({ kind: 'kafka', journal }, { pool: lab.pool, log })
  relay.start()
  await using folder = await temporaryFolder()
  await using clickhouse = await openHistory(folder.path)
  const sink = await startSink({ journal, history: historyOf(clickhouse), log }, { ...sinkDefaults, intervalMs: 20 })
  await broker.ready

  const command = lab.submitOf('key')
  const record = commandRecord(command)
  await strangers(brokers, `${topicPrefix}${topics.calls.name}`, record.partition)
  await strangers(brokers, `${topicPrefix}${topics.events.name}`, record.partition)
  await journal.append([record])
  while (!replies.some(reply => reply.callId === command.callId)) await pause(10)
  assert.equal(lab.upstream.count('key'), 1)

  const count = async (where: string) =>
    Number((await select<{ n: string }>(clickhouse, `select count() as n from holdfast.events where ${where}`))[0]?.n)
  while ((await count(`type = 'call.succeeded'`)) < 1) await pause(20)
  // Two in each topic: of the calls the broker tells in an event, of the events the sink has a row at their place.
  while ((await count(`type = 'record.rejected'`)) < 4) await pause(20)
  await Promise.all([relay.stop(), broker.stop()])
  await sink.stop()
  const rejected: string[] = []
  for await (const { key } of journal.read({ topic: topics.rejected.name, partition: 0 })) rejected.push(key)
  const places = [topics.calls, topics.events].flatMap(({ name }) =>
    [0, 1].map(offset => `${name}/${record.partition}/${offset}`),
  )
  assert.deepEqual([...new Set(rejected)].toSorted(), places.toSorted())
  for (const { name } of [topics.calls])
    assert.ok((await journal.lag('holdfast-broker', name)).every(place => place.lag === 0))
  await journal.close()
})

/** A tombstone without a key, and bytes that are no text. */
async function strangers(brokers: string[], topic: string, partition: number): Promise<void> {
  const producer = new Kafka({ brokers, logLevel: logLevel.NOTHING }).producer({
    createPartitioner: Partitioners.DefaultPartitioner,
  })
  await producer.connect()
  await producer.send({
    topic,
    messages: [
      { partition, value: null },
      { partition, value: notText },
    ],
  })
  await producer.disconnect()
}
