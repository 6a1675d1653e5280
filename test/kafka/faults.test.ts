/** What the journal over Kafka does when brokers die, hang or come back, and when handlers are slow. Nodes of its own. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { after, before, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { Kafka, logLevel } from 'kafkajs'
import type { KafkaNode } from '../../infra/kafka/start.ts'
import { UnavailableError } from '../../shared/errors.ts'
import {
  AppendDoubtful,
  AppendRefused,
  type Delivery,
  type Journal,
  type NewRecord,
} from '../../shared/journal/port.ts'
import { createKafkaJournal, journalOptions, kafkaTopic, ownKafka, temporaryKafkaFolder } from '../helpers/kafka.ts'
import { silent } from '../helpers/silent.ts'

const topic = 't'
const limit = { timeout: 120_000 }
let dataDir: string
let kafka: KafkaNode

before(async () => {
  dataDir = await temporaryKafkaFolder()
  kafka = await ownKafka({ dataDir })
})
after(() => kafka.stop())

const restart = async () => (kafka = await ownKafka({ dataDir }))

const record = (value: string, partition = 0): NewRecord => ({ topic, partition, key: 'k', value, headers: {} })

const open = (options: Parameters<typeof journalOptions>[1] = {}) =>
  createKafkaJournal(journalOptions([kafka.brokers], { topics: [kafkaTopic(topic, 4)], ...options }))

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await pause(10)
}

async function valuesOf(journal: Journal, partition = 0): Promise<string[]> {
  const values: string[] = []
  for await (const { value } of journal.read({ topic, partition })) values.push(value)
  return values
}

test(
  'an append is refused while no broker can be reached, and the same journal appends when one is back',
  limit,
  async () => {
    const journal = await open({ patienceMs: { unsent: 300, doubtful: 300 } })
    await journal.append([record('before')])
    await kafka.kill()
    await assert.rejects(journal.append([record('meanwhile')]), AppendRefused)
    await assert.rejects(journal.ping(), UnavailableError)
    await restart()
    await journal.append([record('after')])
    await journal.ping()
    assert.deepEqual(await valuesOf(journal), ['before', 'after'])
    await journal.close()
  },
)

test('an append that a broker received and did not answer is doubtful, and may be there', limit, async () => {
  const journal = await open({ patienceMs: { unsent: 300, doubtful: 300 } })
  await journal.append([record('first')])
  process.kill(kafka.pid, 'SIGSTOP')
  try {
    await assert.rejects(journal.append([record('doubtful')]), AppendDoubtful)
  } finally {
    process.kill(kafka.pid, 'SIGCONT')
  }
  await journal.append([record('last')])
  const values = await valuesOf(journal)
  assert.ok(values.includes('doubtful'), 'it was in the socket when the broker went on')
  assert.deepEqual([values[0], values.at(-1)], ['first', 'last'])
  await journal.close()
})

test('a broker that is killed and restarted loses no acknowledged record, and consumers go on', limit, async () => {
  const journal = await open({ patienceMs: { unsent: 30_000, doubtful: 30_000 } })
  const seen = new Set<string>()
  const consumer = await journal.consume({
    group: 'g',
    topics: [topic],
    handle: async delivery => {
      for (const { value } of delivery.records) seen.add(value)
      await delivery.commit()
    },
  })
  await consumer.joined
  const acknowledged: string[] = []
  let stopped = false
  const appending = (async () => {
    for (let n = 0; !stopped; n += 1) {
      await journal.append([record(String(n), n % 4)])
      acknowledged.push(String(n))
    }
  })()
  await until(() => acknowledged.length > 50)
  await kafka.kill()
  await restart()
  const before = acknowledged.length
  await until(() => acknowledged.length > before + 50)
  stopped = true
  await appending
  await until(() => acknowledged.every(value => seen.has(value)))
  assert.equal(consumer.assigned().length, 4)
  await consumer.stop()
  const lag = await journal.lag('g', topic)
  assert.deepEqual(
    lag.map(place => place.lag),
    [0, 0, 0, 0],
  )
  await journal.close()
})

test(
  'a handler that takes longer than the lease keeps its partition, and others are delivered meanwhile',
  limit,
  async () => {
    const journal = await open()
    const errors: unknown[] = []
    const others: string[] = []
    let commitsInTheEnd: boolean | undefined
    let deliveries = 0
    const consumer = await journal.consume({
      group: 'g',
      topics: [topic],
      onError: error => errors.push(error),
      handle: async delivery => {
        if (delivery.partition !== 0) {
          others.push(...delivery.records.map(({ value }) => value))
          return
        }
        deliveries += 1
        await pause(7_500)
        commitsInTheEnd = await delivery.commit()
      },
    })
    await journal.append([record('slow')])
    await until(() => deliveries === 1)
    await journal.append([record('quick', 1)])
    await until(() => others.length === 1)
    assert.equal(commitsInTheEnd, undefined)
    await until(() => commitsInTheEnd !== undefined)
    assert.deepEqual([commitsInTheEnd, deliveries, errors], [true, 1, []])
    await consumer.stop()
    await journal.close()
  },
)

test(
  'in a rebalance the handler is told, may still commit, and no other member is handed the partition before it ends',
  limit,
  async () => {
    const journal = await open()
    const other = await open({ topicPrefix: 'shared.' })
    await journal.close()
    const first = await open({ topicPrefix: 'shared.' })
    const log: string[] = []
    const handler = (name: string) => async (delivery: Delivery) => {
      const { partition, signal } = delivery
      log.push(`${name} begins ${partition}`)
      if (name === 'first' && !signal.aborted) {
        await once(signal, 'abort')
        await pause(500)
        log.push(`first ends ${partition} ${await delivery.commit()}`)
      } else await delivery.commit()
    }
    const one = await first.consume({ group: 'g', topics: [topic], handle: handler('first') })
    await first.append([0, 1, 2, 3].map(partition => record('x', partition)))
    await until(() => log.length === 4)
    const two = await other.consume({ group: 'g', topics: [topic], handle: handler('second') })
    await until(() => two.assigned().length === 2)
    await first.append([0, 1, 2, 3].map(partition => record('y', partition)))
    await until(() => log.filter(line => line.startsWith('second')).length >= 2)
    const ends = log.filter(line => line.includes('ends'))
    assert.deepEqual(
      ends.slice(0, 4).map(line => line.slice(0, 10) + line.slice(-5)),
      Array.from({ length: 4 }, () => 'first ends true'),
    )
    const lastEnd = log.lastIndexOf(ends[3] as string)
    assert.ok(log.findIndex(line => line.startsWith('second')) > lastEnd, log.join('; '))
    await Promise.all([one.stop(), two.stop()])
    await Promise.all([first.close(), other.close()])
  },
)

test(
  'an offset that retention has deleted is told of, and the group goes on from the earliest, not the latest',
  limit,
  async () => {
    const warnings: Array<Record<string, unknown>> = []
    const log = { ...silent, warn: (fields: object) => void warnings.push(fields as Record<string, unknown>) }
    const topicPrefix = 'retention.'
    const journal = await open({ topicPrefix, log })
    const consumeOnce = async (until_: number) => {
      const values: string[] = []
      const consumer = await journal.consume({
        group: 'g',
        topics: [topic],
        maxRecords: 1,
        handle: async delivery => {
          values.push(...delivery.records.map(({ value }) => value))
          await delivery.commit()
        },
      })
      await until(() => values.length >= until_)
      await consumer.stop()
      return values
    }
    await journal.append([record('0'), record('1')])
    assert.deepEqual(await consumeOnce(2), ['0', '1'])
    await journal.append(['2', '3', '4', '5'].map(value => record(value)))
    await deleteRecords(`${topicPrefix}${topic}`, 4)
    assert.deepEqual(await consumeOnce(2), ['4', '5'])
    const told = warnings.find(fields => 'earliest' in fields)
    assert.deepEqual([told?.['partition'], told?.['offset'], told?.['earliest']], [0, 2, 4])
    assert.deepEqual(await valuesOf(journal), ['4', '5'])
    await journal.close()
  },
)

async function deleteRecords(name: string, before: number): Promise<void> {
  const admin = new Kafka({ brokers: [kafka.brokers], logLevel: logLevel.NOTHING }).admin()
  await admin.connect()
  await admin.fetchTopicOffsets(name) // makes it known to this client, which the next call takes for granted
  await admin.deleteTopicRecords({ topic: name, partitions: [{ partition: 0, offset: String(before) }] })
  await admin.disconnect()
}

test('a member that hangs longer than its lease finds its deliveries aborted and commits nothing', limit, async () => {
  const journal = await open()
  const deliveries: Delivery[] = []
  const consumer = await journal.consume({
    group: 'g',
    topics: [topic],
    handle: async delivery => void deliveries.push(delivery),
  })
  await journal.append([record('x')])
  await until(() => deliveries.length === 1)
  // The broker hangs: from here it looks as if this member had been cut off.
  process.kill(kafka.pid, 'SIGSTOP')
  const { signal } = deliveries[0] as Delivery
  try {
    if (!signal.aborted) await once(signal, 'abort')
  } finally {
    process.kill(kafka.pid, 'SIGCONT')
  }
  assert.equal(await deliveries[0]?.commit(), false)
  // It joins again, and what was not committed comes again.
  await until(() => deliveries.length === 2)
  assert.equal(await deliveries[1]?.commit(), true)
  await consumer.stop()
  await journal.close()
})
