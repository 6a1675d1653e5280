import assert from 'node:assert/strict'
import test from 'node:test'
import type { Seen } from '../../shared/call/seen.ts'
import { setTimeout as sleep } from 'node:timers/promises'
import { AppendDoubtful } from '../../shared/journal/port.ts'
import { done, eventually, type Fault, faulty, type Lab, openLab, outcome, refused, told } from '../helpers/broker.ts'

/**
 * The fault table: each statement breaks in each way on its first, second and third use, under a run that claims, queues,
 * attaches, asks, claims a fence, reopens and continues a question. Whatever breaks: one dispatch for each try, one
 * final record, and replies that are true.
 */
const statements = ['claim', 'advance', 'joins', 'fence', 'claim_fenced', 'standing', 'outcome_by_scope', 'held']
const ways = ['before', 'after', 'later'] as const

for (const name of statements) {
  test(`${name} fails before, after or long before its commit: one dispatch, one record, true replies`, async () => {
    await using lab = await openLab({ concurrency: 1, leaseMs: 2_000 })
    let struck = 0
    for (const when of ways) {
      for (const hit of [1, 2, 3]) struck += await run(lab, [{ name, hit, when }])
    }
    assert.ok(struck >= 3, `only ${struck} faults struck`)
  })
}

test('a commit in doubt whose look-up fails too is looked up again', async () => {
  await using lab = await openLab({ concurrency: 1, leaseMs: 2_000 })
  for (const when of ways) {
    for (const hit of [1, 2, 3, 4]) {
      const doubt = { name: 'advance', hit, when }
      await run(lab, [
        doubt,
        { name: 'outcome_by_id', hit: 1, when: 'before' },
        { name: 'advance', hit: hit + 1, when },
      ])
    }
    const claims = [1, 2].map(hit => ({ name: 'claim', hit, when }))
    await run(lab, [...claims, { name: 'standing', hit: 1, when: 'before' }])
  }
})

test('an append with its claim that fails before, after or long before its commit: sent once where it is on record', async () => {
  for (const when of ways) {
    await using lab = await openLab({ leaseMs: 2_000 })
    const { db, struck } = faulty([{ name: 'append_claim_one', hit: 1, when }])
    const broker = await lab.start({ db })
    await broker.running.ready
    const [first, second] = [lab.submitOf('first'), lab.submitOf('second')]
    await assert.rejects(broker.append(first), AppendDoubtful, when)
    assert.equal(struck.length, 1)
    await broker.append(second)
    assert.equal(told(await heard(lab, second.callId, when)), 'own succeeded', when)
    if (when !== 'before') assert.equal(told(await heard(lab, first.callId, when)), 'own succeeded', when)
    assert.equal(lab.upstream.count('first'), when === 'before' ? 0 : 1, when)
    assert.equal(lab.upstream.count('second'), 1, when)
    await broker.stop()
    await lab.check()
  }
})

let runs = 0

/** @returns how many faults struck */
async function run(lab: Lab, faults: readonly Fault[]): Promise<number> {
  const at = `run ${(runs += 1)}: ${faults.map(({ name, hit, when }) => `${name} ${hit} ${when}`).join(', ')}`
  const { db, struck } = faulty(faults)
  const broker = await lab.start({ consume: false, db })
  const name = (key: string) => `${key}${runs}`
  const gate = lab.upstream.gate(name('first'))
  lab.upstream.plan(
    name('reopened'),
    () => refused,
    () => done,
  )
  const question: Seen = { kind: 'input_required', raw: '{"requestState":"s"}', requestState: 's' }
  lab.upstream.plan(
    name('asked'),
    () => question,
    () => done,
  )
  const [first, second, again] = [
    lab.submitOf(name('first')),
    lab.submitOf(name('second')),
    lab.submitOf(name('first')),
  ]
  await broker.deliver(first, second, again)
  const absent = lab.askOf(name('absent'))
  await broker.deliver(absent, lab.askOf(name('absent')))
  assert.equal(told(await lab.replyTo(absent.callId)), 'not_found', at)
  const cancelled = lab.submitOf(name('cancelled'))
  await broker.deliver(cancelled, lab.cancelOf(cancelled))
  assert.equal(told(await heard(lab, cancelled.callId, at)), 'own not_executed cancelled', at)
  const known = [lab.askOf(name('cancelled')), lab.askOf(name('first'))]
  await broker.deliver(...known)
  for (const ask of known) assert.match(told(await heard(lab, ask.callId, at)), /^replayed/, at)
  const late = lab.submitOf(name('absent'), { receivedAt: lab.clock.now() + 100 })
  await broker.deliver(late)
  gate.open(done)
  const expected = [
    [first, 'own succeeded'],
    [again, 'attached succeeded'],
    [second, 'own succeeded'],
    [late, 'own succeeded'],
  ] as const
  for (const [command, answer] of expected) assert.equal(told(await heard(lab, command.callId, at)), answer, at)

  const reopened = lab.submitOf(name('reopened'))
  await broker.deliver(reopened)
  assert.equal(told(await heard(lab, reopened.callId, at)), 'own not_executed not_sent', at)
  const reopening = lab.submitOf(name('reopened'))
  await broker.deliver(reopening)
  assert.equal(told(await heard(lab, reopening.callId, at)), 'own succeeded', at)

  const asked = lab.submitOf(name('asked'))
  await broker.deliver(asked)
  assert.equal(told(await heard(lab, asked.callId, at)), 'own awaiting_input', at)
  const inputs = { requestState: 's', inputResponses: 1 }
  const [answering, same] = [lab.submitOf(name('asked'), { inputs }), lab.submitOf(name('asked'), { inputs })]
  await broker.deliver(answering, same)
  assert.equal(told(await heard(lab, answering.callId, at)), 'own succeeded', at)
  await heard(lab, same.callId, at)

  // Two sweeps and what was executed later.
  await sleep(120)
  for (const key of ['first', 'second', 'absent', 'reopened'])
    assert.equal(lab.upstream.count(name(key)), 1, `${key}, ${at}`)
  assert.equal(lab.upstream.count(name('asked')), 2, at)
  assert.equal(lab.upstream.count(name('cancelled')), 0, at)
  await broker.stop()
  await lab.check().catch(error => {
    throw new Error(`${at}: ${error.message}`)
  })
  return struck.length
}

