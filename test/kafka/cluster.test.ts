/** Three brokers, of which one dies at a time: leaders and coordinators move, and nothing acknowledged is lost. */
import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import test from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { type KafkaNode, type KafkaOptions, newClusterId } from '../../infra/kafka/start.ts'
import { UnavailableError } from '../../shared/errors.ts'
import { type Consumer, type Journal, AppendRefused, AppendDoubtful } from '../../shared/journal/port.ts'
import { createKafkaJournal, journalOptions, kafkaTopic, ownKafka, temporaryKafkaFolder } from '../helpers/kafka.ts'

const topic = 't'
const groups = ['a', 'b', 'c', 'd', 'e', 'f']

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  const { port } = server.address() as { port: number }
  await new Promise(resolve => server.close(resolve))
  return port
}

const replicated = { 'offsets.topic.replication.factor': '3', 'offsets.topic.num.partitions': '12' }

/** How to start each of three brokers, again and again. The first is the controller too, and stays. */
async function threeBrokers() {
  const clusterId = newClusterId()
  const first = await ownKafka({ clusterId, properties: { ...replicated, 'min.insync.replicas': '2' } })
  const follower = async (id: number): Promise<Partial<KafkaOptions>> => {
    const port = await freePort()
    const properties = {
      ...replicated,
      'process.roles': 'broker',
      'node.id': String(id),
      'controller.quorum.bootstrap.servers': first.controller,
      listeners: `PLAINTEXT://127.0.0.1:${port}`,
    }
    return { dataDir: await temporaryKafkaFolder(), port, clusterId, properties, formatFlags: [] }
  }
  return { first, followers: [await follower(2), await follower(3)] }
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await pause(20)
}

test('brokers that die one after the other take no acknowledged record with them, and every group goes on', {
  timeout: 240_000,
}, async () => {
  const { first, followers } = await threeBrokers()
  const running = await Promise.all(followers.map(options => ownKafka(options)))
  const brokers = [first, ...running].map(node => node.brokers)
  const options = journalOptions(brokers, { topics: [kafkaTopic(topic, 6)], replication: 3 })
  const journal = await createKafkaJournal({ ...options, patienceMs: { unsent: 20_000, doubtful: 20_000 } })
  const seen = new Map(groups.map(group => [group, new Set<string>()]))
  const consumers: Consumer[] = await Promise.all(
    groups.map(group =>
      journal.consume({
        group,
        topics: [topic],
        handle: async delivery => {
          for (const { value } of delivery.records) seen.get(group)?.add(value)
          await delivery.commit()
        },
      }),
    ),
  )
  await Promise.all(consumers.map(consumer => consumer.joined))
  const acknowledged: string[] = []
  let stopped = false
  const appending = appendUntil(journal, acknowledged, () => stopped)
  const more = async (count: number) => {
    const now = acknowledged.length
    await until(() => acknowledged.length >= now + count)
  }
  await more(100)
  for (const [index, options] of followers.entries()) {
    await (running[index] as KafkaNode).kill()
    await more(100)
    running[index] = await ownKafka(options)
    await until(() =>
      journal.ping().then(
        () => true,
        () => false,
      ),
    )
  }
  await more(100)
  stopped = true
  await appending
  await until(() => groups.every(group => acknowledged.every(value => seen.get(group)?.has(value))))
  await Promise.all(consumers.map(consumer => consumer.stop()))
  for (const group of groups)
    assert.deepEqual(
      (await journal.lag(group, topic)).map(place => place.lag),
      [0, 0, 0, 0, 0, 0],
      group,
    )

  const hasty = await createKafkaJournal({ ...options, patienceMs: { unsent: 500, doubtful: 500 } })
  // With a single broker left nothing is acknowledged any more, and nobody is told that it was.
  await Promise.all(running.map(node => node.kill()))
  await assert.rejects(
    hasty.append([{ topic, partition: 0, key: '', value: 'too few', headers: {} }]),
    (error: unknown) => error instanceof AppendRefused || error instanceof AppendDoubtful,
  )
  // Which of them is gone shows when the controller has missed its heartbeats.
  await until(() =>
    journal.ping().then(
      () => false,
      (error: unknown) => error instanceof UnavailableError && /has 1 brokers in sync and needs 2/.test(error.message),
    ),
  )
  // Now the leader knows that it is alone, and refuses: then nothing is there, and that may be said.
  const refused = { topic, partition: 1, key: '', value: 'alone', headers: {} }
  await assert.rejects(hasty.append([refused]), AppendRefused)
  await Promise.all([journal.close(), hasty.close()])
  await first.stop()
})

async function appendUntil(journal: Journal, acknowledged: string[], stopped: () => boolean): Promise<void> {
  for (let n = 0; !stopped(); n += 1) {
    await journal.append([{ topic, partition: n % 6, key: '', value: String(n), headers: {} }])
    acknowledged.push(String(n))
  }
}
