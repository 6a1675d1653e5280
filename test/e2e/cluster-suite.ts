/**
 * Two fronts, two brokers and audit, each a process, over one set of stores: what one of them was told any other knows,
 * and whichever of them ends, nothing that was acknowledged is lost and nothing is sent twice.
 */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { scopeHash } from '../../shared/call/fingerprint.ts'
import { partitionFor } from '../../shared/journal/partition.ts'
import { topics } from '../../shared/journal/topics.ts'
import { type Cluster, type ClusterInput, type Member, startCluster, type Way } from '../helpers/cluster.ts'
import { eventually, outcomeOf, textOf } from '../helpers/node.ts'
import { type Lab, startLab } from '../helpers/upstream/lab.ts'

/** @param audits more than one only over a store that several processes can share */
export function clusterSuite({ stores, audits }: Required<Pick<ClusterInput, 'stores' | 'audits'>>): void {
  let lab: Lab
  let cluster: Cluster
  let one: Member
  let two: Member

  before(async () => {
    lab = await startLab({ era: 'modern' })
    cluster = await startCluster({ yaml: configFor(lab), stores, audits })
    ;[one, two] = cluster.fronts as [Member, Member]
  })

  after(async () => {
    await cluster?.[Symbol.asyncDispose]()
    await lab?.stop()
  })

  const configFor = ({ url }: Lab) => `
servers:
  lab: { url: ${url}, timeout: 20s, sessions: shared }
  narrow: { url: ${url}, timeout: 20s, sessions: shared, concurrency: 1 }
roles: { all: { allow: ["*"] } }
agents: { dev: { roles: [all], readHistory: true } }
`

  const write = async (at: readonly Member[], args: Record<string, unknown>, path = '/lab') => {
    const client = await cluster.modern(at, { path })
    return client.callTool({ name: 'write', arguments: args })
  }

  const pendingKeys = async () => {
    const client = await cluster.modern([one])
    const report = await client.callTool({ name: 'holdfast_report', arguments: {} })
    return (report.structuredContent as { pending: Array<{ key: string }> }).pending.map(({ key }) => key)
  }

  /** A broker has slots of its own: only keys of one partition are sure to meet in one broker. */
  const besides = (key: string, name: string): string => {
    const partitionOf = (each: string) =>
      partitionFor(
        scopeHash({ tenant: 'default', keyspace: 'dev', server: 'narrow', key: each }),
        topics.calls.partitions,
      )
    for (let n = 0; ; n += 1) if (partitionOf(`${name}-${n}`) === partitionOf(key)) return `${name}-${n}`
  }

  const effectsOf = (what: string) => lab.effects().filter(effect => effect.arguments['what'] === what).length

  const outcomeAt = async (front: Member, args: Record<string, unknown>) => {
    const client = await cluster.modern([front])
    const answer = await client.callTool({ name: 'holdfast_outcome', arguments: args })
    return answer.structuredContent as { state: string; callId: string; code?: string }
  }

  test('a write through one front is known to the other, over MCP and over HTTP', async () => {
    const args = { what: 'known', idempotency_key: 'known' }
    const answer = await write([one], args)
    assert.equal(outcomeOf(answer).state, 'succeeded')
    assert.equal((await outcomeAt(two, { key: 'known', server: 'lab' })).state, 'succeeded')
    const { status, body } = await cluster.outcome(two, 'lab', 'known')
    assert.equal(status, 200)
    assert.equal(body['state'], 'succeeded')
    const again = await write([two], args)
    assert.equal(textOf(again), textOf(answer))
    assert.ok(outcomeOf(again).replayed)
    assert.equal(effectsOf('known'), 1)
  })

  test('a key that nobody used is not found through any front, and a later write under it runs', async () => {
    for (const front of [one, two]) assert.equal((await cluster.outcome(front, 'lab', 'never')).status, 404)
    assert.equal(outcomeOf(await write([one], { what: 'never', idempotency_key: 'never' })).state, 'succeeded')
    assert.equal((await cluster.outcome(two, 'lab', 'never')).status, 200)
  })

  test('replies come by themselves: a quick write is not kept waiting for a re-read', async () => {
    const client = await cluster.modern([one], { path: '/lab' })
    const times: number[] = []
    for (let n = 0; n < 10; n += 1) {
      const began = performance.now()
      await client.callTool({ name: 'write', arguments: { what: 'quick', idempotency_key: `quick-${n}` } })
      times.push(performance.now() - began)
    }
    // A front that hears nothing reads again after two seconds.
    assert.ok(Math.min(...times) < 1_000, `${times.map(Math.round).join(' ')} ms`)
  })

  test('every process shows its own metrics', async () => {
    for (const member of cluster.members) {
      const response = await fetch(`${member.url}/metrics`)
      assert.equal(response.status, 200, member.service)
      assert.match(await response.text(), new RegExp(`service="${member.service}"`))
    }
  })

  test('a call through the other front attaches to the one that runs, and both hear its end', async () => {
    const args = { what: 'shared', behave: 'late', idempotency_key: 'shared' }
    const seen = lab.calls().length
    const first = write([one], args)
    await lab.waitForCall(seen + 1)
    const second = write([two], args)
    const running = await eventually(async () => {
      const found = await outcomeAt(two, { key: 'shared', server: 'lab' })
      return found.state === 'pending' ? found : undefined
    })
    lab.release()
    const [a, b] = await Promise.all([first, second])
    assert.equal(textOf(a), textOf(b))
    assert.equal(outcomeOf(a).callId, running.callId)
    assert.equal(outcomeOf(b).of, running.callId)
    assert.equal(effectsOf('shared'), 1)
  })

  for (const era of ['modern', 'legacy'] as const) {
    test(`a ${era} client whose requests go to both fronts in turn works as with one`, async () => {
      const client = await cluster[era]([one, two], { path: '/lab' })
      const { tools } = await client.listTools()
      assert.ok(tools.some(tool => tool.name === 'holdfast_outcome'))
      for (let n = 0; n < 6; n += 1) {
        const key = `turns-${era}-${n}`
        const answer = await client.callTool({ name: 'write', arguments: { what: key, idempotency_key: key } })
        assert.equal(outcomeOf(answer).state, 'succeeded')
        const asked = await client.callTool({ name: 'holdfast_outcome', arguments: { key } })
        const told = asked.structuredContent as { state: string; callId: string }
        assert.equal(told.state, 'succeeded')
        assert.equal(told.callId, outcomeOf(answer).callId)
        assert.equal(effectsOf(key), 1)
      }
      const report = await client.callTool({ name: 'holdfast_report', arguments: {} })
      const { confirmed } = report.structuredContent as { confirmed: Array<{ key: string }> }
      assert.ok(confirmed.some(({ key }) => key === `turns-${era}-0`))
    })
  }

  test('a cancel reaches a waiting call through the front that took it, and through another one does nothing', async () => {
    const seen = lab.calls().length
    const blocker = write([one], { what: 'blocker', behave: 'late', idempotency_key: 'blocker' }, '/narrow')
    await lab.waitForCall(seen + 1)
    const kept = besides('blocker', 'kept')
    const dropped = besides('blocker', 'dropped')
    const cancelled = async (key: string, way: Way) => {
      const client = await cluster.legacy(way, { path: '/narrow' })
      const stop = new AbortController()
      const call = client
        .callTool({ name: 'write', arguments: { what: key, idempotency_key: key } }, undefined, { signal: stop.signal })
        .catch(() => {})
      // Not by asking for its outcome, which would fence a key whose call is still on its way.
      await eventually(async () => ((await pendingKeys()).includes(key) ? true : undefined), { withinMs: 30_000 })
      stop.abort('the person changed their mind')
      await call
    }
    await cancelled(kept, body => (body.includes('notifications/cancelled') ? two : one))
    await cancelled(dropped, [one])
    const told = await outcomeAt(two, { key: dropped, server: 'narrow', waitMs: 10_000 })
    assert.equal(told.state, 'not_executed')
    assert.equal(told.code, 'cancelled')
    lab.release()
    assert.equal(outcomeOf(await blocker).state, 'succeeded')
    assert.equal((await outcomeAt(one, { key: kept, server: 'narrow', waitMs: 10_000 })).state, 'succeeded')
    assert.equal(effectsOf(dropped), 0)
  })

  test('a front whose replies go astray answers from the record, and the one that gets them is not misled', async () => {
    const astray = await cluster.add('front', { HOLDFAST_FRONT_URL: two.url })
    astray.start()
    await astray.ready()
    const answer = await write([astray], { what: 'astray', idempotency_key: 'astray' })
    assert.equal(outcomeOf(answer).state, 'succeeded')
    assert.equal(textOf(await write([two], { what: 'astray', idempotency_key: 'astray' })), textOf(answer))
    assert.equal(await astray.terminate(), 0)
  })

  test('a front with another token says that it could not ask, never that there is no record', async () => {
    const stranger = await cluster.add('front', { HOLDFAST_INTERNAL_TOKEN: 'a-token-of-another-cluster' })
    stranger.start()
    await stranger.ready()
    const { degraded } = await stranger.readyz()
    assert.match(degraded['broker'] ?? '', /status 401/)
    const { status, body } = await cluster.outcome(stranger, 'lab', 'known')
    assert.equal(status, 503)
    assert.equal(body['code'], 'outcome_unavailable')
    assert.equal(await stranger.terminate(), 0)
  })

  test('a front that is killed ends no write, and its address is served by the next one', async () => {
    const seen = lab.calls().length
    const call = write([one], { what: 'orphan', behave: 'late', idempotency_key: 'orphan' }).catch(
      error => error as Error,
    )
    await lab.waitForCall(seen + 1)
    await one.kill()
    assert.ok((await call) instanceof Error)
    one.start()
    await one.ready()
    lab.release()
    for (const front of [one, two]) {
      assert.equal((await outcomeAt(front, { key: 'orphan', server: 'lab', waitMs: 10_000 })).state, 'succeeded')
    }
    assert.equal(effectsOf('orphan'), 1)
  })

  test('a broker that is killed in mid-call leaves an unknown that every front tells, and that is never sent again', async () => {
    const args = { what: 'killed', behave: 'late', idempotency_key: 'killed' }
    const seen = lab.calls().length
    const call = write([one], args)
    await lab.waitForCall(seen + 1)
    // Which broker has the partition is not known from outside: both are killed, and one comes back.
    await Promise.all(cluster.brokers.map(broker => broker.kill()))
    const [first, second] = cluster.brokers as [Member, Member]
    first.start()
    await first.ready()
    assert.equal(outcomeOf(await call).state, 'unknown')
    assert.match(textOf(await call), /MAY HAVE HAPPENED/)
    lab.release()
    for (const front of [one, two]) {
      const told = await outcomeAt(front, { key: 'killed', server: 'lab' })
      assert.equal(told.state, 'unknown')
      assert.equal(told.code, 'dispatcher_lost')
      assert.equal(outcomeOf(await write([front], args)).state, 'unknown')
    }
    assert.equal(effectsOf('killed'), 1)
    second.start()
    await second.ready()
  })

  test('without any broker writes are still taken down, and the first that comes handles them', async () => {
    await Promise.all(cluster.brokers.map(broker => broker.terminate()))
    const { ready, degraded } = await one.readyz()
    assert.equal(ready, true)
    assert.match(degraded['broker'] ?? '', /no broker could be asked/)
    assert.equal((await cluster.outcome(one, 'lab', 'known')).status, 503)
    const call = write([two], { what: 'early', idempotency_key: 'early' })
    for (const broker of cluster.brokers) broker.start()
    assert.equal(outcomeOf(await call).state, 'succeeded')
    assert.equal(effectsOf('early'), 1)
    await Promise.all(cluster.brokers.map(broker => broker.ready()))
  })

  test('every process is restarted in turn under load: nothing is lost, sent twice or answered wrongly', async () => {
    const stop = new AbortController()
    const written = new Map<string, string>()
    const writer = async (name: string) => {
      for (let n = 0; !stop.signal.aborted; n += 1) {
        const key = `rolling-${name}-${n}`
        written.set(key, await writeUntilDone(key, n))
        await new Promise(resolve => setTimeout(resolve, 20))
      }
    }
    const writers = ['a', 'b', 'c'].map(writer)
    for (const member of [...cluster.brokers, ...cluster.fronts, ...cluster.audits]) {
      assert.equal(await member.terminate(), 0, member.log())
      member.start()
      await member.ready()
    }
    stop.abort()
    await Promise.all(writers)
    assert.ok(written.size > 50, `${written.size} writes`)
    for (const [key, text] of written) {
      assert.equal(effectsOf(key), 1, key)
      assert.match(text, /^done /)
      const { body } = await cluster.outcome(one, 'lab', key)
      assert.equal(body['state'], 'succeeded', key)
    }
    const finished = await eventually(
      async () => {
        const rows = await cluster.sql<{ key: string; attempts: number }>(
          `select idempotency_key as key, toUInt32(max(attempts)) as attempts from holdfast.calls
         where startsWith(idempotency_key, 'rolling-') and state = 'succeeded' group by key`,
        )
        return rows.length === written.size ? rows : undefined
      },
      { withinMs: 60_000, what: 'the history of every write' },
    )
    assert.ok(finished.every(({ attempts }) => attempts === 1))
  })

  /** As an agent should: the same key again after any error, at the other front, until there is an answer. */
  async function writeUntilDone(key: string, turn: number): Promise<string> {
    for (let n = 0; n < 100; n += 1) {
      const front = cluster.fronts[(turn + n) % cluster.fronts.length] as Member
      try {
        const answer = await write([front], { what: key, delayMs: 30, idempotency_key: key })
        const { state } = outcomeOf(answer)
        if (state === 'succeeded') return textOf(answer)
        // `unknown` would be honest after a kill; nobody is killed here.
        assert.ok(['pending', 'not_executed', 'not_accepted'].includes(state), `${key}: ${textOf(answer)}`)
      } catch (error) {
        if (error instanceof assert.AssertionError) throw error
        // A front that is gone or starting: its answer is missing, its word is not.
      }
      await new Promise(resolve => setTimeout(resolve, 50))
    }
    throw new Error(`${key} was not done after 100 tries`)
  }

  test('starts and stops of every process are in the history', async () => {
    const rows = await eventually(async () => {
      const found = await cluster.sql<{ source: string; type: string; events: number }>(
        `select source, type, toUInt32(count(distinct event_id)) as events from holdfast.events
       where type in ('service.started', 'service.stopped') group by source, type`,
      )
      return found.length === 6 ? found : undefined
    })
    const count = (source: string, type: string) => rows.find(row => row.source === source && row.type === type)?.events
    assert.ok((count('holdfast/front', 'service.started') ?? 0) > (count('holdfast/front', 'service.stopped') ?? 0))
    assert.ok((count('holdfast/broker', 'service.stopped') ?? 0) >= 4)
    assert.equal(count('holdfast/audit', 'service.stopped'), audits)
  })
}
