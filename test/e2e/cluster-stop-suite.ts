/** How processes of a cluster begin and end: in any order, saying what they wait for, and leaving nothing undone unsaid. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type Cluster, type Member, startCluster } from '../helpers/cluster.ts'
import type { OpenStores } from '../helpers/cluster-stores.ts'
import { eventually, outcomeOf, textOf } from '../helpers/node.ts'
import { testPostgres } from '../helpers/postgres.ts'
import { createTcpGate } from '../helpers/tcp-gate.ts'
import { type Lab, startLab } from '../helpers/upstream/lab.ts'

/** Of a process on a machine that has much else to do. */
const startsWithinMs = 60_000

export function clusterStopSuite(stores: OpenStores): void {
  let lab: Lab
  let cluster: Cluster
  let front: Member
  let broker: Member

  const drainSeconds = 3

  before(async () => {
    lab = await startLab({ era: 'modern' })
    cluster = await startCluster({
      yaml: configFor(lab),
      stores,
      brokers: 1,
      audits: 0,
      env: { HOLDFAST_DRAIN_SECONDS: String(drainSeconds) },
    })
    front = cluster.fronts[0] as Member
    broker = cluster.brokers[0] as Member
  })

  after(async () => {
    await cluster?.[Symbol.asyncDispose]()
    await lab?.stop()
  })

  const configFor = ({ url }: Lab) => `
servers: { lab: { url: ${url}, timeout: 30s, sessions: shared } }
roles: { all: { allow: ["*"] } }
agents: { dev: { roles: [all] } }
`

  const write = async (at: Member, args: Record<string, unknown>) => {
    const client = await cluster.modern([at], { path: '/lab' })
    return client.callTool({ name: 'write', arguments: args })
  }

  /** Resolves when the call is under way at the server. */
  async function begin(at: Member, args: Record<string, unknown>) {
    const seen = lab.calls().length
    const answer = write(at, args)
    await lab.waitForCall(seen + 1)
    return { answer }
  }

  const timed = async <T>(work: Promise<T>) => {
    const began = performance.now()
    return { result: await work, seconds: (performance.now() - began) / 1000 }
  }

  test('a broker that is told to stop lets the call it sent finish, and its caller hears the result', async () => {
    const { answer } = await begin(front, { what: 'finishing', delayMs: 1_000, idempotency_key: 'finishing' })
    const { result, seconds } = await timed(broker.terminate())
    assert.equal(result, 0, broker.log())
    assert.ok(seconds < drainSeconds + 15, `it took ${seconds} s`)
    assert.equal(outcomeOf(await answer).state, 'succeeded')
    broker.start()
    await broker.ready()
  })

  test('what does not finish within the grace is left, said, and unknown through every front', async () => {
    const args = { what: 'left', behave: 'late', idempotency_key: 'left' }
    const { answer } = await begin(front, args)
    const { result, seconds } = await timed(broker.terminate())
    assert.equal(result, 0, broker.log())
    assert.ok(seconds >= drainSeconds && seconds < drainSeconds + 15, `it took ${seconds} s`)
    assert.match(broker.log(), /"calls":1.*their outcome will be unknown/)
    broker.start()
    await broker.ready()
    assert.equal(outcomeOf(await answer).state, 'unknown')
    lab.release()
    for (const each of cluster.fronts) {
      const { body } = await cluster.outcome(each, 'lab', 'left')
      assert.equal(body['state'], 'unknown')
      // By the sweep, or by the broker itself when it closed its connections at the end.
      assert.ok(['dispatcher_lost', 'connection_lost'].includes(String(body['code'])))
    }
  })

  test('a front that is told to stop is not ready at once, takes no write, and tells who waits how to ask', async () => {
    const leaving = await cluster.add('front')
    leaving.start()
    await leaving.ready()
    const client = await cluster.modern([leaving], { path: '/lab' })
    await client.listTools()
    const { answer } = await begin(leaving, { what: 'waited', behave: 'late', idempotency_key: 'waited' })
    const ended = timed(leaving.terminate())
    const now = await eventually(async () => {
      const found = await leaving.readyz()
      return found.ready ? undefined : found
    })
    assert.match(now.missing['process'] ?? '', /stopping/)
    const refused = await client.callTool({ name: 'write', arguments: { what: 'late', idempotency_key: 'late' } })
    assert.equal(outcomeOf(refused).code, 'draining')
    const told = await answer
    assert.equal(outcomeOf(told).state, 'pending')
    assert.match(textOf(told), /STILL RUNNING.*holdfast_outcome/s)
    const { result, seconds } = await ended
    assert.equal(result, 0, leaving.log())
    assert.ok(seconds < drainSeconds + 15, `it took ${seconds} s`)
    lab.release()
    const { body } = await eventually(async () => {
      const found = await cluster.outcome(front, 'lab', 'waited')
      return found.body['state'] === 'succeeded' ? found : undefined
    })
    assert.equal(body['callId'], outcomeOf(told).callId)
    assert.equal(outcomeOf(await write(front, { what: 'late', idempotency_key: 'late' })).state, 'succeeded')
  })

  test('processes that start before their database live, name it as missing, say so once, and go on when it comes', async () => {
    await using database = await (await testPostgres()).database()
    const url = new URL(database.url)
    const gate = await createTcpGate({ host: url.hostname, port: Number(url.port) })
    url.port = String(gate.port)
    await using early = await startCluster({
      yaml: configFor(lab),
      stores,
      fronts: 1,
      brokers: 1,
      env: { DATABASE_URL: url.href },
      start: false,
    })
    try {
      const inWrongOrder = [...early.fronts, ...early.audits, ...early.brokers]
      for (const member of inWrongOrder) member.start()
      for (const member of inWrongOrder) {
        const { ready, missing } = await eventually(() => member.readyz().catch(() => undefined), {
          withinMs: startsWithinMs,
        })
        assert.equal(ready, false)
        await eventually(
          async () => (/ECONNREFUSED/.test((await member.readyz()).missing['postgres'] ?? '') ? true : undefined),
          { withinMs: startsWithinMs },
        )
        assert.equal(missing['journal'], 'not reached yet')
        assert.equal((await fetch(`${member.url}/livez`)).status, 200)
      }
      const asked = await fetch(`${early.fronts[0]?.url}/mcp`, { method: 'POST', body: '{}' })
      assert.equal(asked.status, 503)
      assert.equal(((await asked.json()) as { code: string }).code, 'starting')
      await gate.open()
      await Promise.all(inWrongOrder.map(member => member.ready()))
      for (const member of inWrongOrder) {
        assert.equal(member.log().match(/"waiting for postgres"/g)?.length, 1, member.log())
        assert.match(member.log(), /"postgres is there"/)
      }
      const client = await early.modern(early.fronts, { path: '/lab' })
      const answer = await client.callTool({
        name: 'write',
        arguments: { what: 'at last', idempotency_key: 'at-last' },
      })
      assert.equal(outcomeOf(answer).state, 'succeeded')

      await gate.shut()
      for (const member of inWrongOrder) {
        const now = await member.readyz()
        assert.equal(now.ready, false, member.service)
        assert.ok(now.missing['postgres'], JSON.stringify(now))
      }
      await gate.open()
      await Promise.all(inWrongOrder.map(member => member.ready()))
    } finally {
      await gate.shut()
    }
  })

  test('a process that is told to stop while it still waits ends at once', async () => {
    const waiting = await cluster.add('broker', { DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none' })
    waiting.start()
    await eventually(async () => (/waiting for postgres/.test(waiting.log()) ? true : undefined), {
      withinMs: startsWithinMs,
    })
    const { result, seconds } = await timed(waiting.terminate())
    assert.equal(result, 0, waiting.log())
    assert.ok(seconds < 15, `it took ${seconds} s`)
  })

  test('everything that is missing or wrong is said at once, a sentence each, and no value is shown', async () => {
    const wrong = {
      DATABASE_URL: '',
      HOLDFAST_SECRET: 'hunter2',
      HOLDFAST_INTERNAL_TOKEN: '',
      HOLDFAST_BROKER_URLS: 'http://broker:8081/path',
      HOLDFAST_DRAIN_SECONDS: 'soon',
      HOLDFAST_CONFIG: '/no/such/holdfast.yaml',
    }
    const refused = await cluster.add('front', wrong)
    refused.start()
    await eventually(async () => (refused.log().includes('did not start') ? true : undefined), {
      withinMs: startsWithinMs,
    })
    assert.equal(await refused.terminate(), 1)
    const said = refused
      .log()
      .split('\n')
      .filter(line => /^ {2}\S/.test(line))
    assert.equal(said.length, Object.keys(wrong).length, refused.log())
    for (const name of Object.keys(wrong)) assert.match(refused.log(), new RegExp(name))
    assert.doesNotMatch(refused.log(), /hunter2|\.ts:\d/)
  })
}
