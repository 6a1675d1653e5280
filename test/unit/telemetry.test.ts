import assert from 'node:assert/strict'
import test from 'node:test'
import { carrierOf, withCarrier } from '../../shared/telemetry/carrier.ts'
import { catalogue } from '../../shared/telemetry/catalogue.ts'
import { createExposition } from '../../shared/telemetry/exposition.ts'
import { createMetrics } from '../../shared/telemetry/metrics.ts'
import { createProbe } from '../../shared/telemetry/probe.ts'
import { exportsTraces } from '../../shared/telemetry/tracing.ts'
import { readExposition } from '../helpers/metrics.ts'

const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'

test('only a trace context that a tracer could read is taken as one', () => {
  assert.deepEqual(carrierOf({ traceparent, tracestate: 'a=1' }), { traceparent, tracestate: 'a=1' })
  assert.deepEqual(carrierOf({ traceparent, tracestate: 'a'.repeat(513) }), { traceparent })
  for (const wrong of [
    undefined,
    1,
    '',
    traceparent.toUpperCase(),
    `ff${traceparent.slice(2)}`,
    '00-00000000000000000000000000000000-b7ad6b7169203331-01',
    '00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01',
    `${traceparent}\r\nx: y`,
  ])
    assert.equal(carrierOf({ traceparent: wrong }), undefined, String(wrong))
})

test('a context replaces the one before it whole', () => {
  assert.deepEqual(withCarrier({ traceparent: 'old', tracestate: 'old', kept: 1 }, { traceparent }), {
    kept: 1,
    traceparent,
  })
})

test('metrics are open on loopback, and behind the token elsewhere', async () => {
  const metrics = createMetrics()
  const status = async (host: string, token: string | undefined, authorization?: string) =>
    (await createExposition(metrics, { host, token })(authorization)).status
  assert.equal(await status('127.0.0.1', undefined), 200)
  assert.equal(await status('::1', 'internal-token-of-16'), 200)
  assert.equal(await status('0.0.0.0', undefined), 401)
  assert.equal(await status('0.0.0.0', undefined, 'Bearer undefined'), 401)
  assert.equal(await status('0.0.0.0', 'internal-token-of-16'), 401)
  assert.equal(await status('0.0.0.0', 'internal-token-of-16', 'Bearer another'), 401)
  assert.equal(await status('0.0.0.0', 'internal-token-of-16', 'Bearer internal-token-of-16'), 200)
})

test('an exposition shows what was declared, and a gauge only once it is known', async () => {
  const metrics = createMetrics()
  metrics.declare('holdfast_lease_lost_total', 'holdfast_outbox_rows')
  const samples = async () =>
    readExposition(await metrics.text()).samples.filter(({ name }) => name.startsWith('holdfast'))
  assert.deepEqual(
    (await samples()).map(({ name, value }) => [name, value]),
    [['holdfast_lease_lost_total', 0]],
  )
  metrics.set('holdfast_outbox_rows', {}, 3)
  assert.equal((await samples()).find(({ name }) => name === 'holdfast_outbox_rows')?.value, 3)
  metrics.clear('holdfast_outbox_rows')
  assert.equal((await samples()).length, 1)
})

test('labels with quotes and line breaks are escaped as the format wants it', async () => {
  const metrics = createMetrics()
  const server = 'a "quoted"\nback\\slash'
  metrics.set('holdfast_lane_late', { server }, 1)
  const { samples } = readExposition(await metrics.text())
  assert.equal(samples.find(({ name }) => name === 'holdfast_lane_late')?.labels.server, server)
})

test('no metric has a label that knows no bounds, and histograms have no tool', () => {
  for (const [name, { kind, labels }] of Object.entries(catalogue)) {
    for (const label of labels)
      assert.ok(!/tenant|agent|key|conversation|session|call_?id/.test(label), `${name}: ${label}`)
    if (kind === 'histogram') assert.ok(!(labels as readonly string[]).includes('tool'), name)
    assert.equal(name.endsWith('_total'), kind === 'counter', name)
  }
})

test('a probe asks once for many scrapes, and a store that hangs costs a scrape its limit only', async () => {
  let time = 0
  let asked = 0
  let answer: (value: number) => void = () => {}
  const read = () => {
    asked += 1
    return new Promise<number>(resolve => (answer = resolve))
  }
  const probe = createProbe(read, { now: () => time, freshMs: 100, withinMs: 20 })
  assert.deepEqual(await Promise.all([probe(), probe()]), [undefined, undefined])
  assert.equal(await probe(), undefined)
  assert.equal(asked, 1, 'one question at a time')
  answer(7)
  await new Promise(resolve => setImmediate(resolve))
  assert.equal(await probe(), 7)
  time = 101
  const again = probe()
  answer(8)
  assert.equal(await again, 8)
  assert.equal(asked, 2)
})

test('a probe that fails tells nothing rather than what was true before', async () => {
  let time = 0
  let fails = false
  const read = async () => {
    if (fails) throw new Error('away')
    return 1
  }
  const probe = createProbe(read, { now: () => time, freshMs: 10, withinMs: 20 })
  assert.equal(await probe(), 1)
  fails = true
  time = 11
  assert.equal(await probe(), undefined)
})

test('traces are exported where the standard variables say so, and only there', () => {
  const endpoint = 'http://127.0.0.1:4318'
  assert.equal(exportsTraces({}), false)
  assert.equal(exportsTraces({ OTEL_EXPORTER_OTLP_ENDPOINT: '' }), false)
  assert.equal(exportsTraces({ OTEL_EXPORTER_OTLP_ENDPOINT: endpoint }), true)
  assert.equal(exportsTraces({ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: endpoint }), true)
  assert.equal(exportsTraces({ OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_TRACES_EXPORTER: 'none' }), false)
  assert.equal(exportsTraces({ OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_SDK_DISABLED: 'true' }), false)
})
