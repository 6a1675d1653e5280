import assert from 'node:assert/strict'
import test from 'node:test'
import type { Seen } from '../../shared/call/seen.ts'
import { done, hang, openLab, outcome, refused, told } from '../helpers/broker.ts'

const question = (state: string): Seen => ({
  kind: 'input_required',
  raw: `{"resultType":"input_required","requestState":"${state}","inputRequests":{"pin":{}}}`,
  requestState: state,
})
const inputs = (state: string, pin: string) => ({ inputs: { requestState: state, inputResponses: { pin } } })

test('a question waits, one continuation wins, the same inputs attach and others conflict', async () => {
  await using lab = await openLab()
  const broker = await lab.start({ consume: false })
  let open = () => {}
  const answered = new Promise<Seen>(resolve => {
    open = () => resolve(done)
  })
  lab.upstream.plan(
    'key',
    () => question('s1'),
    () => answered,
  )
  const first = lab.submitOf('key')
  await broker.deliver(first)
  const asked = await outcome(lab.replyTo(first.callId))
  assert.equal(told(asked), 'own awaiting_input')
  assert.match(String(asked.record.answer?.raw), /"requestState":"s1"/)

  const plain = lab.submitOf('key')
  await broker.deliver(plain)
  const replayed = await outcome(lab.replyTo(plain.callId))
  assert.equal(told(replayed), 'replayed awaiting_input')
  assert.equal(replayed.record.answer?.raw, asked.record.answer?.raw)

  const [winner, same, other] = [
    lab.submitOf('key', inputs('s1', '1')),
    lab.submitOf('key', inputs('s1', '1')),
    lab.submitOf('key', inputs('s1', '2')),
  ]
  await broker.deliver(winner, same, other)
  assert.equal(told(await lab.replyTo(other.callId)), 'conflicted executing input_conflict')
  await broker.deliver(winner, first)
  open()
  assert.equal(told(await lab.replyTo(winner.callId)), 'own succeeded')
  assert.equal(told(await lab.replyTo(same.callId)), 'attached succeeded')
  const request = lab.upstream.sent.at(-1)?.request
  assert.deepEqual(request?.inputs, { requestState: 's1', inputResponses: { pin: '1' } })
  assert.equal(lab.upstream.count('key'), 2)
  await lab.check()
})

test('of two continuations at two brokers at once one is sent', async () => {
  await using lab = await openLab()
  const [one, two] = [await lab.start({ consume: false }), await lab.start({ consume: false })]
  for (let round = 0; round < 10; round += 1) {
    const key = `key${round}`
    lab.upstream.plan(
      key,
      () => question('s1'),
      () => done,
    )
    await one.deliver(lab.submitOf(key))
    await lab.rowIn(key, 'awaiting_input')
    const both = [lab.submitOf(key, inputs('s1', '1')), lab.submitOf(key, inputs('s1', '2'))] as const
    await Promise.all([one.deliver(both[0]), two.deliver(both[1])])
    await lab.rowIn(key, 'succeeded')
    assert.equal(lab.upstream.count(key), 2)
  }
  await lab.check()
})

test('an answer to another question conflicts and leaves the question open', async () => {
  await using lab = await openLab()
  const broker = await lab.start({ consume: false })
  lab.upstream.plan(
    'key',
    () => question('s1'),
    () => question('s2'),
    () => done,
  )
  await broker.deliver(lab.submitOf('key'))
  await lab.rowIn('key', 'awaiting_input')
  const wrong = lab.submitOf('key', inputs('s0', '1'))
  await broker.deliver(wrong)
  assert.equal(told(await lab.replyTo(wrong.callId)), 'conflicted awaiting_input input_conflict')
  const second = lab.submitOf('key', inputs('s1', '1'))
  await broker.deliver(second)
  assert.equal(told(await lab.replyTo(second.callId)), 'own awaiting_input')
  const third = lab.submitOf('key', inputs('s2', '1'))
  await broker.deliver(third)
  const reply = await outcome(lab.replyTo(third.callId))
  assert.equal(told(reply), 'own succeeded')
  assert.deepEqual([reply.record.operation.round, reply.record.operation.attempts], [3, 3])
  await lab.check()
})

test('a question is answered through another broker after the first has stopped', async () => {
  await using lab = await openLab()
  const first = await lab.start()
  lab.upstream.plan(
    'key',
    () => question('s1'),
    () => done,
  )
  assert.equal(told(await (await lab.submit('key')).reply()), 'own awaiting_input')
  await first.stop()
  await lab.start()
  assert.equal(told(await (await lab.submit('key', inputs('s1', '1'))).reply()), 'own succeeded')
  await lab.check()
})

test('a continuation that was not sent leaves unknown: an earlier round was (I3)', async () => {
  await using lab = await openLab()
  const broker = await lab.start({ consume: false })
  lab.upstream.plan(
    'key',
    () => question('s1'),
    () => refused,
  )
  await broker.deliver(lab.submitOf('key'))
  await lab.rowIn('key', 'awaiting_input')
  const second = lab.submitOf('key', inputs('s1', '1'))
  await broker.deliver(second)
  assert.equal(told(await lab.replyTo(second.callId)), 'own unknown not_sent')
  await lab.check()
})

test('a queued continuation that is cancelled is answered at once', async () => {
  await using lab = await openLab({ concurrency: 1 })
  const broker = await lab.start({ consume: false })
  lab.upstream.plan(
    'key',
    () => question('s1'),
    () => done,
  )
  await broker.deliver(lab.submitOf('key'))
  await lab.rowIn('key', 'awaiting_input')
  lab.upstream.plan('other', hang)
  const second = lab.submitOf('key', inputs('s1', '1'))
  await broker.deliver(lab.submitOf('other'), second)
  await broker.deliver(lab.cancelOf(second))
  assert.equal(told(await lab.replyTo(second.callId, 2_000)), 'own unknown cancelled')
  assert.equal(lab.upstream.count('key'), 1)
  await lab.check()
})

test('a twin stays refused while the first change waits for an answer', async () => {
  await using lab = await openLab()
  const broker = await lab.start({ consume: false })
  const args = { amount: 5 }
  lab.upstream.plan('first', () => question('s1'))
  await broker.deliver(lab.submitOf('first', { args }))
  await lab.rowIn('first', 'awaiting_input')
  const twin = lab.submitOf('twin', { args })
  await broker.deliver(twin)
  assert.equal(told(await lab.replyTo(twin.callId)), 'conflicted awaiting_input possible_duplicate')
  await lab.check()
})
