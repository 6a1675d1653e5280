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
  const journal = await createKafkaJournal(
    journalOptions(brokers, {
      topics: [kafkaTopic(topic, 6)],
      replication: 3,
      patienceMs: { unsent: 20_000, doubtful: 20_000 },
    }),
  )
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

  // With a single broker left nothing is acknowledged any more, and nobody is told that it was.
  await Promise.all(running.map(node => node.kill()))
  await assert.rejects(
    journal.append([{ topic, partition: 0, key: '', value: 'too few', headers: {} }]),
    (error: unknown) => error instanceof AppendRefused || error instanceof AppendDoubtful,
  )
  await assert.rejects(
    journal.ping(),
    (error: unknown) => error instanceof UnavailableError && /no leader|in sync|does not|cannot/.test(error.message),
  )
  await journal.close()
  await first.stop()
})

async function appendUntil(journal: Journal, acknowledged: string[], stopped: () => boolean): Promise<void> {
  for (let n = 0; !stopped(); n += 1) {
    await journal.append([{ topic, partition: n % 6, key: '', value: String(n), headers: {} }])
    acknowledged.push(String(n))
  }
}
