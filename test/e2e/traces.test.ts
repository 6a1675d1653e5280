/** One trace from the agent through Holdfast to the server, as a collector receives it. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, test } from 'node:test'
import { scrape, valueOf } from '../helpers/metrics.ts'
import { eventually, type Node, outcomeOf, startNode } from '../helpers/node.ts'
import { type Collector, type Exported, startCollector } from '../helpers/otlp.ts'
import { type Lab, startLab } from '../helpers/upstream/lab.ts'

let lab: Lab
let collector: Collector
let node: Node

const yaml = () => `
servers:
  lab: { url: ${lab.url}, timeout: 10s, sessions: shared }
roles: { all: { allow: ["*"] } }
agents: { dev: { roles: [all], readHistory: true } }
`

before(async () => {
  lab = await startLab({ era: 'modern' })
  collector = await startCollector()
  node = await startNode({
    yaml: yaml(),
    env: { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_BSP_SCHEDULE_DELAY: '50', OTEL_SERVICE_NAME: 'bank-gate' },
  })
})

after(async () => {
  await node?.[Symbol.asyncDispose]()
  await collector?.stop()
  await lab?.stop()
})

const hex = (bytes: number) => randomBytes(bytes).toString('hex')
const newContext = () => {
  const traceId = hex(16)
  const spanId = hex(8)
  return { traceId, spanId, traceparent: `00-${traceId}-${spanId}-01` }
}
const one = (spans: readonly Exported[], kind: Exported['kind']): Exported => {
  const found = spans.filter(span => span.kind === kind)
  assert.equal(found.length, 1, `${kind}: ${JSON.stringify(spans.map(span => [span.kind, span.name]))}`)
  return found[0] as Exported
}
const partsOf = (traceparent: unknown) => {
  const [, traceId, spanId] = String(traceparent).split('-')
  return { traceId, spanId }
}

const call = async (on: Node, tool: string, args: Record<string, unknown>, meta: Record<string, unknown> = {}) => {
  const client = await on.modern({ path: '/lab' })
  return client.callTool({ name: tool, arguments: args, _meta: meta })
}

test('a write is one trace: agent, front, journal, broker, server, each the parent of the next', async () => {
  const { traceId, spanId, traceparent } = newContext()
  await call(node, 'write', { what: 'traced', idempotency_key: 'traced' }, { traceparent, tracestate: 'vendor=1' })
  const spans = await collector.waitFor(traceId, 4)
  const [server, producer, consumer, client] = [
    one(spans, 'SERVER'),
    one(spans, 'PRODUCER'),
    one(spans, 'CONSUMER'),
    one(spans, 'CLIENT'),
  ]
  assert.deepEqual(
    [server, producer, consumer, client].map(span => span.parentSpanId),
    [spanId, server.spanId, producer.spanId, consumer.spanId],
  )
  assert.deepEqual(
    [server, producer, consumer, client].map(({ name }) => name),
    ['tools/call write', 'send holdfast.calls', 'process holdfast.calls', 'tools/call write'],
  )
  assert.deepEqual(
    [server, producer, consumer, client].map(({ scope }) => scope),
    ['holdfast/front', 'holdfast/front', 'holdfast/broker', 'holdfast/broker'],
  )
  assert.equal(server.service, 'bank-gate')
  assert.equal(server.attributes['mcp.method.name'], 'tools/call')
  assert.equal(server.attributes['holdfast.state'], 'succeeded')
  assert.equal(consumer.attributes['messaging.consumer.group.name'], 'holdfast-broker')
  assert.equal(spans.length, 4)

  const received = lab.calls().find(({ arguments: args }) => args['what'] === 'traced')
  const upstream = { traceId, spanId: client.spanId }
  assert.deepEqual(partsOf(received?.meta['traceparent']), upstream)
  assert.equal(received?.meta['tracestate'], 'vendor=1')
  assert.deepEqual(partsOf(received?.headers['traceparent']), upstream)
})

test('the history names the trace of a call', async () => {
  const { traceId, traceparent } = newContext()
  await call(node, 'write', { what: 'in history', idempotency_key: 'in-history' }, { traceparent })
  const [row] = await eventually(async () => {
    const rows = await node.sql<{ trace: string }>(
      `select trace from holdfast.events where idempotency_key = 'in-history' and trace != ''`,
    )
    return rows.length > 0 ? rows : undefined
  })
  assert.equal(partsOf(row?.trace).traceId, traceId)
})

test('a read is one trace: agent, front, server', async () => {
  const { traceId, spanId, traceparent } = newContext()
  await call(node, 'echo', { what: 'read' }, { traceparent })
  const spans = await collector.waitFor(traceId, 2)
  assert.equal(one(spans, 'SERVER').parentSpanId, spanId)
  assert.equal(one(spans, 'CLIENT').parentSpanId, one(spans, 'SERVER').spanId)
})

test('a trace that comes in the HTTP header is continued as one in _meta is', async () => {
  const { traceId, spanId, traceparent } = newContext()
  const client = await node.modern({
    path: '/lab',
    fetch: (url, init) => {
      const headers = new Headers(init?.headers)
      headers.set('traceparent', traceparent)
      return fetch(url, { ...init, headers })
    },
  })
  await client.callTool({ name: 'write', arguments: { what: 'by header', idempotency_key: 'by-header' } })
  const spans = await collector.waitFor(traceId, 4)
  assert.equal(one(spans, 'SERVER').parentSpanId, spanId)
})

test('a repeated call has a trace of its own, without a dispatch, linked to that of the operation', async () => {
  const args = { what: 'repeated', idempotency_key: 'repeated' }
  const [first, second] = [newContext(), newContext()]
  await call(node, 'write', args, { traceparent: first.traceparent })
  await call(node, 'write', args, { traceparent: second.traceparent })
  const original = await collector.waitFor(first.traceId, 4)
  const repeated = await collector.waitFor(second.traceId, 3)
  assert.deepEqual(repeated.map(({ kind }) => kind).sort(), ['CONSUMER', 'PRODUCER', 'SERVER'])
  const consumer = one(repeated, 'CONSUMER')
  assert.equal(consumer.attributes['holdfast.joined'], 'replayed')
  assert.deepEqual(
    consumer.links.map(link => ({ traceId: link.traceId, spanId: link.spanId })),
    [{ traceId: first.traceId, spanId: one(original, 'CONSUMER').spanId }],
  )
})

test('a call without a trace begins one', async () => {
  await call(node, 'write', { what: 'untraced', idempotency_key: 'untraced' })
  const received = lab.calls().find(({ arguments: args }) => args['what'] === 'untraced')
  const { traceId } = partsOf(received?.meta['traceparent'])
  const spans = await collector.waitFor(traceId as string, 4)
  assert.equal(one(spans, 'SERVER').parentSpanId, undefined)
})

test('a failed tool is an error in its spans, and a refused call in that of front', async () => {
  const [failed, refused] = [newContext(), newContext()]
  await call(node, 'fail', { what: 'no', idempotency_key: 'fails' }, { traceparent: failed.traceparent })
  await call(node, 'write', { what: 'keyless' }, { traceparent: refused.traceparent })
  const spans = await collector.waitFor(failed.traceId, 4)
  for (const kind of ['SERVER', 'CLIENT'] as const) {
    assert.equal(one(spans, kind).isError, true)
    assert.equal(one(spans, kind).attributes['error.type'], 'tool_error')
  }
  const [server] = await collector.waitFor(refused.traceId, 1)
  assert.equal(server?.attributes['error.type'], 'idempotency_key_required')
})

test('without an endpoint nothing is exported, and the trace of the caller goes on to the server as it came', async () => {
  await using quiet = await startNode({ yaml: yaml(), env: { OTEL_EXPORTER_OTLP_ENDPOINT: '' } })
  const { traceparent } = newContext()
  await call(quiet, 'write', { what: 'quiet', idempotency_key: 'quiet' }, { traceparent, tracestate: 'vendor=2' })
  const received = lab.calls().find(({ arguments: args }) => args['what'] === 'quiet')
  assert.equal(received?.meta['traceparent'], traceparent)
  assert.equal(received?.meta['tracestate'], 'vendor=2')
  assert.equal(received?.headers['traceparent'], traceparent)
})

/** Takes connections and never answers. */
async function startBlackHole(): Promise<{ url: string; server: Server }> {
  const server = createServer(() => {})
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, server }
}

