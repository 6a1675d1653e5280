/** `npm run start:kafka` as a person runs it: what `npm start` shows, and every process gone at the end. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { eventually, outcomeOf, startNode, textOf } from '../helpers/node.ts'
import { startLab } from '../helpers/upstream/lab.ts'

const main = fileURLToPath(new URL('../../infra/cluster/main.ts', import.meta.url))

test('a write over Kafka and three processes is replayed after a restart, seen in the history, and nothing stays behind', async t => {
  const lab = await startLab({ era: 'modern' })
  t.after(() => lab.stop())
  await using node = await startNode({
    yaml: `
servers: { lab: { url: ${lab.url}, timeout: 5s } }
roles: { all: { allow: ["*"] } }
agents: { dev: { roles: [all], readHistory: true } }
`,
    program: ['--import', 'tsx', main],
    env: { HOLDFAST_BROKER_PORT: '0' },
  })
  const write = async () => {
    const client = await node.modern({ path: '/lab' })
    return client.callTool({ name: 'write', arguments: { what: 'kafka', idempotency_key: 'kafka/1' } })
  }
  const first = await write()
  assert.equal(outcomeOf(first).state, 'succeeded')
  await eventually(async () => {
    const rows = await node.sql("select state from holdfast.calls where idempotency_key = 'kafka/1'")
    return rows.length === 1 ? rows : undefined
  })
  const { sql, mcp } = node.ready()
  await node.kill()
  // The services end when their parent is gone, however it went.
  await eventually(async () => ((await refuses(mcp)) && (await refuses(sql)) ? true : undefined), { withinMs: 60_000 })
  await node.start()
  const second = await write()
  assert.equal(textOf(second), textOf(first))
  assert.ok(outcomeOf(second).replayed)
  assert.equal(lab.effects().length, 1)
  const started = await node.sql<{ source: string }>(
    "select distinct source from holdfast.events where type = 'service.started' order by source",
  )
  assert.deepEqual(
    started.map(({ source }) => source),
    ['holdfast/audit', 'holdfast/broker', 'holdfast/front'],
  )
  assert.equal(await node.interrupt(), 0, node.output())
  assert.match(node.output(), /Stopped\. Nothing is lost/)
})

const refuses = (url: string) =>
  fetch(url).then(
    async response => {
      await response.body?.cancel()
      return undefined
    },
    () => true,
  )
