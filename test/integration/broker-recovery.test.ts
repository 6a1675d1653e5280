/** Recovery over the real statements and the real journal, with an upstream that a test steers. */
import assert from 'node:assert/strict'
import test from 'node:test'
import type { ToolRecovery, ToolRules } from '../../services/broker/deps.ts'
import type { Seen } from '../../shared/call/seen.ts'
import { done, eventually, faulty, hang, type Lab, lost, openLab, outcome, told } from '../helpers/broker.ts'

const minute = 60_000
const replays: ToolRecovery = {
  attempts: 5,
  timeMs: 60 * minute,
  timeoutMs: 100,
  lateWindowMs: 10_000,
  carrier: { meta: 'example.com/key' },
  replay: { keepsMs: 60 * minute, pauseMs: 1_000 },
}

/** A server whose records can be asked for; `there` says what a look finds. */
function probing(there: () => boolean | 'error', more: Partial<ToolRecovery> = {}): ToolRecovery {
  return {
    attempts: 6,
    timeMs: 60 * minute,
    timeoutMs: 100,
    lateWindowMs: 200,
    probe: { afterMs: 100, everyMs: 50, consistent: true },
    look: {
      tool: 'find',
      timeoutMs: 1_000,
      argumentsFor: ({ call }) => ({ json: JSON.stringify({ reference: call.reference }) }),
      landed: () => {
        const found = there()
        return found === 'error' ? { problem: 'no idea' } : found
      },
    },
    ...more,
  }
}

const rulesOf = (recovery: ToolRecovery): Partial<ToolRules> => ({
  timeoutMs: recovery.timeoutMs,
  lateWindowMs: recovery.lateWindowMs,
  recovery,
})
const failed: Seen = {
  kind: 'error',
  raw: '{"code":-1,"message":"no such account"}',
  rpcCode: -1,
  message: '',
  http: 200,
}
const fast = { recoverMs: 20 }

const typesOf = async (lab: Lab) => {
  const events = (await lab.events()).filter(({ data }) => data.stream === data.operationId)
  return events.sort((a, b) => Number(a.data.sequence) - Number(b.data.sequence)).map(({ type }) => type.slice(5))
}
const keptRows = async (lab: Lab) => (await lab.pool.query('select * from kept_calls')).rows
const evidenceOf = async (lab: Lab) =>
  (
    await lab.pool.query<{ kind: string; says: string; raw: string | null }>(
      'select kind, says, raw from evidence order by sequence',
    )
  ).rows
/** Makes what is planned for later due now. */
const hurry = (lab: Lab) =>
  lab.pool.query(`update operations set recover_at_ms = now_ms(), recovery = jsonb_set(recovery::jsonb, '{next,at}', to_jsonb(now_ms()))::json
    where recover_at_ms > now_ms() and recovery is not null`)
const nextOf = async (lab: Lab) =>
  (await lab.pool.query<{ recovery: { next?: { step: string }; over?: string } }>('select recovery from operations'))
    .rows[0]?.recovery

test('a lost answer is asked for again with the same derived key, and the first answer is the outcome, byte for byte', async () => {
  await using lab = await openLab({ rules: rulesOf(replays), ...fast })
  const broker = await lab.start({ consume: false })
  lab.upstream.plan(
    'key',
    () => lost,
    () => done,
  )
  const command = lab.submitOf('key')
  await broker.deliver(command)
  assert.equal(told(await lab.replyTo(command.callId)), 'own unknown connection_lost')
  assert.equal((await keptRows(lab)).length, 1)
  const row = await lab.rowIn('key', 'succeeded')
  assert.deepEqual([row.evidence, row.attempts, row.epoch, row.round], ['upstream_replay', 2, 1, 1])
  const sent = lab.upstream.sent.filter(({ key }) => key === 'key').map(({ request }) => request)
  const keys = sent.map(({ meta }) => meta?.['example.com/key'])
  assert.match(String(keys[0]), /^hf-[0-9a-f]{32}$/)
  assert.deepEqual(new Set(keys).size, 1)
  assert.deepEqual(
    sent.map(({ argumentsJson }) => argumentsJson),
    [command.arguments, command.arguments],
  )
  const again = lab.submitOf('key')
  await broker.deliver(again)
  const replayed = await outcome(lab.replyTo(again.callId))
  assert.equal(replayed.record.answer?.raw, (done as { raw: string }).raw)
  assert.deepEqual(await typesOf(lab), ['dispatched', 'lost', 'dispatched', 'succeeded'])
  assert.deepEqual(await keptRows(lab), [])
  await lab.check(2)
})

