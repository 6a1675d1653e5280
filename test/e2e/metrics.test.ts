/** What `/metrics` says of a running Holdfast, asked as Prometheus asks. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { catalogue } from '../../shared/telemetry/catalogue.ts'
import { eventually, type Node, outcomeOf, startNode } from '../helpers/node.ts'
import { scrape, valueOf } from '../helpers/metrics.ts'
import { expressions, sqlOfPanels } from '../helpers/dashboards.ts'
import { readQuery } from '../helpers/promql.ts'
import { type Lab, startLab } from '../helpers/upstream/lab.ts'

let lab: Lab
let node: Node

before(async () => {
  lab = await startLab({ era: 'modern' })
  node = await startNode({
    yaml: `
servers:
  lab: { url: ${lab.url}, timeout: 500ms, sessions: shared }
roles: { all: { allow: ["*"] } }
agents: { dev: { roles: [all], readHistory: true } }
`,
  })
})

after(async () => {
  await node?.[Symbol.asyncDispose]()
  await lab?.stop()
})

const metrics = () => scrape(new URL('/metrics', node.ready().mcp).href)

const write = async (args: Record<string, unknown>) => {
  const client = await node.modern({ path: '/lab' })
  return client.callTool({ name: 'write', arguments: args })
}

/** By how much a series rose while something was done. */
async function risen(
  series: ReadonlyArray<readonly [string, Record<string, string>]>,
  work: () => Promise<unknown>,
): Promise<number[]> {
  const before = await metrics()
  await work()
  const now = await metrics()
  return series.map(([name, labels]) => valueOf(now, name, labels) - valueOf(before, name, labels))
}

const told = (state: string) =>
  ['holdfast_calls_total', { server: 'lab', tool: 'write', effect: 'write', state }] as const
const became = (state: string) => ['holdfast_operations_total', { server: 'lab', tool: 'write', state }] as const
const joined = (how: string) => ['holdfast_duplicates_total', { server: 'lab', how }] as const

test('a write that succeeds is one call, one dispatch and one success', async () => {
  const rose = await risen(
    [
      told('succeeded'),
      became('executing'),
      became('succeeded'),
      ['mcp_client_operation_duration_seconds_count', { service: 'broker', server: 'lab', error_type: '' }],
      ['mcp_server_operation_duration_seconds_count', { server: 'lab', state: 'succeeded' }],
      ['messaging_client_sent_messages_total', { service: 'front', messaging_destination_name: 'holdfast.calls' }],
    ],
    () => write({ what: 'counted', idempotency_key: 'counted' }),
  )
  assert.deepEqual(rose, [1, 1, 1, 1, 1, 1])
})

test('a replay is counted as a duplicate that was not sent', async () => {
  const args = { what: 'twice', idempotency_key: 'twice' }
  await write(args)
  const rose = await risen([told('succeeded'), joined('replayed'), became('executing')], () => write(args))
  assert.deepEqual(rose, [1, 1, 0])
})

test('a conflict is counted with its code', async () => {
  await write({ what: 'first', idempotency_key: 'conflicting' })
  const conflict = ['holdfast_duplicates_total', { how: 'conflicted', code: 'idempotency_conflict' }] as const
  const rose = await risen([told('conflict'), conflict, became('executing')], () =>
    write({ what: 'second', idempotency_key: 'conflicting' }),
  )
  assert.deepEqual(rose, [1, 1, 0])
})

test('a call without a key is counted as not accepted, by its code', async () => {
  const refused = ['holdfast_calls_not_accepted_total', { server: 'lab', code: 'idempotency_key_required' }] as const
  const rose = await risen([told('not_accepted'), refused, became('executing')], () => write({ what: 'keyless' }))
  assert.deepEqual(rose, [1, 1, 0])
})

test('a tool that no server lists does not become a label', async () => {
  const client = await node.modern({ path: '/lab' })
  await client.callTool({ name: 'made_up_by_a_client', arguments: {} })
  const exposed = await metrics()
  const { samples } = exposed
  assert.ok(!samples.some(({ labels }) => Object.values(labels).includes('made_up_by_a_client')))
  assert.ok(valueOf(exposed, 'holdfast_calls_total', { tool: '_OTHER', state: 'not_accepted' }) > 0)
})

test('an unknown outcome shows as open with its age until it is settled, and its late request as held open', async () => {
  const before = await metrics()
  assert.equal(valueOf(before, 'holdfast_unknown_operations', { older_than: '0s' }), 0)
  const answer = await write({ what: 'late', behave: 'late', idempotency_key: 'late' })
  assert.equal(outcomeOf(answer).state, 'unknown')
  const open = await eventually(async () => {
    const samples = await metrics()
    return valueOf(samples, 'holdfast_unknown_operations', { older_than: '0s' }) === 1 ? samples : undefined
  })
  assert.ok(valueOf(open, 'holdfast_unknown_oldest_age_seconds', {}) > 0)
  assert.equal(valueOf(open, 'holdfast_lane_late', { server: 'lab' }), 1)
  assert.equal(valueOf(open, 'holdfast_operations_code_total', { state: 'unknown', code: 'timeout' }), 1)
  lab.release()
  await eventually(async () =>
    valueOf(await metrics(), 'holdfast_unknown_operations', { older_than: '0s' }) === 0 ? true : undefined,
  )
})

