/**
 * The cluster under everything at once: agents spread over all fronts write through real Kafka, PostgreSQL and
 * ClickHouse's engine, while every process in turn is ended with SIGKILL and started again, and one of each kind is added
 * and taken away. Afterwards the server's own ledger, what each agent was told, the database, the journal and the history
 * are held against each other.
 *
 *   HOLDFAST_CHAOS_WRITES   how many (`npm run test:chaos`: 20,000)   HOLDFAST_CHAOS_SEED   repeats the order of the kills
 */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { kafkaTopics } from '../../infra/kafka/topics.ts'
import type { Journal } from '../../shared/journal/port.ts'
import { topics } from '../../shared/journal/topics.ts'
import { createKey } from '../../shared/policy/keys.ts'
import { createPool, type Pool } from '../../shared/postgres/pool.ts'
import { startAgent, type Story } from '../helpers/chaos/agent.ts'
import { randomOf } from '../helpers/chaos/random.ts'
import { type Cluster, type Member, type Service, startCluster } from '../helpers/cluster.ts'
import { createKafkaJournal, journalOptions } from '../helpers/kafka.ts'
import { sharedKafkaStores } from '../helpers/kafka-stores.ts'
import { eventually } from '../helpers/node.ts'
import { silent } from '../helpers/silent.ts'
import { type Lab, startLab } from '../helpers/upstream/lab.ts'

const writes = Number(process.env['HOLDFAST_CHAOS_WRITES'] ?? 2_000)
const seed = Number(process.env['HOLDFAST_CHAOS_SEED'] ?? Date.now() % 1_000_000_007)
const agents = 64
/** Far more than it takes: a test that hangs says so. */
const timeout = 30 * 60_000

let lab: Lab
let cluster: Cluster
let pool: Pool
let journal: Journal

before(async () => {
  lab = await startLab({ era: 'modern' })
  cluster = await startCluster({ yaml: configFor(lab), stores: sharedKafkaStores, fronts: 3, brokers: 3, audits: 2 })
  const env = (name: string) => cluster.env[name] as string
  pool = createPool({ url: env('DATABASE_URL'), name: 'chaos', max: 2, log: silent })
  const options = { topics: kafkaTopics, topicPrefix: env('KAFKA_TOPIC_PREFIX') }
  journal = await createKafkaJournal(journalOptions(env('KAFKA_BROKERS').split(','), options))
})

after(async () => {
  await journal?.close()
  await pool?.end()
  await cluster?.[Symbol.asyncDispose]()
  await lab?.stop()
})

const configFor = ({ url }: Lab) => `
servers:
  lab: { url: ${url}, timeout: 20s, sessions: shared, concurrency: 32 }
roles: { all: { allow: ["*"] } }
agents:
  dev: { roles: [all], readHistory: true }
${Array.from({ length: agents }, (_, n) => `  agent-${n}: { roles: [all] }`).join('\n')}
`

test(`${writes} writes of ${agents} agents through a cluster whose every process is killed: one effect a key, true answers, every event once`, {
  timeout,
}, async t => {
  t.diagnostic(`HOLDFAST_CHAOS_SEED=${seed}`)
  console.log(`chaos: seed ${seed}, ${writes} writes`)
  const random = randomOf(seed)
  const alive = { fronts: [...cluster.fronts] }
  const began = performance.now()
  const working = work(alive, random)
  let done = false
  void working.finally(() => (done = true)).catch(() => {})
  const kills = await disturb(alive, random, () => done)
  const stories = await working
  const seconds = (performance.now() - began) / 1000
  console.log(`chaos: ${(writes / seconds).toFixed(0)} writes/s over ${seconds.toFixed(0)} s; ${kills} kills`)

  await Promise.all(cluster.members.filter(member => !member.isStopped()).map(member => member.ready()))
  await settled()
  checkLedger(stories)
  await checkDatabase()
  await checkHistory()
})

async function work(alive: { fronts: Member[] }, random: () => number): Promise<Story[]> {
  const stories: Story[] = []
  let next = 0
  const share = async (n: number) => {
    const { key } = await createKey(pool, { agent: `agent-${n}`, tenant: 'default', name: 'chaos' })
    let turn = Math.floor(random() * 3)
    const way = () => alive.fronts[turn++ % alive.fronts.length] as Member
    const agent = startAgent(() => cluster.modern(way, { path: '/lab', key }))
    while (next < writes) stories.push(await agent.write(`agent-${n}/${next++}`))
  }
  await Promise.all(Array.from({ length: agents }, (_, n) => share(n)))
  return stories
}

/** Every process is killed at least once, however fast the writes are; one of each kind comes and goes. */
async function disturb(alive: { fronts: Member[] }, random: () => number, isDone: () => boolean): Promise<number> {
  let kills = 0
  const round = async () => {
    for (const member of shuffled(
      cluster.members.filter(each => !each.isStopped()),
      random,
    )) {
      if (isDone() && kills >= cluster.members.length) return
      await member.kill()
      kills += 1
      await new Promise(resolve => setTimeout(resolve, random() * 2_000))
      member.start()
      await member.ready()
    }
  }
  await round()
  const added = await Promise.all((['front', 'broker', 'audit'] as Service[]).map(service => cluster.add(service)))
  for (const member of added) member.start()
  await Promise.all(added.map(member => member.ready()))
  alive.fronts.push(...added.filter(({ service }) => service === 'front'))
  if (!isDone()) await round()
  for (const service of ['front', 'broker', 'audit'] as Service[]) {
    const leaving = cluster.members.find(member => member.service === service) as Member
    alive.fronts = alive.fronts.filter(front => front !== leaving)
    assert.equal(await leaving.terminate(), 0, `a ${service} that is asked to end does so in order:\n${leaving.log()}`)
  }
  while (!isDone()) await round()
  return kills
}