test('what is kept of a call is sealed, and gone once the call succeeds; a tool without recovery keeps nothing', async () => {
  await using lab = await openLab({ rules: rulesOf(replays), ...fast })
  const broker = await lab.start({ consume: false })
  const gate = lab.upstream.gate('key')
  await broker.deliver(lab.submitOf('key', { args: { secret: 'four words of it' } }))
  const [kept] = await keptRows(lab)
  assert.ok(!JSON.stringify(kept).includes('four words'))
  gate.open(done)
  await lab.rowIn('key', 'succeeded')
  assert.deepEqual(await keptRows(lab), [])
  await using plain = await openLab()
  const other = await plain.start({ consume: false })
  plain.upstream.plan('key', () => lost)
  await other.deliver(plain.submitOf('key'))
  await plain.rowIn('key', 'unknown')
  assert.deepEqual(await keptRows(plain), [])
})

for (const [name, seen] of [
  ['turned away', { kind: 'http', status: 429, session: false, excerpt: '' }],
  ['not sent', { kind: 'not_sent', why: 'refused', message: 'nobody listens' }],
  ['answered with an error', failed],
] as const) {
  test(`a replay that is ${name} proves nothing about the first attempt`, async () => {
    await using lab = await openLab({ rules: rulesOf({ ...replays, attempts: 1 }), ...fast })
    const broker = await lab.start({ consume: false })
    lab.upstream.plan(
      'key',
      () => lost,
      () => seen,
    )
    await broker.deliver(lab.submitOf('key'))
    await lab.rowIn('key', 'unknown')
    await hurry(lab)
    await eventually(
      async () => ((await nextOf(lab))?.over ? true : undefined),
      () => 'the budget was not spent',
    )
    const row = await lab.rowIn('key', 'unknown')
    assert.deepEqual([row.code, row.attempts], ['connection_lost', 2])
    assert.equal((await evidenceOf(lab))[0]?.kind, 'replay')
    assert.deepEqual(await keptRows(lab), [], 'nothing is planned any more')
    const again = lab.submitOf('key')
    await broker.deliver(again)
    assert.equal(told(await lab.replyTo(again.callId)), 'replayed unknown connection_lost')
    await lab.check(2)
  })
}

test('a late answer of the first attempt counts while a replay runs, and the answer to the replay is evidence', async () => {
  await using lab = await openLab({ rules: rulesOf(replays), ...fast })
  const broker = await lab.start({ consume: false })
  let answerFirst: (seen: Seen) => void = () => {}
  let answerSecond: (seen: Seen) => void = () => {}
  lab.upstream.plan(
    'key',
    () => new Promise<Seen>(resolve => (answerFirst = resolve)),
    () => new Promise<Seen>(resolve => (answerSecond = resolve)),
  )
  await broker.deliver(lab.submitOf('key'))
  await lab.rowIn('key', 'unknown')
  await hurry(lab)
  await lab.upstream.sentTimes('key', 2)
  answerFirst(done)
  const row = await lab.rowIn('key', 'succeeded')
  assert.equal(row.evidence, 'late_answer')
  answerSecond(failed)
  const late = await eventually(
    async () => (await lab.events()).find(({ type }) => type === 'call.answered_late'),
    () => 'the second answer was not kept',
  )
  assert.equal(late.data.attempt, 2)
  assert.equal((await lab.row('key'))?.state, 'succeeded')
  await lab.check(2)
})

