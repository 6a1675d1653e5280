import assert from 'node:assert/strict'
import test from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { transitionRecord } from '../../services/broker/events.ts'
import { type Advance, advanceOperations } from '../../services/broker/sql/advance.ts'
import { readById } from '../../services/broker/sql/outcomes.ts'
import { changingOf, type OperationRow, operationOf, type Queryable } from '../../services/broker/sql/row.ts'
import { noRedaction } from '../../shared/events/redact.ts'
import { commandRecord } from '../../shared/call/command.ts'
import { decide, type OperationEvent } from '../../shared/call/decide.ts'
import { evolve } from '../../shared/call/evolve.ts'
import type { Operation } from '../../shared/call/operation.ts'
import { done, eventually, openLab, told } from '../helpers/broker.ts'

const idle = JSON.stringify([{ server: 'server', inFlight: 0, late: 0, queued: 0 }])

test('a full queue refuses with a time to come back, and never holds up the journal', async () => {
  await using lab = await openLab({ concurrency: 1, queue: 2 })
  const broker = await lab.start({ consume: false })
  const gate = lab.upstream.gate('k0')
  const commands = Array.from({ length: 10 }, (_, index) => lab.submitOf(`k${index}`))
  await broker.deliver(...commands)
  const refusals = await eventually(
    async () => (lab.replies.length === 7 ? lab.replies : undefined),
    () => `${lab.replies.length} refusals, not 7,`,
  )
  for (const refusal of refusals) {
    assert.equal(told(refusal), 'own not_executed queue_full')
    assert.ok(refusal.kind === 'outcome' && Number(refusal.retryAfterMs) > 0)
  }
  assert.equal(lab.upstream.sent.length, 1)
  gate.open(done)
  await lab.rowIn('k2', 'succeeded')
  assert.equal(lab.upstream.sent.length, 3)

  const again = lab.submitOf('k9')
  await broker.deliver(again)
  assert.equal(told(await lab.replyTo(again.callId)), 'own succeeded', 'the same key may come back')
  await lab.check()
})

test('a call that waits past its dispatchBy is not executed and never sent', async () => {
  await using lab = await openLab({ concurrency: 1 })
  const broker = await lab.start({ consume: false })
  const gate = lab.upstream.gate('first')
  const waiting = lab.submitOf('waiting', { dispatchBy: lab.clock.now() + 300 })
  await broker.deliver(lab.submitOf('first'), waiting)
  assert.equal((await lab.row('waiting'))?.state, 'accepted')
  assert.equal(told(await lab.replyTo(waiting.callId)), 'own not_executed deadline_passed')
  gate.open(done)
  await lab.rowIn('first', 'succeeded')
  assert.equal(lab.upstream.count('waiting'), 0)
  await lab.check()
})

test('a slot that comes free when the database says that dispatchBy has passed: not executed, said at once', async () => {
  // This broker's clock is late, as an estimate may be, and nothing is swept: only the intent itself can find out.
  await using lab = await openLab({ concurrency: 1, sweepMs: 60_000, clockBehindMs: 500 })
  const broker = await lab.start({ consume: false })
  const gate = lab.upstream.gate('first')
  const waiting = lab.submitOf('waiting', { dispatchBy: lab.clock.now() + 100 })
  await broker.deliver(lab.submitOf('first'), waiting)
  await sleep(150)
  gate.open(done)
  assert.equal(told(await lab.replyTo(waiting.callId, 3_000)), 'own not_executed deadline_passed')
  assert.equal(lab.upstream.count('waiting'), 0)
  await lab.check()
})

test('a slot that comes free exactly at dispatchBy never sends late and never says owner_gone', async () => {
  await using lab = await openLab({ concurrency: 1, sweepMs: 5_000 })
  const broker = await lab.start({ consume: false })
  for (let round = 0; round < 10; round += 1) {
    const gate = lab.upstream.gate(`first${round}`)
    const dispatchBy = lab.clock.now() + 60
    const waiting = lab.submitOf(`waiting${round}`, { dispatchBy })
    await broker.deliver(lab.submitOf(`first${round}`), waiting)
    await sleep(Math.max(0, dispatchBy - lab.clock.now() - 6 + round))
    gate.open(done)
    const answer = told(await lab.replyTo(waiting.callId))
    assert.match(answer, /^own (succeeded|not_executed deadline_passed)$/, `round ${round}`)
  }
  await lab.check()
})

test('a call whose dispatchBy passed in the journal is never sent', async () => {
  await using lab = await openLab()
  const command = lab.submitOf('key', { dispatchBy: lab.clock.now() + 1 })
  await lab.journal.append([commandRecord(command)])
  await sleep(20)
  await lab.start()
  assert.equal(told(await lab.replyTo(command.callId)), 'own not_executed deadline_passed')
  assert.equal(lab.upstream.sent.length, 0)
  await lab.check()
})