function shuffled<T>(items: readonly T[], random: () => number): T[] {
  return items
    .map(item => ({ item, place: random() }))
    .sort((a, b) => a.place - b.place)
    .map(({ item }) => item)
}

/** Leases are over and swept, the outbox is empty, the history has caught up. */
async function settled(): Promise<void> {
  const count = async (sql: string) => Number((await pool.query<{ n: string }>(sql)).rows[0]?.n)
  await eventually(
    async () => {
      const held = await count(`select count(*) as n from operations where state in ('accepted', 'executing')`)
      const waiting = await count('select count(*) as n from outbox')
      const lag = (await journal.lag('holdfast-audit', topics.events.name)).reduce((sum, { lag }) => sum + lag, 0)
      return held + waiting + lag === 0 ? true : undefined
    },
    { withinMs: 180_000, what: 'the end of what was under way' },
  )
}

/** What each agent was told, at each moment, against what the server did (I1, I3, I4, I9). */
function checkLedger(stories: readonly Story[]): void {
  const effects = new Map<string, number[]>()
  for (const effect of lab.effects()) {
    const what = String(effect.arguments['what'])
    effects.set(what, [...(effects.get(what) ?? []), effect.at])
  }
  const counts: Record<string, number> = {}
  for (const { key, told } of stories) {
    const times = effects.get(key) ?? []
    assert.ok(times.length <= 1, `${key} was done ${times.length} times: ${JSON.stringify(told)}`)
    const [doneAt = Number.POSITIVE_INFINITY] = times
    const last = told.at(-1)
    counts[last?.state as string] = (counts[last?.state as string] ?? 0) + 1
    let isFinal = false
    for (const { state, askedAt, at } of told) {
      const story = `${key}: ${JSON.stringify({ doneAt, told })}`
      if (isFinal) assert.equal(state, 'succeeded', `a final answer changed. ${story}`)
      if (state === 'succeeded') assert.ok(doneAt <= at, `told succeeded before it was done. ${story}`)
      // A later request of the same key may do it; one received before the question may not.
      if (state === 'not_found') assert.ok(doneAt > askedAt, `told not_found after it was done. ${story}`)
      if (state === 'not_executed') assert.ok(doneAt > askedAt, `told not_executed after it was done. ${story}`)
      assert.notEqual(state, 'failed', `the server never fails. ${story}`)
      isFinal ||= state === 'succeeded'
    }
  }
  assert.equal(stories.length, writes)
  assert.deepEqual([...effects.keys()].filter(key => !stories.some(story => story.key === key)).slice(0, 3), [])
  console.log(`chaos: agents were told at last ${JSON.stringify(counts)}; ${effects.size} effects`)
}

async function checkDatabase(): Promise<void> {
  const { rows } = await pool.query<{ state: string; n: number }>(
    `select state, count(*)::int as n from operations where state <> 'fence' group by state order by state`,
  )
  console.log(`chaos: operations ${JSON.stringify(Object.fromEntries(rows.map(({ state, n }) => [state, n])))}`)
  const states = rows.map(({ state }) => state)
  assert.deepEqual(
    states.filter(state => !['succeeded', 'unknown', 'not_executed'].includes(state)),
    [],
  )
}

/** I8: every record of the journal is one row, and every operation's events are there from the first to the last. */
async function checkHistory(): Promise<void> {
  const records = new Map<string, string>()
  for (let partition = 0; partition < topics.events.partitions; partition += 1) {
    for await (const { offset, headers } of journal.read({ topic: topics.events.name, partition }))
      records.set(`${partition}/${offset}`, `${headers['ce_type']} ${headers['ce_id']} of ${headers['ce_time']}`)
  }
  const ids = new Set([...records.values()].map(says => says.split(' ')[1]))
  const rows = await historyOf(records.size)
  const missing = [...records].filter(([place]) => !rows.has(place))
  const doubled = [...rows].filter(([, count]) => count !== 1)
  console.log(`chaos: ${records.size} records, ${ids.size} events; ${rows.size} of the records are rows`)
  assert.deepEqual({ missing: missing.length, first: missing.slice(0, 5) }, { missing: 0, first: [] })
  assert.deepEqual({ doubled: doubled.length, first: doubled.slice(0, 5) }, { doubled: 0, first: [] })
  const operations = await pool.query<{ operation_id: string; sequence: number }>(
    `select operation_id, sequence from operations where state <> 'fence'`,
  )
  const untold = operations.rows.flatMap(({ operation_id: id, sequence }) =>
    Array.from({ length: sequence }, (_, index) => `${id}:${index + 1}`).filter(event => !ids.has(event)),
  )
  assert.deepEqual(untold.slice(0, 5), [], 'every transition is an event')
}

/** How many rows there are of each place in the journal: looked at until all are there, or for a minute. */
async function historyOf(expected: number): Promise<Map<string, number>> {
  const until = performance.now() + 60_000
  for (;;) {
    const rows = new Map<string, number>()
    for (let partition = 0; partition < topics.events.partitions; partition += 1) {
      const found = await cluster.sql<{ journal_offset: string; rows: string }>(
        `select journal_offset, count() as rows from holdfast.events
         where journal_topic = '${topics.events.name}' and journal_partition = ${partition} group by journal_offset`,
      )
      for (const { journal_offset: offset, rows: count } of found) rows.set(`${partition}/${offset}`, Number(count))
    }
    if (rows.size >= expected || performance.now() > until) return rows
    await new Promise(resolve => setTimeout(resolve, 500))
  }
}