test('when every attempt ended with a definite error the outcome is failed', async () => {
  await using lab = await openLab({ rules: rulesOf(replays), ...fast })
  const broker = await lab.start({ consume: false })
  let answerFirst: (seen: Seen) => void = () => {}
  lab.upstream.plan(
    'key',
    () => new Promise<Seen>(resolve => (answerFirst = resolve)),
    () => failed,
  )
  await broker.deliver(lab.submitOf('key'))
  await lab.rowIn('key', 'unknown')
  await hurry(lab)
  await lab.upstream.sentTimes('key', 2)
  await lab.rowIn('key', 'unknown')
  answerFirst(failed)
  assert.equal((await lab.rowIn('key', 'failed')).evidence, 'late_answer')
  await lab.check(2)
})

test('a repeated call joins the recovery and hears how it ends', async () => {
  await using lab = await openLab({ rules: rulesOf(replays), ...fast })
  const broker = await lab.start({ consume: false })
  lab.upstream.plan(
    'key',
    () => lost,
    () => done,
  )
  await broker.deliver(lab.submitOf('key'))
  await lab.rowIn('key', 'unknown')
  const again = lab.submitOf('key')
  await broker.deliver(again)
  const heard = () => lab.replies.filter(({ callId }) => callId === again.callId).map(told)
  await eventually(
    async () => (heard().includes('attached succeeded') ? true : undefined),
    () => heard().join(),
  )
  assert.equal(heard()[0], 'attached unknown connection_lost')
  await lab.check(2)
})

test('a look that finds the change settles it, and says that it was a look', async () => {
  let there = false
  await using lab = await openLab({ rules: rulesOf(probing(() => there, { inject: 'memo' })), ...fast })
  const broker = await lab.start({ consume: false })
  lab.upstream.plan('key', () => ((there = true), lost))
  await broker.deliver(lab.submitOf('key'))
  const row = await lab.rowIn('key', 'succeeded')
  assert.deepEqual([row.evidence, row.attempts], ['probe', 1])
  const [call] = lab.upstream.sent.filter(({ key }) => key === 'key')
  const [asked] = lab.upstream.sent.filter(({ request }) => request.tool === 'find')
  const { memo, ...own } = JSON.parse(call?.request.argumentsJson ?? '{}')
  assert.deepEqual(own, { change: 'key' })
  assert.deepEqual(JSON.parse(asked?.request.argumentsJson ?? '{}'), { reference: memo })
  const record = await lab.outcomeOf(row.call_id)
  assert.equal(record?.answer, undefined, 'the server never answered the call')
  assert.deepEqual(await keptRows(lab), [])
  await lab.check()
})

test('two looks that do not find it close the key where that is proof, and it is never sent again', async () => {
  await using lab = await openLab({ rules: rulesOf(probing(() => false)), ...fast })
  const broker = await lab.start({ consume: false })
  lab.upstream.plan('key', () => lost)
  await broker.deliver(lab.submitOf('key'))
  const row = await lab.rowIn('key', 'not_executed')
  assert.deepEqual([row.evidence, row.code, row.reopenable], ['probe', 'settled_not_executed', false])
  assert.deepEqual(await typesOf(lab), ['dispatched', 'lost', 'probed', 'not_executed'])
  const again = lab.submitOf('key')
  await broker.deliver(again)
  assert.equal(told(await lab.replyTo(again.callId)), 'replayed not_executed settled_not_executed')
  assert.equal(lab.upstream.count('key'), 1)
  await lab.check()
})