test('a queued call that is cancelled is not executed; one that was sent runs on', async () => {
  await using lab = await openLab({ concurrency: 1 })
  const broker = await lab.start({ consume: false })
  const gate = lab.upstream.gate('sent')
  const [sent, queued] = [lab.submitOf('sent'), lab.submitOf('queued')]
  await broker.deliver(sent, queued, lab.cancelOf(queued), lab.cancelOf(sent))
  assert.equal(told(await lab.replyTo(queued.callId)), 'own not_executed cancelled')
  assert.equal((await lab.row('sent'))?.state, 'executing')
  gate.open(done)
  assert.equal(told(await lab.replyTo(sent.callId)), 'own succeeded')
  assert.equal(lab.upstream.count('queued'), 0)
  await eventually(
    async () => (JSON.stringify(broker.running.counts()) === idle ? true : undefined),
    () => `a slot was lost: ${JSON.stringify(broker.running.counts())}`,
  )
  await lab.check()
})

test('a cancel and a free slot at the same moment: either cancelled or sent, never both (I3)', async () => {
  await using lab = await openLab({ concurrency: 1 })
  const broker = await lab.start({ consume: false })
  const seen = new Set<string>()
  for (let round = 0; round < 30; round += 1) {
    const gate = lab.upstream.gate(`first${round}`)
    const queued = lab.submitOf(`queued${round}`)
    await broker.deliver(lab.submitOf(`first${round}`), queued)
    const cancelling = broker.deliver(lab.cancelOf(queued))
    if (round % 3 > 0) await sleep(round % 3)
    gate.open(done)
    await cancelling
    const answer = told(await lab.replyTo(queued.callId))
    assert.match(answer, /^own (succeeded|not_executed cancelled)$/)
    assert.equal(
      lab.upstream.count(`queued${round}`),
      answer.endsWith('succeeded') ? 1 : 0,
      `round ${round}: ${answer}`,
    )
    seen.add(answer)
  }
  await lab.check()
})

test('who queued behind a slot that was not used after all is sent', async () => {
  let isHeldUp = false
  const slow = (pool: Queryable): Queryable => ({
    async query(statement, values) {
      const isRepeated =
        typeof statement !== 'string' && statement.name === 'claim' && /"repeated"/.test(String(values?.[0]))
      if (isRepeated) {
        isHeldUp = true
        await sleep(150)
      }
      return pool.query(statement, values)
    },
  })
  await using lab = await openLab({ concurrency: 1, db: slow })
  const broker = await lab.start({ consume: false })
  await broker.deliver(lab.submitOf('repeated'))
  await lab.rowIn('repeated', 'succeeded')
  isHeldUp = false
  // The repeated key holds the only slot until its claim has lost; the new one is accepted meanwhile.
  const behind = lab.submitOf('behind')
  const repeating = broker.deliver(lab.submitOf('repeated'))
  await eventually(
    async () => (isHeldUp ? true : undefined),
    () => 'the repeated claim was not made',
  )
  await broker.deliver(behind)
  assert.equal((await lab.row('behind'))?.state, 'accepted')
  await repeating
  assert.equal(told(await lab.replyTo(behind.callId, 2_000)), 'own succeeded')
  await lab.check()
})

test('of two transitions of one operation in one statement one happens, and only that one is on record', async () => {
  await using lab = await openLab({ concurrency: 1 })
  const broker = await lab.start({ consume: false })
  lab.upstream.gate('first')
  const queued = lab.submitOf('queued')
  await broker.deliver(lab.submitOf('first'), queued)
  const operation = operationOf((await readById(lab.pool as Queryable, queued.callId)) as OperationRow) as Operation
  assert.ok(operation.state === 'accepted')
  const at = lab.clock.now()
  const advances = (
    [
      { type: 'cancel', at },
      { type: 'take_slot', at, owner: operation.owner },
    ] as const
  ).map((command): Advance => {
    const event = decide({ operation }, command).event as OperationEvent
    const next = evolve(operation, event)
    const events = { secret: 'test', maxArgumentsBytes: 1_000, redactionOf: () => noRedaction }
    return {
      operationId: operation.operationId,
      expectedSequence: operation.sequence,
      changing: changingOf(next, 1_000),
      event: transitionRecord(events, { event, operation: next, command: queued, opens: false }),
    }
  })
  assert.deepEqual(await advanceOperations(lab.pool as Queryable, advances), [true, false])
  assert.equal((await lab.row('queued'))?.state, 'not_executed')
  await lab.check()
})

test('calls leave the queue in the order they came, and no more run at a time than there are slots', async () => {
  await using lab = await openLab({ concurrency: 3 })
  const broker = await lab.start({ consume: false })
  let running = 0
  let most = 0
  const order: string[] = []
  const keys = Array.from({ length: 30 }, (_, index) => `key${index}`)
  for (const key of keys) {
    lab.upstream.plan(key, async () => {
      running += 1
      most = Math.max(most, running)
      order.push(key)
      await sleep(2)
      running -= 1
      return done
    })
  }
  await broker.deliver(...keys.map(key => lab.submitOf(key)))
  await Promise.all(keys.map(key => lab.rowIn(key, 'succeeded')))
  assert.equal(most, 3)
  assert.deepEqual(
    order.slice(3, 6).every(key => keys.indexOf(key) < 12),
    true,
    order.join(' '),
  )
  await lab.check()
})
