/** The outbox over real Kafka and real PostgreSQL: published at least once, and never lost. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import test from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { takeOutbox } from '../../services/broker/sql/outbox.ts'
import { createRelay } from '../../services/broker/relay.ts'
import type { Journal } from '../../shared/journal/port.ts'
import { topics } from '../../shared/journal/topics.ts'
import { createPool, type Pool, query } from '../../shared/postgres/pool.ts'
import {
  createKafkaJournal,
  journalOptions,
  ownKafka,
  ownPrefix,
  temporaryKafkaFolder,
  testKafka,
} from '../helpers/kafka.ts'
import { silent, testPostgres } from '../helpers/postgres.ts'

const child = fileURLToPath(new URL('./relay-child.ts', import.meta.url))

async function opened() {
  const database = await (await testPostgres()).database()
  const pool = createPool({ url: database.url, max: 8, name: 'test', log: silent })
  const close = async () => {
    await pool.end()
    await database[Symbol.asyncDispose]()
  }
  return { url: database.url, pool, [Symbol.asyncDispose]: close }
}

const insert = (pool: Pool, from: number, count: number) =>
  query(pool, {
    text: `insert into outbox (topic, partition, key, headers, value)
           select $1, n % 12, 'key', '{"ce_id":"' || n || '"}', '{"n":' || n || '}' from generate_series($2::int, $3::int) n`,
    values: [topics.events.name, from, from + count - 1],
  })

const left = async (pool: Pool) =>
  (await query<{ count: number }>(pool, { text: 'select count(*) as count from outbox' }))[0]?.count

async function published(journal: Journal): Promise<number[]> {
  const found: number[] = []
  for (let partition = 0; partition < 12; partition += 1)
    for await (const { value } of journal.read({ topic: topics.events.name, partition }))
      found.push((JSON.parse(value) as { n: number }).n)
  return found.toSorted((a, b) => a - b)
}

const range = (count: number) => Array.from({ length: count }, (_, index) => index)

test('several relays at once publish every row once, as it was written, while rows are still coming', async () => {
  await using database = await opened()
  const { pool } = database
  const journal = await createKafkaJournal(journalOptions(await testKafka()))
  const relays = range(3).map(() => createRelay({ kind: 'kafka', journal }, { pool, log: silent }))
  for (const relay of relays) relay.start()
  for (let from = 0; from < 2_000; from += 100) await insert(pool, from, 100)
  while ((await left(pool)) !== 0) await pause(20)
  await Promise.all(relays.map(relay => relay.stop()))
  assert.deepEqual(await published(journal), range(2_000))
  for await (const record of journal.read({ topic: topics.events.name, partition: 7, maxRecords: 1 }))
    assert.deepEqual([record.key, record.value, record.headers], ['key', '{"n":7}', { ce_id: '7' }])
  await journal.close()
})

test('while Kafka is down rows stay in the outbox, and are published when it is back', {
  timeout: 120_000,
}, async () => {
  await using database = await opened()
  const { pool } = database
  const dataDir = await temporaryKafkaFolder()
  let kafka = await ownKafka({ dataDir })
  const patienceMs = { unsent: 300, doubtful: 300 }
  const journal = await createKafkaJournal(journalOptions([kafka.brokers], { patienceMs }))
  const warnings: string[] = []
  const log = { ...silent, warn: (_: object, message: string) => void warnings.push(message) }
  const relay = createRelay({ kind: 'kafka', journal }, { pool, log })
  relay.start()
  await insert(pool, 0, 50)
  while ((await left(pool)) !== 0) await pause(20)

  await kafka.kill()
  await insert(pool, 50, 50)
  while (warnings.length < 2) await pause(20)
  assert.equal(await left(pool), 50)
  kafka = await ownKafka({ dataDir })
  while ((await left(pool)) !== 0) await pause(20)
  await relay.stop()
  assert.deepEqual([...new Set(await published(journal))], range(100))
  await journal.close()
  await kafka.stop()
})

test('killed between acknowledgement and commit, a relay loses nothing: the rows are published again', async () => {
  await using database = await opened()
  const { pool } = database
  const brokers = await testKafka()
  const topicPrefix = ownPrefix()
  const journal = await createKafkaJournal(journalOptions(brokers, { topicPrefix }))
  await insert(pool, 0, 3)
  const doomed = spawn(process.execPath, ['--import', 'tsx', child, database.url, brokers.join(), topicPrefix], {
    stdio: 'inherit',
  })
  assert.deepEqual(await once(doomed, 'exit'), [null, 'SIGKILL'])
  assert.deepEqual(await published(journal), [0, 1, 2])
  while ((await left(pool)) !== 3) await pause(20)

  const relay = createRelay({ kind: 'kafka', journal }, { pool, log: silent })
  assert.equal(await relay.drainOnce(), 3)
  assert.equal(await left(pool), 0)
  assert.deepEqual(await published(journal), [0, 0, 1, 1, 2, 2])
  await journal.close()
})

test('a relay that hangs over the journal gives its rows back', async () => {
  await using database = await opened()
  const { pool } = database
  await insert(pool, 0, 1)
  const connection = await pool.connect()
  await connection.query('begin')
  assert.equal((await takeOutbox(connection, { maxRows: 10, maxBytes: 1, maxIdleMs: 200 })).length, 1)
  const ended = once(connection, 'error')
  await ended
  connection.release(true)
  assert.equal(await left(pool), 1)
  assert.equal((await takeOutbox(pool, { maxRows: 10, maxBytes: 1, maxIdleMs: 200 })).length, 1)
})

test('a batch of rows takes no more bytes than it may, but always its first row', async () => {
  await using database = await opened()
  const { pool } = database
  await insert(pool, 10, 10) // values of 8 bytes
  const take = async (maxBytes: number) =>
    (await takeOutbox(pool, { maxRows: 10, maxBytes, maxIdleMs: 1_000 })).map(record => record.value)
  assert.deepEqual(await take(1), ['{"n":10}'])
  assert.deepEqual(await take(17), ['{"n":11}', '{"n":12}', '{"n":13}'])
  assert.equal((await take(1_000)).length, 6)
})
