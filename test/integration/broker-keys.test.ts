import assert from 'node:assert/strict'
import test from 'node:test'
import { done, eventually, hang, openLab, outcome, refused, told } from '../helpers/broker.ts'

test('a redelivered command whose operation runs in this very process is not sent a second time (I1)', async () => {
  await using lab = await openLab()
  const broker = await lab.start({ consume: false })
  const gate = lab.upstream.gate('invoice')
  const command = lab.submitOf('invoice')
  await broker.deliver(command)
  await lab.upstream.sentTimes('invoice')
  await broker.deliver(command)
  await broker.deliver(command, command)
  gate.open(done)
  assert.equal(told(await lab.replyTo(command.callId)), 'own succeeded')
  assert.equal(lab.upstream.count('invoice'), 1)
  await lab.check()
})

test('a thousand calls with one key are one dispatch and a thousand equal answers (I1)', async () => {
  await using lab = await openLab()
  const broker = await lab.start({ consume: false })
  const commands = Array.from({ length: 1_000 }, () => lab.submitOf('invoice'))
  await broker.deliver(...commands)
  const replies = await Promise.all(commands.map(({ callId }) => outcome(lab.replyTo(callId))))
  assert.equal(lab.upstream.count('invoice'), 1)
  assert.deepEqual(new Set(replies.map(({ record }) => record.answer?.raw)), new Set([(done as { raw: string }).raw]))
  assert.equal(replies.filter(({ how }) => how === 'own').length, 1)
  await lab.check()
})

test('of two calls for one change under two keys in one batch one is sent, the other names it (I5)', async () => {
  await using lab = await openLab()
  const broker = await lab.start({ consume: false })
  const args = { amount: 5 }
  const gates = ['a', 'b'].map(key => lab.upstream.gate(key))
  const commands = [lab.submitOf('a', { args }), lab.submitOf('b', { args })]
  await broker.deliver(...commands)
  const conflict = await eventually(
    async () => lab.replies.find(reply => told(reply).endsWith('possible_duplicate')),
    () => 'no refusal',
  )
  for (const gate of gates) gate.open(done)
  assert.equal(lab.upstream.sent.length, 1)
  const winner = lab.upstream.sent[0]?.callId as string
  assert.equal(told(await lab.replyTo(winner)), 'own succeeded')
  assert.ok(conflict.kind === 'outcome')
  assert.equal(conflict.record.operation.callId, winner)
  await lab.check()
})

test('twins at two brokers at once are one dispatch (I5)', async () => {
  await using lab = await openLab({ concurrency: 64 })
  const [one, two] = [await lab.start({ consume: false }), await lab.start({ consume: false })]
  for (let pair = 0; pair < 20; pair += 1) {
    const args = { pair }
    for (const side of ['a', 'b']) lab.upstream.plan(`${side}${pair}`, hang)
    const commands = [lab.submitOf(`a${pair}`, { args }), lab.submitOf(`b${pair}`, { args })] as const
    await Promise.all([one.deliver(commands[0]), two.deliver(commands[1])])
    const sent = ['a', 'b'].filter(side => lab.upstream.count(`${side}${pair}`) > 0)
    assert.equal(sent.length, 1, `pair ${pair}`)
    const loser = commands[sent[0] === 'a' ? 1 : 0]
    assert.match(told(await lab.replyTo(loser.callId)), /^conflicted executing possible_duplicate$/)
  }
  await lab.check()
})

test('a key that ends in ;after= passes the guard once, and only beside the call it names', async () => {
  await using lab = await openLab()
  const broker = await lab.start({ consume: false })
  const args = { amount: 5 }
  lab.upstream.plan('first', hang)
  const first = lab.submitOf('first', { args })
  await broker.deliver(first)
  const stranger = lab.submitOf(`other;after=${lab.ids.ulid()}`, { args })
  await broker.deliver(stranger)
  assert.match(told(await lab.replyTo(stranger.callId)), /possible_duplicate/)

  const keys = ['second', 'third', 'fourth'].map(name => `${name};after=${first.callId}`)
  for (const key of keys) lab.upstream.plan(key, hang)
  const deliberate = keys.map(key => lab.submitOf(key, { args }))
  await broker.deliver(...deliberate)
  assert.equal(keys.filter(key => lab.upstream.count(key) > 0).length, 1, 'one of them knew of every other')
  const plain = lab.submitOf('plain', { args })
  await broker.deliver(plain)
  assert.match(told(await lab.replyTo(plain.callId)), /possible_duplicate/)
  await lab.check()
})