test('while the request may still be answered, "not there" closes nothing', async () => {
  await using lab = await openLab({ rules: rulesOf(probing(() => false, { lateWindowMs: 1_500 })), ...fast })
  const broker = await lab.start({ consume: false })
  const gate = lab.upstream.gate('key')
  await broker.deliver(lab.submitOf('key'))
  await lab.rowIn('key', 'unknown')
  await eventually(
    async () => ((await evidenceOf(lab)).length >= 2 ? true : undefined),
    () => 'no looks',
  )
  assert.equal((await lab.row('key'))?.state, 'unknown')
  gate.open(done)
  assert.equal((await lab.rowIn('key', 'succeeded')).evidence, 'late_answer')
  await lab.check()
})

test('where "not there" is no proof it stays unknown with what was seen, and says when nothing more is tried', async () => {
  const probe = { afterMs: 50, everyMs: 10, consistent: false }
  await using lab = await openLab({ rules: rulesOf(probing(() => false, { probe, attempts: 2 })), ...fast })
  const broker = await lab.start({ consume: false })
  lab.upstream.plan('key', () => lost)
  await broker.deliver(lab.submitOf('key'))
  await eventually(
    async () => ((await nextOf(lab))?.over ? true : undefined),
    () => 'the budget was not spent',
  )
  assert.equal((await lab.row('key'))?.state, 'unknown')
  const evidence = await evidenceOf(lab)
  assert.deepEqual(
    evidence.map(({ says }) => says),
    ['the change is not there', 'the change is not there'],
  )
  assert.deepEqual(await keptRows(lab), [])
  await lab.check()
})

for (const [name, seen, there] of [
  ['fails', failed, true],
  ['answers with isError', { kind: 'result', raw: '{"content":[],"isError":true}', isError: true }, true],
  ['is lost', lost, true],
  ['cannot be judged', done, 'error'],
] as const) {
  test(`a look that ${name} is neither: it settles nothing`, async () => {
    await using lab = await openLab({ rules: rulesOf(probing(() => there, { attempts: 2 })), ...fast })
    const broker = await lab.start({ consume: false })
    lab.upstream.plan('key', () => lost)
    lab.upstream.plan('find', () => seen)
    await broker.deliver(lab.submitOf('key'))
    await eventually(
      async () => ((await nextOf(lab))?.over ? true : undefined),
      () => 'the budget was not spent',
    )
    assert.equal((await lab.row('key'))?.state, 'unknown')
    await lab.check()
  })
}

test('where the caller set the injected argument it stays, and the call is not probed', async () => {
  await using lab = await openLab({ rules: rulesOf(probing(() => false, { inject: 'memo' })), ...fast })
  const broker = await lab.start({ consume: false })
  lab.upstream.plan('key', () => lost)
  await broker.deliver(lab.submitOf('key', { args: { memo: 'rent' } }))
  await eventually(
    async () => ((await nextOf(lab))?.over === 'unavailable' ? true : undefined),
    () => 'it was not given up',
  )
  assert.equal((await lab.row('key'))?.state, 'unknown')
  assert.deepEqual(JSON.parse(lab.upstream.sent[0]?.request.argumentsJson ?? ''), { memo: 'rent' })
  assert.equal(lab.upstream.count('find'), 0)
  assert.deepEqual(await keptRows(lab), [])
  await lab.check()
})

test('a request that went out without a key is not replayed after the configuration says that keys are honoured', async () => {
  const { carrier: _, replay: __, ...rest } = replays
  await using lab = await openLab({ ...fast })
  const first = await lab.start({
    consume: false,
    rules: rulesOf({ ...rest, ...probing(() => 'error'), attempts: 20 }),
  })
  lab.upstream.plan('key', () => lost)
  await first.deliver(lab.submitOf('key'))
  await lab.rowIn('key', 'unknown')
  await first.stop()
  await hurry(lab)
  await lab.start({ consume: false, rules: rulesOf(replays) })
  await eventually(
    async () => ((await nextOf(lab))?.over === 'unavailable' ? true : undefined),
    () => 'it was not given up',
  )
  assert.equal(lab.upstream.count('key'), 1)
  await lab.check()
})

