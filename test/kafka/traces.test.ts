/** One trace through processes of their own: each exports its spans itself, and what links them travels with the call. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { readEnvironment } from '../../shared/config/environment.ts'
import { openJournal } from '../../shared/journal/open.ts'
import type { JournalRecord } from '../../shared/journal/port.ts'
import { topics } from '../../shared/journal/topics.ts'
import { startCluster } from '../helpers/cluster.ts'
import { kafkaStores } from '../helpers/kafka-stores.ts'
import { outcomeOf } from '../helpers/node.ts'
import { startCollector } from '../helpers/otlp.ts'
import { silent } from '../helpers/silent.ts'
import { startLab } from '../helpers/upstream/lab.ts'

test('the spans of two processes are one trace: agent, front, the record in Kafka, broker, server', async t => {
  const lab = await startLab({ era: 'modern' })
  t.after(() => lab.stop())
  const collector = await startCollector()
  t.after(() => collector.stop())
  await using cluster = await startCluster({
    yaml: `
servers: { lab: { url: ${lab.url}, timeout: 10s, sessions: shared } }
roles: { all: { allow: ["*"] } }
agents: { dev: { roles: [all] } }
`,
    stores: kafkaStores,
    fronts: 1,
    brokers: 1,
    audits: 0,
    start: false,
    env: { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_BSP_SCHEDULE_DELAY: '50' },
  })
  for (const member of cluster.members) {
    member.start({ OTEL_SERVICE_NAME: `${member.service}-of-the-test` })
    await member.ready()
  }

  const [traceId, spanId] = [randomBytes(16).toString('hex'), randomBytes(8).toString('hex')]
  const client = await cluster.modern(cluster.fronts, { path: '/lab' })
  const answer = await client.callTool({
    name: 'write',
    arguments: { what: 'traced', idempotency_key: 'traced' },
    _meta: { traceparent: `00-${traceId}-${spanId}-01` },
  })
  assert.equal(outcomeOf(answer).state, 'succeeded')

  const spans = await collector.waitFor(traceId, 4)
  const of = (kind: string) => {
    const [span, ...more] = spans.filter(each => each.kind === kind)
    assert.ok(span !== undefined && more.length === 0, `${kind}: ${JSON.stringify(spans)}`)
    return span
  }
  const path = [of('SERVER'), of('PRODUCER'), of('CONSUMER'), of('CLIENT')] as const
  assert.equal(spans.length, path.length)
  assert.deepEqual(
    path.map(({ service }) => service),
    ['front-of-the-test', 'front-of-the-test', 'broker-of-the-test', 'broker-of-the-test'],
  )
  assert.deepEqual(
    path.map(({ parentSpanId }) => parentSpanId),
    [spanId, ...path.slice(0, -1).map(span => span.spanId)],
  )
  const [record, ...others] = (await commandsIn(cluster.env)).filter(({ value }) => value.includes('"traced"'))
  assert.equal(others.length, 0)
  assert.equal(record?.headers['traceparent'], `00-${traceId}-${of('PRODUCER').spanId}-01`)
  const [received] = lab.calls()
  assert.equal(received?.meta['traceparent'], `00-${traceId}-${of('CLIENT').spanId}-01`)
})

async function commandsIn(env: Readonly<Record<string, string>>): Promise<JournalRecord[]> {
  const databaseUrl = env['DATABASE_URL'] as string
  const { journal } = await openJournal({ environment: readEnvironment(env), databaseUrl, log: silent })
  const commands: JournalRecord[] = []
  for (let partition = 0; partition < topics.calls.partitions; partition += 1)
    for await (const record of journal.read({ topic: topics.calls.name, partition })) commands.push(record)
  await journal.close()
  return commands
}
