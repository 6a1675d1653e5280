/** Kafka away under a whole cluster: what a caller is told then, and that everything goes on by itself when it is back. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { KafkaNode } from '../../infra/kafka/start.ts'
import { type Cluster, startCluster } from '../helpers/cluster.ts'
import { postgresStores } from '../helpers/cluster-stores.ts'
import { ownKafka, temporaryKafkaFolder } from '../helpers/kafka.ts'
import { type Answer, outcomeOf } from '../helpers/node.ts'
import { type Lab, startLab } from '../helpers/upstream/lab.ts'

let lab: Lab
let dataDir: string
let kafka: KafkaNode
let cluster: Cluster

before(async () => {
  lab = await startLab({ era: 'modern' })
  dataDir = await temporaryKafkaFolder()
  kafka = await ownKafka({ dataDir })
  const stores = async () => {
    const postgres = await postgresStores()
    return { ...postgres, env: { ...postgres.env, KAFKA_BROKERS: kafka.brokers, KAFKA_REPLICATION: '1' } }
  }
  const yaml = `
servers:
  lab: { url: ${lab.url}, sessions: shared }
roles: { all: { allow: ["*"] } }
agents: { dev: { roles: [all], readHistory: true } }
`
  cluster = await startCluster({ yaml, stores, fronts: 1, brokers: 1, audits: 1 })
})

after(async () => {
  await cluster?.[Symbol.asyncDispose]()
  await kafka?.stop()
  await lab?.stop()
})

const effectsOf = (key: string) => lab.effects().filter(effect => effect.arguments['what'] === key).length

test('with Kafka away a write is not accepted and nothing is sent; the same key runs when it is back', {
  timeout: 180_000,
}, async () => {
  const client = await cluster.modern(cluster.fronts, { path: '/lab' })
  const write = async (key: string) =>
    outcomeOf(
      (await client.callTool({ name: 'write', arguments: { what: key, idempotency_key: key } })) as unknown as Answer,
    )

  assert.equal((await write('before')).state, 'succeeded')
  await kafka.kill()
  const away = await write('meanwhile')
  assert.equal(away.state, 'not_accepted')
  assert.ok(['journal_unavailable', 'journal_doubtful'].includes(away.code ?? ''), `told ${away.code}`)
  assert.equal(effectsOf('meanwhile'), 0)

  kafka = await ownKafka({ dataDir })
  const until = performance.now() + 120_000
  let told = await write('meanwhile')
  while (told.state !== 'succeeded' && performance.now() < until) told = await write('meanwhile')
  assert.equal(told.state, 'succeeded')
  assert.equal(effectsOf('meanwhile'), 1)
  assert.ok((await write('before')).replayed)
})