test('a collector that is gone, or never answers, costs calls nothing and a stop two seconds', async () => {
  const hole = await startBlackHole()
  try {
    for (const url of ['http://127.0.0.1:9', hole.url]) {
      const env = {
        OTEL_EXPORTER_OTLP_ENDPOINT: url,
        OTEL_BSP_SCHEDULE_DELAY: '20',
        OTEL_BSP_MAX_QUEUE_SIZE: '16',
        OTEL_BSP_MAX_EXPORT_BATCH_SIZE: '8',
        OTEL_EXPORTER_OTLP_TIMEOUT: '300',
        OTEL_BSP_EXPORT_TIMEOUT: '400',
      }
      await using dark = await startNode({ yaml: yaml(), env })
      const name = new URL(url).port
      const client = await dark.modern({ path: '/lab' })
      const writes = Array.from({ length: 60 }, (_, n) =>
        client.callTool({
          name: 'write',
          arguments: { what: `dark ${name}`, n, idempotency_key: `dark-${name}-${n}` },
        }),
      )
      const answers = await Promise.all(writes)
      assert.deepEqual([...new Set(answers.map(answer => outcomeOf(answer).state))], ['succeeded'])
      await eventually(async () => {
        const exposed = await scrape(new URL('/metrics', dark.ready().mcp).href)
        return valueOf(exposed, 'holdfast_trace_exports_failed_total') > 0 ? true : undefined
      })
      assert.equal(lab.effects().filter(({ arguments: args }) => args['what'] === `dark ${name}`).length, 60)
      const began = performance.now()
      assert.equal(await dark.interrupt(), 0)
      assert.ok(performance.now() - began < 5_000, 'a stop does not wait for the collector')
    }
  } finally {
    hole.server.closeAllConnections()
    hole.server.close()
  }
})