test('a call that waits for a running one is counted as attached, a twin as refused', async () => {
  const args = { what: 'running', behave: 'late' }
  const twin = ['holdfast_duplicates_total', { how: 'conflicted', code: 'possible_duplicate' }] as const
  const rose = await risen([joined('attached'), twin, became('executing')], async () => {
    const first = write({ ...args, idempotency_key: 'running' })
    await lab.waitForCall(lab.calls().length + 1)
    await Promise.all([write({ ...args, idempotency_key: 'running' }), write({ ...args, idempotency_key: 'other' })])
    lab.release()
    await first
  })
  assert.deepEqual(rose, [1, 1, 1])
})

test('reads are counted apart from writes', async () => {
  const client = await node.modern({ path: '/lab' })
  const read = ['holdfast_calls_total', { server: 'lab', tool: 'echo', effect: 'read', state: 'succeeded' }] as const
  assert.deepEqual(await risen([read], () => client.callTool({ name: 'echo', arguments: {} })), [1])
})

test('every metric of the catalogue that does not wait for its first event is exposed, and nothing else of that name', async () => {
  const shown = new Set((await metrics()).families.keys())
  // Only while spans are exported.
  const waiting = ['holdfast_trace_exports_failed_total']
  const missing = Object.keys(catalogue).filter(name => !shown.has(name) && !waiting.includes(name))
  assert.deepEqual(missing, [])
  const extra = [...shown].filter(name => name.startsWith('holdfast_') && !(name in catalogue))
  assert.deepEqual(extra, [])
})

test('everything that the alerts and the dashboard ask for is exposed', async () => {
  const { families } = await metrics()
  // Only while spans are exported.
  const shown = new Set([...families.keys(), 'holdfast_trace_exports_failed_total'])
  for (const { where, expression } of expressions()) {
    for (const { metric } of readQuery(expression).selectors) {
      const family = [metric, metric.replace(/_(bucket|sum|count)$/, '')].find(name => shown.has(name))
      assert.ok(family !== undefined, `${where}: ${metric}`)
    }
  }
})

test('the dashboard reads the fan-out of conversations from the history', async () => {
  const client = await node.modern({ path: '/lab' })
  for (const n of [1, 2, 3]) {
    const meta = { 'dev.holdfast/conversation': 'fan-out' }
    await client.callTool({ name: 'write', arguments: { n, idempotency_key: `fan-out-${n}` }, _meta: meta })
  }
  for (const sql of sqlOfPanels()) {
    // What Grafana's data source makes of its macro.
    const query = sql.replaceAll(/\$__timeFilter\((\w+)\)/g, '$1 >= now() - interval 1 hour and $1 <= now()')
    await eventually(async () => {
      const rows = await node.sql<{ most: string; conversations: string }>(query)
      return rows.some(({ most, conversations }) => Number(most) === 3 && Number(conversations) === 1) || undefined
    })
  }
})

test('no label tells of a tenant, an agent, a key or a conversation', async () => {
  const { samples } = await metrics()
  const labels = new Set(samples.flatMap(sample => Object.keys(sample.labels)))
  for (const forbidden of ['tenant', 'agent', 'keyspace', 'key', 'conversation', 'call_id'])
    assert.ok(!labels.has(forbidden), forbidden)
})

test('every answered HTTP request is measured under its route, MCP ones too', async () => {
  const posts = { http_request_method: 'POST', http_route: '/mcp/:server', http_response_status_code: '200' }
  assert.ok(valueOf(await metrics(), 'http_server_request_duration_seconds_count', posts) > 5)
})

test('events leave the outbox for the journal, and rows reach the history', async () => {
  await eventually(async () => {
    const exposed = await metrics()
    const relayed = valueOf(exposed, 'holdfast_outbox_relayed_total')
    const isBehind = valueOf(exposed, 'holdfast_sink_rows_total') < relayed
    return relayed >= 5 && !isBehind && valueOf(exposed, 'holdfast_outbox_rows') === 0 ? true : undefined
  })
})

test("audit's port shows the same numbers", async () => {
  assert.ok((await scrape(`${node.ready().sql}/metrics`)).families.has('holdfast_sink_rows_total'))
})

const childrenOf = (parent: number): number[] =>
  execFileSync('ps', ['-eo', 'pid=,ppid='], { encoding: 'utf8' })
    .split('\n')
    .map(line => line.trim().split(/\s+/).map(Number))
    .flatMap(([pid, ppid]) => (ppid === parent && pid !== undefined ? [pid] : []))

test('while PostgreSQL is away a scrape still answers, says so, and leaves out what it does not know', async () => {
  const pidFile = join(node.folder, 'data', 'postgres', 'pgdata', 'postmaster.pid')
  const postmaster = Number(readFileSync(pidFile, 'utf8').split('\n')[0])
  const all = [postmaster, ...childrenOf(postmaster)]
  // Frozen: it neither answers nor refuses, which is the worst a store can do to a scrape.
  for (const pid of all) process.kill(pid, 'SIGSTOP')
  try {
    const down = await eventually(
      async () => {
        const began = performance.now()
        const samples = await metrics()
        assert.ok(performance.now() - began < 5_000, 'a scrape waits for nobody')
        return valueOf(samples, 'holdfast_up', { dependency: 'postgres' }) === 0 ? samples : undefined
      },
      { withinMs: 20_000, what: 'the gauge' },
    )
    assert.ok(!down.samples.some(({ name }) => name === 'holdfast_outbox_rows'))
    assert.ok(valueOf(down, 'holdfast_calls_total', {}) > 0)
  } finally {
    for (const pid of all) process.kill(pid, 'SIGCONT')
  }
  await eventually(
    async () => (valueOf(await metrics(), 'holdfast_up', { dependency: 'postgres' }) === 1 ? true : undefined),
    { withinMs: 20_000, what: 'the gauge' },
  )
})
