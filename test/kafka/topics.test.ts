/** Topics at start: made as the data says, and held to it. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { Kafka, logLevel } from 'kafkajs'
import { kafkaTopics } from '../../infra/kafka/topics.ts'
import { ConfigError, UnavailableError } from '../../shared/errors.ts'
import { createKafkaJournal, journalOptions, ownPrefix, testKafka } from '../helpers/kafka.ts'

async function admin() {
  const client = new Kafka({ brokers: await testKafka(), logLevel: logLevel.NOTHING }).admin()
  await client.connect()
  return Object.assign(client, { [Symbol.asyncDispose]: () => client.disconnect() })
}

async function problemsOf(options: Parameters<typeof journalOptions>[1]): Promise<readonly string[]> {
  const error = await createKafkaJournal(journalOptions(await testKafka(), options)).then(
    () => assert.fail('it was accepted'),
    (cause: unknown) => cause,
  )
  assert.ok(error instanceof ConfigError, String(error))
  return error.problems
}

test('missing topics are made as the data says, and accepted at the next start', async () => {
  const topicPrefix = ownPrefix()
  for (let start = 0; start < 2; start += 1)
    await (await createKafkaJournal(journalOptions(await testKafka(), { topicPrefix }))).close()
  await using client = await admin()
  for (const { name, partitions, settings } of kafkaTopics) {
    const wire = `${topicPrefix}${name}`
    const metadata = await client.fetchTopicMetadata({ topics: [wire] })
    assert.equal(metadata.topics[0]?.partitions.length, partitions)
    const { resources } = await client.describeConfigs({ includeSynonyms: false, resources: [{ type: 2, name: wire }] })
    const values = new Map(resources[0]?.configEntries.map(entry => [entry.configName, entry.configValue]))
    for (const setting of settings) assert.equal(values.get(setting.name), setting.value, `${name} ${setting.name}`)
  }
})

test('two processes that start at once both find the topics', async () => {
  const options = journalOptions(await testKafka())
  const journals = await Promise.all([1, 2, 3].map(() => createKafkaJournal(options)))
  await Promise.all(journals.map(journal => journal.close()))
})

test('everything about a topic that would lose or misplace records is told at once', async () => {
  const topicPrefix = ownPrefix()
  await using client = await admin()
  const bad = {
    'retention.ms': '3600000',
    'cleanup.policy': 'compact',
    'retention.bytes': '1000000',
    'max.message.bytes': '1000',
    'compression.type': 'zstd',
    'min.insync.replicas': '2',
    'unclean.leader.election.enable': 'true',
  }
  await client.createTopics({
    waitForLeaders: false,
    topics: [
      {
        topic: `${topicPrefix}holdfast.calls`,
        numPartitions: 3,
        replicationFactor: 1,
        configEntries: Object.entries(bad).map(([name, value]) => ({ name, value })),
      },
    ],
  })
  const problems = await problemsOf({ topicPrefix })
  assert.ok(problems.every(problem => problem.startsWith(`Topic ${topicPrefix}holdfast.calls in Kafka `)))
  for (const name of Object.keys(bad))
    assert.equal(
      problems.filter(problem => problem.includes(`${name}=${bad[name as keyof typeof bad]}`)).length,
      1,
      name,
    )
  assert.ok(problems.some(problem => problem.includes('has 3 partitions and must have 12')))
  assert.ok(problems.some(problem => problem.includes('message.timestamp.type=CreateTime')))
})

test('more copies than there are brokers, or than a topic has, is a problem that names the setting', async () => {
  const none = await problemsOf({ replication: 3 })
  assert.match(none.join(), /fewer than 3 brokers.*KAFKA_REPLICATION/)
  const topicPrefix = ownPrefix()
  await (await createKafkaJournal(journalOptions(await testKafka(), { topicPrefix }))).close()
  const fewer = await problemsOf({ topicPrefix, replication: 3 })
  assert.equal(fewer.filter(problem => problem.includes('has 1 copies')).length, kafkaTopics.length)
  assert.equal(fewer.filter(problem => problem.includes('min.insync.replicas=1')).length, kafkaTopics.length)
})

test('a record as large as the limit is taken, and the limit is what the topic says', async () => {
  const topicPrefix = ownPrefix()
  const journal = await createKafkaJournal(journalOptions(await testKafka(), { topicPrefix }))
  assert.equal(journal.maxRecordBytes, 10 * 1024 * 1024 - 1024)
  const record = { topic: 'holdfast.calls', partition: 0, key: '', headers: {} }
  // What a record takes besides its value is at most 32 bytes here.
  const value = 'x'.repeat(journal.maxRecordBytes - 32)
  await journal.append([{ ...record, value }])
  for await (const read of journal.read({ topic: 'holdfast.calls', partition: 0 })) assert.ok(read.value === value)
  // Together far more than one batch may have: they go in several.
  const large = 'y'.repeat(4 * 1024 * 1024)
  const positions = await Promise.all([1, 2, 3, 4, 5].map(() => journal.append([{ ...record, value: large }])))
  assert.deepEqual(
    positions.flat().map(({ offset }) => offset),
    [1, 2, 3, 4, 5],
  )
  await journal.close()
})

test('brokers that do not answer are named as what is missing', async () => {
  await assert.rejects(
    createKafkaJournal(journalOptions(['127.0.0.1:1'])),
    (error: unknown) =>
      error instanceof UnavailableError && /Kafka does not answer .*KAFKA_BROKERS/.test(error.message),
  )
})

test('a topic that somebody deleted is told by ping', async () => {
  const topicPrefix = ownPrefix()
  const journal = await createKafkaJournal(journalOptions(await testKafka(), { topicPrefix }))
  await journal.ping()
  await using client = await admin()
  await client.deleteTopics({ topics: [`${topicPrefix}holdfast.rejected`] })
  const told = (error: unknown) =>
    error instanceof UnavailableError && error.message.includes(`${topicPrefix}holdfast.rejected`)
  while (
    await journal.ping().then(
      () => true,
      error => !told(error),
    )
  )
    await new Promise(resolve => setTimeout(resolve, 20))
  await journal.close()
})