test('a kept call that was sealed with another secret is never sent, and the operator is told why by the record', async () => {
  await using lab = await openLab({ rules: rulesOf(replays), recoverMs: 60_000 })
  const broker = await lab.start({ consume: false })
  lab.upstream.plan('key', () => lost)
  await broker.deliver(lab.submitOf('key'))
  await lab.rowIn('key', 'unknown')
  await lab.pool.query(`update kept_calls set key_id = 'another'`)
  await hurry(lab)
  await lab.start({ consume: false, recoverMs: 20 })
  await eventually(
    async () => ((await nextOf(lab))?.over === 'unavailable' ? true : undefined),
    () => 'it was not given up',
  )
  assert.equal(lab.upstream.count('key'), 1)
  await lab.check()
})

test('a broker that dies in a replay leaves an unknown, and another one goes on with it', async () => {
  await using lab = await openLab({ rules: rulesOf({ ...replays, timeoutMs: 60_000 }), ...fast })
  const first = await lab.start({ consume: false, leaseMs: 300 })
  lab.upstream.plan(
    'key',
    () => lost,
    hang,
    () => done,
  )
  await first.deliver(lab.submitOf('key'))
  await lab.rowIn('key', 'unknown')
  await lab.upstream.sentTimes('key', 2)
  await lab.rowIn('key', 'executing')
  await first.stop()
  await lab.start({ consume: false })
  await lab.rowIn('key', 'unknown')
  await hurry(lab)
  const row = await lab.rowIn('key', 'succeeded')
  assert.equal(row.attempts, 3)
  await lab.check(3)
})

test('many brokers that find the same step make one attempt of it', async () => {
  await using lab = await openLab({ rules: rulesOf(replays), recoverMs: 5, recoverLeaseMs: 1 })
  const brokers = await Promise.all([1, 2, 3].map(() => lab.start({ consume: false })))
  const keys = Array.from({ length: 10 }, (_, index) => `key ${index}`)
  for (const key of keys)
    lab.upstream.plan(
      key,
      () => lost,
      () => done,
    )
  await brokers[0]?.deliver(...keys.map(key => lab.submitOf(key)))
  for (const key of keys) assert.equal((await lab.rowIn(key, 'succeeded')).attempts, 2)
  for (const key of keys) assert.equal(lab.upstream.count(key), 2)
  await lab.check(2)
})

test('recovery takes no slot that a call wants', async () => {
  const recovery = probing(() => 'error', { attempts: 50 })
  await using lab = await openLab({ rules: { ...rulesOf(recovery), timeoutMs: 30_000 }, concurrency: 2, ...fast })
  const broker = await lab.start({ consume: false })
  lab.upstream.plan('key', () => lost)
  lab.upstream.plan('find', hang)
  await broker.deliver(lab.submitOf('key'))
  await lab.upstream.sentTimes('find')
  const gates = ['a', 'b'].map(key => lab.upstream.gate(key))
  await broker.deliver(lab.submitOf('a'), lab.submitOf('b'))
  await lab.upstream.sentTimes('a')
  gates[0]?.open(done)
  await lab.upstream.sentTimes('b')
  gates[1]?.open(done)
  await lab.rowIn('b', 'succeeded')
  await lab.check()
})

let words = 0
const word = (callId: string, as: 'succeeded' | 'failed' | 'not_executed') => ({
  ...{
    id: `word ${(words += 1)}`,
    tenant: 'tenant',
    callId,
    as,
    reason: 'looked at the books',
    by: { agent: 'anna', credential: 'c1' },
  },
})

