import assert from 'node:assert/strict'
import test from 'node:test'
import type { Seen } from '../../shared/call/seen.ts'
import { done, eventually, hang, type Lab, openLab, outcome, told } from '../helpers/broker.ts'

const rules = { timeoutMs: 100, lateWindowMs: 10_000 }
const failed: Seen = {
  kind: 'error',
  raw: '{"code":-1,"message":"no such account"}',
  rpcCode: -1,
  message: '',
  http: 200,
}
const lateOf = async (lab: Lab) => (await lab.events()).filter(({ type }) => type === 'call.answered_late')

for (const [name, answer, state] of [
  ['result', done, 'succeeded'],
  ['error', failed, 'failed'],
] as const) {
  test(`a call without an answer in time is unknown, and a late ${name} settles it as ${state}`, async () => {
    await using lab = await openLab({ rules })
    const broker = await lab.start({ consume: false })
    const gate = lab.upstream.gate('key')
    const command = lab.submitOf('key')
    await broker.deliver(command)
    assert.equal(told(await lab.replyTo(command.callId)), 'own unknown timeout')
    const again = lab.submitOf('key')
    await broker.deliver(again)
    assert.equal(told(await lab.replyTo(again.callId)), 'replayed unknown timeout')
    gate.open(answer)
    const row = await lab.rowIn('key', state)
    assert.equal(row.evidence, 'late_answer')
    const third = lab.submitOf('key')
    await broker.deliver(third)
    const replayed = await outcome(lab.replyTo(third.callId))
    assert.equal(replayed.record.answer?.raw, (answer as { raw: string }).raw)
    assert.equal(lab.upstream.count('key'), 1)
    await lab.check()
  })
}

test('an answer after the final outcome is kept as call.answered_late and changes nothing (I2)', async () => {
  await using lab = await openLab({ rules })
  const broker = await lab.start({ consume: false })
  const gate = lab.upstream.gate('key')
  await broker.deliver(lab.submitOf('key'))
  const { operation_id: id, sequence } = await lab.rowIn('key', 'unknown')
  // A person has settled it meanwhile, through another broker.
  await lab.pool.query(
    `update operations set state = 'failed', code = 'upstream_error', evidence = 'person', finished_ms = now_ms(),
       sequence = sequence + 1 where operation_id = $1`,
    [id],
  )
  gate.open(done)
  const late = await eventually(
    async () => (await lateOf(lab))[0],
    () => 'the late answer was not kept',
  )
  assert.equal(late.data.operationId, id)
  assert.equal(late.data.reason, 'result')
  assert.ok(late.data.resultCommitment)
  const row = await lab.row('key')
  assert.deepEqual([row?.state, row?.sequence], ['failed', sequence + 1])
})

test('a late window that ends without an answer leaves unknown, and nothing says that an answer came', async () => {
  await using lab = await openLab({ rules: { timeoutMs: 60, lateWindowMs: 60 }, concurrency: 1 })
  const broker = await lab.start({ consume: false })
  lab.upstream.plan('key', hang)
  await broker.deliver(lab.submitOf('key'))
  await lab.rowIn('key', 'unknown')
  await eventually(
    async () => (broker.running.counts().every(({ late, inFlight }) => late + inFlight === 0) ? true : undefined),
    () => 'the late window did not end',
  )
  assert.equal((await lab.row('key'))?.state, 'unknown')
  assert.deepEqual(await lateOf(lab), [])
  await lab.check()
})

test('a late answer that is a doubt itself settles nothing', async () => {
  await using lab = await openLab({ rules })
  const broker = await lab.start({ consume: false })
  const gate = lab.upstream.gate('key')
  await broker.deliver(lab.submitOf('key'))
  await lab.rowIn('key', 'unknown')
  gate.open({ kind: 'http', status: 502, session: false, excerpt: 'bad gateway' })
  await eventually(
    async () => ((await lateOf(lab)).length === 1 ? true : undefined),
    () => 'the late answer was not kept',
  )
  assert.equal((await lab.row('key'))?.state, 'unknown')
  await lab.check()
})

test('calls past their time-out free their slots up to the late window, beyond it they keep them', async () => {
  await using lab = await openLab({ rules, concurrency: 2, queue: 10 })
  const broker = await lab.start({ consume: false })
  const keys = ['a', 'b', 'c', 'd', 'e']
  const gates = keys.map(key => lab.upstream.gate(key))
  await broker.deliver(...keys.map(key => lab.submitOf(key)))
  await lab.upstream.sentTimes('d')
  for (const key of ['a', 'b', 'c', 'd']) await lab.rowIn(key, 'unknown')
  const [{ inFlight, late, queued } = {}] = broker.running.counts()
  assert.deepEqual({ inFlight, late, queued }, { inFlight: 2, late: 2, queued: 1 })
  assert.equal(lab.upstream.count('e'), 0)
  gates[2]?.open(done)
  await lab.upstream.sentTimes('e')
  gates[4]?.open(done)
  await lab.rowIn('e', 'succeeded')
  await lab.check()
})

test('an upstream client that throws leaves unknown, and the broker goes on', async () => {
  await using lab = await openLab()
  const broker = await lab.start({ consume: false })
  lab.upstream.plan('key', () => {
    throw new Error('our own fault')
  })
  const command = lab.submitOf('key')
  await broker.deliver(command)
  assert.match(told(await lab.replyTo(command.callId)), /^own unknown/)
  const next = lab.submitOf('next')
  await broker.deliver(next)
  assert.equal(told(await lab.replyTo(next.callId)), 'own succeeded')
})