test('a twin of a deliberate twin is refused although the first has ended', async () => {
  await using lab = await openLab()
  const broker = await lab.start({ consume: false })
  const args = { amount: 5 }
  const gate = lab.upstream.gate('first')
  const first = lab.submitOf('first', { args })
  await broker.deliver(first)
  const second = `second;after=${first.callId}`
  lab.upstream.plan(second, hang)
  await broker.deliver(lab.submitOf(second, { args }))
  assert.equal(lab.upstream.count(second), 1)
  gate.open(done)
  await lab.rowIn('first', 'succeeded')
  const plain = lab.submitOf('plain', { args })
  await broker.deliver(plain)
  assert.match(told(await lab.replyTo(plain.callId)), /possible_duplicate/)
  await lab.check()
})

test('a tool with `twins: allow` runs the same change under every key', async () => {
  await using lab = await openLab({ rules: { allowTwins: true } })
  const broker = await lab.start({ consume: false })
  const args = { amount: 5 }
  for (const key of ['a', 'b', 'c']) lab.upstream.plan(key, hang)
  await broker.deliver(...['a', 'b', 'c'].map(key => lab.submitOf(key, { args })))
  await Promise.all(['a', 'b', 'c'].map(key => lab.upstream.sentTimes(key)))
  await lab.check()
})

test('a key with another change behind it conflicts and is not sent (I5)', async () => {
  await using lab = await openLab()
  const broker = await lab.start({ consume: false })
  const [one, other] = [lab.submitOf('key', { args: { amount: 1 } }), lab.submitOf('key', { args: { amount: 2 } })]
  await broker.deliver(one, other)
  assert.equal(
    told(await lab.replyTo(other.callId))
      .split(' ')
      .at(-1),
    'idempotency_conflict',
  )
  assert.equal(lab.upstream.count('key'), 1)
  await lab.check()
})

test('a key that was provably not sent runs again under the next epoch, and its first command never does', async () => {
  await using lab = await openLab()
  const broker = await lab.start({ consume: false })
  lab.upstream.plan('key', () => refused, done_)
  const [first, second] = [lab.submitOf('key'), lab.submitOf('key')]
  await broker.deliver(first)
  assert.equal(told(await lab.replyTo(first.callId)), 'own not_executed not_sent')
  await broker.deliver(first)
  assert.equal(lab.upstream.count('key'), 0, 'a redelivery does not reopen')
  await broker.deliver(second)
  const reply = await outcome(lab.replyTo(second.callId))
  assert.equal(told(reply), 'own succeeded')
  assert.equal(reply.record.operation.epoch, 2)
  for (const command of [first, second, first]) await broker.deliver(command)
  assert.equal(lab.upstream.count('key'), 1)
  await lab.check()
})

test('a first command that is redelivered while its reopened key runs again is not sent', async () => {
  await using lab = await openLab()
  const broker = await lab.start({ consume: false })
  let open = () => {}
  const answered = new Promise<typeof done>(resolve => {
    open = () => resolve(done)
  })
  lab.upstream.plan(
    'key',
    () => refused,
    () => answered,
  )
  const [first, second] = [lab.submitOf('key'), lab.submitOf('key')]
  await broker.deliver(first)
  await lab.rowIn('key', 'not_executed')
  await broker.deliver(second)
  await lab.upstream.sentTimes('key')
  await broker.deliver(first, second, first)
  await broker.deliver(second)
  open()
  await lab.rowIn('key', 'succeeded')
  assert.equal(lab.upstream.count('key'), 1)
  await lab.check()
})

