import assert from 'node:assert/strict'
import { after, afterEach, before, test } from 'node:test'
import { Client as ModernClient, StreamableHTTPClientTransport as ModernTransport } from '@modelcontextprotocol/client'
import { Client as LegacyClient } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport as LegacyTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { createHoldfast, type HoldfastOptions, keyFor, type McpClient } from 'holdfast/client'
import { type Proxy, startProxy } from '../../services/cli/crash-test/proxy.ts'
import { eventually, type Node, type StartNode } from '../helpers/node.ts'
import { type Lab, startLab } from '../helpers/upstream/lab.ts'

type Extent = {
  readonly sdks: ReadonlyArray<'v1' | 'v2'>
  /** How many times longer things take than on a single node: the budgets of agents that must not run out. */
  readonly patience: number
}

export function clientSuite(start: StartNode, { sdks, patience }: Extent): void {
  let lab: Lab
  let node: Node
  let proxy: Proxy

  before(async () => {
    lab = await startLab({ era: 'modern' })
    node = await start({
      yaml: `
servers:
  lab: { url: ${lab.url}, timeout: 20s, sessions: shared, concurrency: 64 }
  quick: { url: ${lab.url}, timeout: 1s, sessions: shared }
roles: { all: { allow: ["*"] } }
agents: { dev: { roles: [all] } }
`,
    })
    proxy = await startProxy(() => ({ host: '127.0.0.1', port: Number(new URL(node.ready().mcp).port) }))
  })
  after(async () => {
    await proxy?.stop()
    await node?.[Symbol.asyncDispose]()
    await lab?.stop()
  })
  const open: Array<{ close(): Promise<void> }> = []
  afterEach(async () => {
    proxy.forget()
    await Promise.all(open.splice(0).map(agent => agent.close()))
  })

  const endpoint = () => new URL(`http://127.0.0.1:${proxy.port}/mcp`)
  const withKey = () => ({ requestInit: { headers: { authorization: `Bearer ${node.ready().key}` } } })

  const connect: Record<'v1' | 'v2', () => Promise<McpClient>> = {
    v1: async () => {
      const client = new LegacyClient({ name: 'agent', version: '1' })
      await client.connect(new LegacyTransport(endpoint(), withKey()) as Parameters<typeof client.connect>[0])
      return client
    },
    v2: async () => {
      const client = new ModernClient({ name: 'agent', version: '2' }, { versionNegotiation: { mode: 'auto' } })
      await client.connect(new ModernTransport(endpoint(), withKey()))
      return client
    },
  }

  function agentOf(sdk: 'v1' | 'v2', options: Partial<HoldfastOptions> = {}) {
    const agent = createHoldfast({
      connect: connect[sdk],
      budget: { timeMs: 40_000 * patience, attempts: 30 },
      ...options,
    })
    open.push(agent)
    return agent
  }

  let changes = 0
  /** A change of its own: what identifies it, its arguments, and how often it happened. */
  function newChange(args: Record<string, unknown> = {}) {
    const id = `change-${(changes += 1)}`
    return {
      key: keyFor({ tool: 'lab__write', change: id, date: '2026-11-21' }),
      tool: 'lab__write',
      arguments: { id, ...args },
      effects: () => lab.effects().filter(effect => effect.arguments['id'] === id).length,
      requests: () => lab.calls().filter(call => call.arguments['id'] === id).length,
    }
  }

  for (const sdk of sdks) {
    test(`${sdk}: a write whose connection is cut inside the request is made once`, async () => {
      const agent = agentOf(sdk)
      const change = newChange()
      await agent.outcome({ key: 'warm', server: 'lab' })
      const cut = proxy.cutNext({ of: 'request', afterBytes: 40, how: 'reset', carrying: 'tools/call' })
      const written = await agent.write(change)
      await cut
      assert.equal(written.state, 'succeeded', JSON.stringify(written))
      assert.equal(change.effects(), 1)
    })

    test(`${sdk}: a write whose connection is cut while the server works is found out, not sent again`, async () => {
      const agent = agentOf(sdk)
      const change = newChange({ delayMs: 500 })
      const arrived = lab.waitForCall(lab.calls().length + 1).then(() => proxy.resetAll())
      const written = await agent.write(change)
      await arrived
      assert.equal(written.state, 'succeeded', JSON.stringify(written))
      assert.ok(written.state === 'succeeded' && written.outcome.replayed)
      assert.equal(change.requests(), 1)
      assert.equal(change.effects(), 1)
    })

    for (const how of ['reset', 'end'] as const) {
      for (const afterBytes of [0, 150]) {
        test(`${sdk}: an answer cut (${how}) after ${afterBytes} bytes is found in the record`, async () => {
          const agent = agentOf(sdk)
          const change = newChange()
          await agent.outcome({ key: 'warm', server: 'lab' })
          const cut = proxy.cutNext({ of: 'answer', afterBytes, how, carrying: change.key })
          const written = await agent.write(change)
          assert.equal((await cut).answer, afterBytes)
          assert.equal(written.state, 'succeeded', JSON.stringify(written))
          assert.equal(change.effects(), 1)
        })
      }
    }

    test(`${sdk}: an event stream cut before the answer is noticed at once and the answer found`, async () => {
      const agent = agentOf(sdk)
      // Longer than the 5 s after which Holdfast begins an event stream.
      const change = newChange({ delayMs: 6_500 })
      const arrived = lab.waitForCall(lab.calls().length + 1)
      const began = performance.now()
      const writing = agent.write(change)
      await arrived
      const quiet = proxy.passed().answer
      await eventually(async () => (proxy.passed().answer > quiet ? true : undefined), { what: 'the event stream' })
      proxy.resetAll()
      const written = await writing
      assert.equal(written.state, 'succeeded', JSON.stringify(written))
      assert.ok(performance.now() - began < 12_000)
      assert.equal(change.effects(), 1)
    })

    test(`${sdk}: a connection that falls silent costs part of the budget, not the outcome`, async () => {
      const agent = agentOf(sdk, { budget: { timeMs: 4_000 * patience } })
      const change = newChange()
      const cut = proxy.cutNext({ of: 'answer', afterBytes: 0, how: 'stall', carrying: change.key })
      const written = await agent.write(change)
      await cut
      assert.equal(written.state, 'succeeded', JSON.stringify(written))
      assert.equal(change.effects(), 1)
    })

    test(`${sdk}: Holdfast is killed after the effect and started again: the agent finds the outcome by itself`, async () => {
      const agent = agentOf(sdk)
      const change = newChange()
      const cut = proxy.cutNext({ of: 'answer', afterBytes: 0, how: 'reset', carrying: change.key })
      const writing = agent.write(change)
      await cut
      await node.kill()
      await node.start()
      const written = await writing
      assert.equal(written.state, 'succeeded', JSON.stringify(written))
      assert.equal(change.effects(), 1)
    })

    test(`${sdk}: Holdfast is killed while the server works: unknown with a report, never failed`, async () => {
      // Long enough for a start on a busy machine: an unknown is asked about until the budget ends.
      const agent = agentOf(sdk, { budget: { timeMs: 30_000 * patience } })
      const change = newChange({ behave: 'late' })
      const arrived = lab.waitForCall(lab.calls().length + 1)
      const writing = agent.write(change)
      await arrived
      await node.kill()
      lab.release()
      await node.start()
      const written = await writing
      assert.ok(written.state === 'unknown', JSON.stringify(written))
      assert.equal(written.why, 'dispatcher_lost')
      assert.equal(written.last?.state, 'unknown')
      assert.equal(written.partial.from, 'holdfast')
      const { report } = written.partial
      assert.ok(report.unknown.some(line => line.key === change.key))
      assert.ok(!report.failed.some(line => line.key === change.key))
      assert.ok(change.effects() <= 1)
      assert.equal(change.requests(), 1)
    })

    test(`${sdk}: with Holdfast away the budget ends in unknown, and the report is what the agent itself knows`, async () => {
      const agent = agentOf(sdk, { budget: { timeMs: 3_000 } })
      const done = newChange()
      assert.equal((await agent.write(done)).state, 'succeeded')
      const change = newChange({ delayMs: 300 })
      const arrived = lab.waitForCall(lab.calls().length + 1)
      const writing = agent.write(change)
      await arrived
      await node.kill()
      const written = await writing
      await node.start()
      assert.ok(written.state === 'unknown', JSON.stringify(written))
      assert.equal(written.partial.from, 'client')
      const { report } = written.partial
      assert.deepEqual(
        report.confirmed.map(({ key }) => key),
        [done.key],
      )
      assert.deepEqual(
        report.unknown.map(({ key }) => key),
        [change.key],
      )
      assert.deepEqual(report.failed, [])
    })

    test(`${sdk}: a write that never left is refused as such, with the key free`, async () => {
      const agent = agentOf(sdk, {
        connect: () => Promise.reject(Object.assign(new Error('refused'), { code: 'ECONNREFUSED' })),
        budget: { timeMs: 1_000 },
      })
      const change = newChange()
      assert.equal((await agent.write(change)).state, 'not_accepted')
      assert.equal(change.requests(), 0)
    })
  }

  test('two agents of different SDKs with one key make one change, though the connections of both are cut', async () => {
    const change = newChange({ delayMs: 400 })
    const arrived = lab.waitForCall(lab.calls().length + 1).then(() => proxy.resetAll())
    const written = await Promise.all([agentOf('v1').write(change), agentOf('v2').write(change)])
    await arrived
    assert.deepEqual(
      written.map(({ state }) => state),
      ['succeeded', 'succeeded'],
    )
    assert.equal(change.effects(), 1)
  })

  test('a second agent asks for what the first one did, over HTTP', async () => {
    const change = newChange()
    await agentOf('v1').write(change)
    const { outcomes, key } = node.ready()
    const other = agentOf('v2', { http: { url: outcomes, key } })
    const record = await other.outcome({ key: change.key, server: 'lab' })
    assert.equal(record.state, 'succeeded')
    assert.equal((await other.outcome({ key: 'nobody-used-this', server: 'lab' })).state, 'not_found')
  })

  test('the record of another change under the same key is not taken for this one', async () => {
    const first = newChange()
    const agent = agentOf('v2')
    await agent.write(first)
    const other = { ...newChange(), key: first.key }
    const cut = proxy.cutNext({ of: 'answer', afterBytes: 0, how: 'reset', carrying: first.key })
    const written = await agent.write(other)
    await cut
    assert.equal(written.state, 'conflict', JSON.stringify(written))
    assert.equal(other.effects(), 0)
  })

  test("an unknown of the server's side is settled by its late answer while the budget lasts", async () => {
    const change = { ...newChange({ delayMs: 2_000 }), tool: 'quick__write' }
    const written = await agentOf('v1').write(change)
    assert.equal(written.state, 'succeeded', JSON.stringify(written))
    assert.equal(change.effects(), 1)
  })

  test('what Holdfast refuses for good is told at once', async () => {
    const agent = agentOf('v2')
    const began = performance.now()
    const unknownTool = await agent.write({ ...newChange(), tool: 'lab__no_such_tool' })
    assert.equal(unknownTool.state, 'not_accepted')
    const stranger = agentOf('v1', {
      connect: async () => {
        const client = new LegacyClient({ name: 'agent', version: '1' })
        const options = { requestInit: { headers: { authorization: 'Bearer wrong' } } }
        await client.connect(new LegacyTransport(endpoint(), options) as Parameters<typeof client.connect>[0])
        return client
      },
    })
    assert.equal((await stranger.write(newChange())).state, 'not_accepted')
    assert.ok(performance.now() - began < 5_000)
  })
}