test('a person settles an unknown, on record with who and why, and a key closed so is never sent again', async () => {
  await using lab = await openLab({ rules: rulesOf(replays), recoverMs: 60_000 })
  const broker = await lab.start({ consume: false })
  lab.upstream.plan('key', () => lost)
  const command = lab.submitOf('key')
  await broker.deliver(command)
  await lab.rowIn('key', 'unknown')
  const { port } = broker.running
  const [listed] = await port.unknowns({ tenant: 'tenant', limit: 10 })
  assert.equal(listed?.record.operation.callId, command.callId)
  assert.deepEqual(await port.unknowns({ tenant: 'another', limit: 10 }), [])
  assert.equal((await port.resolve({ ...word(command.callId, 'succeeded'), tenant: 'another' })).kind, 'no_such_call')
  const given = word(command.callId, 'not_executed')
  assert.equal((await port.resolve(given)).kind, 'resolved')
  assert.equal((await port.resolve(given)).kind, 'resolved', 'the same word, asked again after a lost answer')
  const row = await lab.rowIn('key', 'not_executed')
  assert.deepEqual([row.evidence, row.reopenable], ['person', false])
  const event = (await lab.events()).find(({ type }) => type === 'call.resolved')
  assert.deepEqual(
    [event?.data.settledBy, event?.data.reason, event?.data.state],
    ['anna', 'looked at the books', 'not_executed'],
  )
  assert.equal((await port.resolve(word(command.callId, 'succeeded'))).kind, 'not_unknown')
  const again = lab.submitOf('key')
  await broker.deliver(again)
  assert.equal(told(await lab.replyTo(again.callId)), 'replayed not_executed settled_not_executed')
  assert.equal(lab.upstream.count('key'), 1)
  assert.deepEqual(await keptRows(lab), [])
  await lab.check()
})

test('of a person, a look and a late answer one settles it, and the others change nothing', async () => {
  for (const first of ['person', 'look', 'late answer'] as const) {
    await using lab = await openLab({ rules: rulesOf(probing(() => true, { lateWindowMs: 10_000 })), ...fast })
    const broker = await lab.start({ consume: false })
    let answerLook: (seen: Seen) => void = () => {}
    lab.upstream.plan('find', () => new Promise<Seen>(resolve => (answerLook = resolve)))
    const gate = lab.upstream.gate('key')
    const command = lab.submitOf('key')
    await broker.deliver(command)
    await lab.upstream.sentTimes('find')
    const moves = {
      person: () => broker.running.port.resolve(word(command.callId, 'not_executed')),
      look: async () => answerLook(done),
      'late answer': async () => gate.open(done),
    }
    await moves[first]()
    const row = await lab.rowIn('key', 'succeeded', 'not_executed')
    for (const [name, move] of Object.entries(moves)) if (name !== first) await move()
    const others = { person: 'call.resolved', look: 'call.probed', 'late answer': 'call.answered_late' }
    for (const [name, type] of Object.entries(others))
      if (name !== first && name !== 'person')
        await eventually(
          async () => (await lab.events()).find(event => event.type === type),
          () => `${type} is missing after ${first}`,
        )
    const after = await lab.row('key')
    assert.deepEqual([after?.state, after?.sequence], [row.state, row.sequence], first)
    await lab.check()
  }
})

test('what a lost COMMIT reply leaves open in a replay or a word is looked up, and done once', async () => {
  for (const when of ['before', 'after'] as const) {
    const fault = faulty([
      { name: 'advance_beside', hit: 1, when },
      { name: 'advance', hit: 2, when },
    ])
    await using lab = await openLab({ rules: rulesOf(replays), ...fast })
    const broker = await lab.start({ consume: false, db: fault.db })
    lab.upstream.plan(
      'key',
      () => lost,
      () => done,
    )
    await broker.deliver(lab.submitOf('key'))
    const row = await lab.rowIn('key', 'succeeded')
    assert.equal(row.attempts, 2)
    assert.ok(fault.struck.length > 0)
    assert.equal(lab.upstream.count('key'), 2)
    await lab.check(2)
  }
})