test('a key is not reopened while its change runs under another key', async () => {
  await using lab = await openLab()
  const broker = await lab.start({ consume: false })
  const args = { amount: 5 }
  lab.upstream.plan('first', () => refused, done_)
  lab.upstream.plan('second', hang)
  await broker.deliver(lab.submitOf('first', { args }))
  await lab.rowIn('first', 'not_executed')
  await broker.deliver(lab.submitOf('second', { args }))
  const again = lab.submitOf('first', { args })
  await broker.deliver(again)
  assert.equal(told(await lab.replyTo(again.callId)), 'conflicted executing possible_duplicate')
  assert.equal(lab.upstream.count('first'), 0)
  await lab.check()
})

test('a replay gives the recorded bytes, big integers and spaces included (I10)', async () => {
  await using lab = await openLab()
  const broker = await lab.start()
  const raw = '{ "content":[] ,"structuredContent":{"id":12345678901234567890123,"é":"\\u00e9\\u0000"}}'
  lab.upstream.plan('key', () => ({ kind: 'result', raw, isError: false }))
  const first = await lab.submit('key')
  assert.equal((await first.reply()).record.answer?.raw, raw)
  const second = await (await lab.submit('key')).reply()
  assert.equal(told(second), 'replayed succeeded')
  assert.equal(second.record.answer?.raw, raw)
  assert.equal(
    (
      await broker.running.port.outcome({
        viewer: { tenant: 'tenant', keyspace: 'agent' },
        by: 'call',
        callId: first.callId,
      })
    )?.answer?.raw,
    raw,
  )
  await lab.check()
})

test('what cannot be a command is rejected on record, and what comes behind it is handled', async () => {
  await using lab = await openLab()
  const broker = await lab.start({ consume: false })
  const [good, taken] = [lab.submitOf('good'), lab.submitOf('taken')]
  await broker.deliver(taken)
  const of = (fields: object) => JSON.stringify({ ...lab.submitOf('bad'), ...fields })
  const poison = [
    'not JSON',
    '{}',
    of({ key: 'nul\0' }),
    of({ receivedAt: 1.5 }),
    of({ dispatchBy: 8.7e15 }),
    of({ receivedAt: 8.7e15 }),
    of({ fingerprint: 'not hex' }),
    of({ tool: '\ud800' }),
    of({ inputs: { requestState: 's', inputResponses: { text: '\ud800' } } }),
    JSON.stringify({ ...lab.submitOf('other'), callId: taken.callId }),
    of({ callId: 'long', tenant: Array.from({ length: 4_000 }, () => lab.ids.ulid()).join('') }),
  ]
  await broker.deliverRaw(...poison, JSON.stringify(good))
  assert.equal(told(await lab.replyTo(good.callId)), 'own succeeded')
  assert.equal(lab.upstream.sent.length, 2)
  const { rows } = await lab.pool.query(`select value from journal_records where topic = 'holdfast.rejected'`)
  assert.equal(rows.length, poison.length, rows.map(row => row.value).join('\n'))
  const rejected = (await lab.events()).filter(({ type }) => type === 'record.rejected')
  assert.equal(rejected.length, poison.length)
  await lab.check()
})

test('a call that attaches to what another broker runs is told its end', async () => {
  await using lab = await openLab()
  const [one, two] = [await lab.start({ consume: false }), await lab.start({ consume: false })]
  const gate = lab.upstream.gate('key')
  await one.deliver(lab.submitOf('key'))
  const attached = lab.submitOf('key')
  await two.deliver(attached)
  gate.open(done)
  assert.equal(told(await lab.replyTo(attached.callId)), 'attached succeeded')
  await lab.check()
})

test('an expired key is never run again, and only its tombstone stays', async () => {
  await using lab = await openLab()
  const broker = await lab.start({ consume: false })
  await broker.deliver(lab.submitOf('key'))
  await lab.rowIn('key', 'succeeded')
  await lab.expire('key')
  const late = lab.submitOf('key')
  await broker.deliver(late)
  assert.equal(told(await lab.replyTo(late.callId)), 'replayed succeeded idempotency_key_expired')
  assert.equal(lab.upstream.count('key'), 1)
  await broker.stop()
  // Dropping runs at every start.
  await lab.start({ consume: false })
  await eventually(
    async () => ((await lab.pool.query('select from results')).rowCount === 0 ? true : undefined),
    () => 'the answer was not dropped',
  )
  assert.equal((await lab.row('key'))?.state, 'succeeded')
  await lab.check()
})

function done_() {
  return done
}