const heard = (lab: Lab, callId: string, at: string) =>
  outcome(lab.replyTo(callId, 5_000)).catch(error => {
    throw new Error(`${at}: ${error.message}`)
  })

test('while Postgres is away nothing is sent and nothing is answered; when it is back everything goes on by itself', async () => {
  await using lab = await openLab({ leaseMs: 500, journalLeaseMs: 500 })
  await lab.start()
  const gate = lab.upstream.gate('running')
  const running = await lab.submit('running')
  await lab.upstream.sentTimes('running')
  const connect = await lab.cutOff()
  gate.open(done)
  await assert.rejects(lab.submit('lost'))
  await sleep(1_200)
  assert.equal(lab.upstream.sent.length, 1)
  assert.equal(lab.replies.length, 0)
  await connect()
  const reply = await running.reply()
  assert.match(told(reply), /^own (succeeded|unknown dispatcher_lost)$/)
  await lab.rowIn('running', 'succeeded')
  const next = await eventually(
    async () => lab.submit('next').catch(() => undefined),
    () => 'the journal did not come back',
  )
  assert.equal(told(await next.reply()), 'own succeeded')
  await lab.check()
})

test('a broker stops within its grace although Postgres is away, and what it held is settled by the next', async () => {
  await using lab = await openLab({ leaseMs: 500, concurrency: 1, graceMs: 200 })
  const broker = await lab.start({ consume: false })
  const gate = lab.upstream.gate('sent')
  const [sent, waiting] = [lab.submitOf('sent'), lab.submitOf('waiting')]
  await broker.deliver(sent, waiting)
  await lab.upstream.sentTimes('sent')
  const connect = await lab.cutOff()
  gate.open(done)
  const handling = broker.deliver(lab.submitOf('sent')).catch(() => {})
  const began = performance.now()
  await broker.running.stop()
  assert.ok(performance.now() - began < 4_000, `took ${performance.now() - began} ms`)
  await connect()
  await lab.start({ consume: false })
  await lab.rowIn('sent', 'unknown')
  await lab.rowIn('waiting', 'not_executed')
  await handling
  assert.equal(lab.upstream.count('waiting'), 0)
  await lab.check()
})

test('connections that break again and again under load: one dispatch for each key, and every call comes to an end', async () => {
  await using lab = await openLab({ leaseMs: 1_000, journalLeaseMs: 1_000, concurrency: 8 })
  await lab.start()
  await lab.start()
  const keys = Array.from({ length: 150 }, (_, index) => `key${index}`)
  const breaking = new AbortController()
  const breaker = (async () => {
    while (!breaking.signal.aborted) {
      await sleep(150)
      await lab.breakConnections()
    }
  })()
  const append = async (key: string) => {
    for (;;) {
      const command = await lab.submit(key).catch(() => undefined)
      if (command !== undefined) return command
      await sleep(20)
    }
  }
  for (const key of keys) {
    await append(key)
    // Every third call is made twice, as by an agent that lost its connection.
    if (Number(key.slice(3)) % 3 === 0) await append(key)
    await sleep(5)
  }
  breaking.abort()
  await breaker
  const settled = ['succeeded', 'unknown', 'not_executed']
  for (const key of keys) await lab.rowIn(key, ...settled)
  // A claim in doubt under a lease that ended may be honest about not knowing; it is never sent twice.
  for (const key of keys) assert.ok(lab.upstream.count(key) <= 1, key)
  const { rows } = await lab.pool.query<{ state: string; n: number }>(
    'select state, count(*)::int as n from operations group by state',
  )
  if (process.env.TEST_LOG) console.log(rows)
  assert.ok((rows.find(row => row.state === 'succeeded')?.n ?? 0) > keys.length / 2, JSON.stringify(rows))
  await lab.check()
})
