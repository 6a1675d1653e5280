/**
 * Failovers of a real PostgreSQL that loses its newest commits, while the journal survives elsewhere: no key that may have
 * been sent is sent again, and no answer is given from a database that may lack it.
 */
import assert from 'node:assert/strict'
import test from 'node:test'
import { done, eventually, type Lab, type LabOptions, openLab, told } from '../helpers/broker.ts'
import { testPostgres } from '../helpers/postgres.ts'
import { type ReplicatedPostgres, replicatedPostgres } from '../helpers/replicated-postgres.ts'
import { claimOperations } from '../../services/broker/sql/claim.ts'
import { advanceOperations } from '../../services/broker/sql/advance.ts'
import { readByCall, readByScope } from '../../services/broker/sql/outcomes.ts'
import { createOutcomes } from '../../services/broker/outcomes.ts'
import { commandRecord } from '../../shared/call/command.ts'
import { topics } from '../../shared/journal/topics.ts'

const leaseMs = 1_000
const journalLeaseMs = 1_000

type Scene = { lab: Lab; postgres: ReplicatedPostgres; publish: () => Promise<void> }

/** A lab over a primary with a standby; the journal is in a database of its own, as Kafka is. */
async function scene(play: (scene: Scene) => Promise<void>, options: LabOptions = {}): Promise<void> {
  await using postgres = await replicatedPostgres()
  await using journalDatabase = await (await testPostgres()).database()
  await using lab = await openLab({
    leaseMs,
    journalLeaseMs,
    url: postgres.url,
    journalUrl: journalDatabase.url,
    ...options,
  })
  /** What the relay does: events leave the database once the journal has them. */
  const publish = async () => {
    const { rows } = await lab.pool.query<{
      topic: string
      partition: number
      key: string
      headers: string
      value: string
    }>('delete from outbox returning topic, partition, key, headers, value')
    if (rows.length > 0) await lab.journal.append(rows.map(row => ({ ...row, headers: JSON.parse(row.headers) })))
  }
  await play({ lab, postgres, publish })
}

/** Waits until a broker has read the journal back. */
const completed = (lab: Lab) =>
  eventually(
    async () => {
      const { rows } = await lab.pool.query<{ yes: boolean }>(
        'select complete_under = current_lineage() as yes from lineage',
      )
      return rows[0]?.yes || undefined
    },
    () => 'operations were not completed',
    30_000,
  )

/** Waits until the group has committed past everything. */
const committed = (lab: Lab) =>
  eventually(
    async () =>
      (await lab.journal.lag('holdfast-broker', topics.calls.name)).every(({ lag }) => lag === 0) ? true : undefined,
    () => 'offsets were not committed',
  )

test('a call whose record was lost with the primary is unknown, and its key is never sent again', () =>
  scene(async ({ lab, postgres }) => {
    const before = await lab.start()
    await (await lab.submit('kept')).reply()
    await postgres.cutOffStandby()
    const lost = await lab.submit('lost')
    assert.equal(told(await lost.reply()), 'own succeeded')
    await before.stop()
    await postgres.failOver()
    assert.equal(await lab.row('lost'), undefined, 'the failover must lose the record for this test to mean anything')

    await lab.start()
    const row = await lab.rowIn('lost', 'unknown')
    assert.deepEqual([row.code, row.operation_id, row.sequence], ['record_lost', lost.callId, 1])
    assert.equal(told(await (await lab.submit('lost')).reply()), 'replayed unknown record_lost')
    assert.equal(told(await (await lab.submit('kept')).reply()), 'replayed succeeded')
    assert.equal(told(await (await lab.submit('new')).reply()), 'own succeeded')
    assert.deepEqual([lab.upstream.count('lost'), lab.upstream.count('kept'), lab.upstream.count('new')], [1, 1, 1])
    // The same change under another key is its twin.
    const twin = await lab.submit('twin', { args: { change: 'lost' } })
    assert.equal(told(await twin.reply()), 'conflicted unknown possible_duplicate')
    assert.equal((await lab.outcomeOf(lost.callId))?.operation.state, 'unknown')
  }))

test('what the journal says of a lost record is believed: succeeded stays succeeded, without the server words', () =>
  scene(async ({ lab, postgres, publish }) => {
    const before = await lab.start()
    await lab.submit('behind')
    await lab.rowIn('behind', 'succeeded')
    const gate = lab.upstream.gate('half')
    const half = await lab.submit('half')
    await lab.rowIn('half', 'executing')
    await publish()
    await postgres.cutOffStandby()
    gate.open(done)
    assert.equal(told(await half.reply()), 'own succeeded')
    const gone = await lab.submit('gone')
    assert.equal(told(await gone.reply()), 'own succeeded')
    await publish()
    await before.stop()
    await postgres.failOver()
    assert.deepEqual([(await lab.row('half'))?.state, await lab.row('gone')], ['executing', undefined])

    await lab.start()
    await completed(lab)
    for (const call of [half, gone]) {
      const record = await lab.outcomeOf(call.callId)
      assert.deepEqual([record?.operation.state, record?.answer], ['succeeded', undefined])
    }
    assert.equal(told(await (await lab.submit('half')).reply()), 'replayed succeeded')
    assert.equal(told(await (await lab.submit('gone')).reply()), 'replayed succeeded')
    assert.deepEqual([lab.upstream.count('half'), lab.upstream.count('gone')], [1, 1])
    await lab.check()
  }))

test('brokers that live through a failover send nothing under lost claims a second time, and a late answer still counts', () =>
  scene(
    async ({ lab, postgres }) => {
      await lab.start()
      await lab.start()
      await (await lab.submit('first')).reply()
      await postgres.cutOffStandby()
      const gate = lab.upstream.gate('running')
      const running = await lab.submit('running')
      await lab.upstream.sentTimes('running')
      const doneCalls = await Promise.all(['a', 'b', 'c'].map(key => lab.submit(key)))
      for (const call of doneCalls) assert.equal(told(await call.reply()), 'own succeeded')
      await postgres.failOver()
      await completed(lab)
      for (const key of ['a', 'b', 'c']) assert.equal((await lab.rowIn(key, 'unknown')).code, 'record_lost')
      await lab.rowIn('running', 'unknown')
      gate.open(done)
      await lab.rowIn('running', 'succeeded')
      assert.equal((await lab.outcomeOf(running.callId))?.answer?.kind, 'result')
      for (const key of ['a', 'b', 'c', 'running']) await (await lab.submit(key)).reply()
      assert.equal(told(await (await lab.submit('after')).reply()), 'own succeeded')
      for (const key of ['a', 'b', 'c', 'running', 'after']) assert.equal(lab.upstream.count(key), 1, key)
    },
    { sweepMs: 50 },
  ))

test('an operation that waited for a slot when the record ends is unknown: its intent may be lost', () =>
  scene(
    async ({ lab, postgres }) => {
      const before = await lab.start()
      const gate = lab.upstream.gate('first')
      await lab.submit('first')
      await lab.rowIn('first', 'executing')
      await lab.submit('queued')
      await lab.rowIn('queued', 'accepted')
      await postgres.cutOffStandby()
      gate.open(done)
      await lab.rowIn('queued', 'succeeded')
      await before.stop()
      await postgres.failOver()
      assert.equal((await lab.row('queued'))?.state, 'accepted')
      await lab.start()
      assert.equal((await lab.rowIn('queued', 'unknown')).code, 'record_lost')
      assert.equal(told(await (await lab.submit('queued')).reply()), 'replayed unknown record_lost')
      assert.equal(lab.upstream.count('queued'), 1)
    },
    { concurrency: 1 },
  ))

test('a call that a broker still has in its queue is not sent once its record is unknown, whatever the broker remembers', () =>
  scene(
    async ({ lab, postgres }) => {
      const broker = await lab.start()
      await postgres.cutOffStandby()
      const gate = lab.upstream.gate('first')
      await lab.submit('first')
      await lab.upstream.sentTimes('first')
      await lab.submit('queued')
      await lab.rowIn('queued', 'accepted')
      await postgres.failOver()
      await completed(lab)
      assert.equal((await lab.row('queued'))?.state, 'unknown')
      gate.open(done)
      await lab.rowIn('first', 'succeeded')
      await eventually(
        async () => (broker.running.counts().every(lane => lane.inFlight + lane.queued === 0) ? true : undefined),
        () => 'the queue was not left',
      )
      assert.equal(lab.upstream.count('queued'), 0)
      assert.notEqual((await lab.row('queued'))?.state, 'executing')
    },
    { concurrency: 1, leaseMs: 30_000 },
  ))

test('a key that was not executed before and was tried again in the lost time is unknown, in the next epoch', () =>
  scene(async ({ lab, postgres }) => {
    const before = await lab.start()
    lab.upstream.plan(
      'again',
      () => ({ kind: 'not_sent', why: 'refused', message: 'nobody listens' }),
      () => done,
    )
    assert.equal(told(await (await lab.submit('again')).reply()), 'own not_executed not_sent')
    lab.upstream.plan(
      'left',
      () => ({ kind: 'not_sent', why: 'refused', message: 'nobody listens' }),
      () => done,
    )
    await (await lab.submit('left')).reply()
    await postgres.cutOffStandby()
    const second = await lab.submit('again')
    assert.equal(told(await second.reply()), 'own succeeded')
    await before.stop()
    await postgres.failOver()
    await lab.start()
    const row = await lab.rowIn('again', 'unknown')
    assert.deepEqual([row.epoch, row.call_id], [2, second.callId])
    assert.equal(told(await (await lab.submit('again')).reply()), 'replayed unknown record_lost')
    assert.equal(lab.upstream.count('again'), 1)
    // Nobody tried this one: it may be tried now.
    assert.equal(told(await (await lab.submit('left')).reply()), 'own succeeded')
  }))

test('several lost calls of one key, twins and a question all lead to what is known', () =>
  scene(async ({ lab, postgres }) => {
    const before = await lab.start()
    await (await lab.submit('first')).reply()
    await postgres.cutOffStandby()
    const one = await lab.submit('key')
    await one.reply()
    const two = await lab.submit('key')
    assert.equal(told(await two.reply()), 'replayed succeeded')
    const other = await lab.submit('key', { args: { change: 'another' } })
    assert.equal(told(await other.reply()), 'conflicted succeeded idempotency_conflict')
    const deliberate = await lab.submit(`key;after=${one.callId}`, { args: { change: 'key' } })
    await deliberate.reply()
    const asked = lab.askOf('asked')
    await lab.journal.append([commandRecord(asked)])
    assert.equal((await lab.replyTo(asked.callId)).kind, 'not_found')
    const early = lab.submitOf('asked', { receivedAt: lab.clock.now() - 1_000 })
    await before.stop()
    await postgres.failOver()
    await lab.start()
    await completed(lab)
    for (const call of [one, two, other]) {
      const record = await lab.outcomeOf(call.callId)
      assert.deepEqual([record?.operation.operationId, record?.operation.state], [one.callId, 'unknown'])
    }
    assert.equal((await lab.outcomeOf(deliberate.callId))?.operation.state, 'unknown')
    // Who was told not_found stays right (I9): a call received before that question does not run.
    await lab.journal.append([commandRecord(early)])
    assert.equal(told(await lab.replyTo(early.callId)), 'own not_executed asked_before')
    assert.equal(lab.upstream.count('asked'), 0)
  }))

test('nothing is claimed, moved or answered before the journal has been read back', () =>
  scene(async ({ lab, postgres }) => {
    const before = await lab.start()
    const kept = await lab.submit('kept')
    await kept.reply()
    await postgres.cutOffStandby()
    await before.stop()
    await postgres.failOver()
    const refused = /may lack commits/
    for (const statement of [
      'select require_complete()',
      `select * from operations where require_complete() and key = 'kept'`,
    ])
      await assert.rejects(lab.pool.query(statement), refused)
    await assert.rejects(claimOperations(lab.pool as never, 'owner', []), refused)
    await assert.rejects(advanceOperations(lab.pool as never, []), refused)
    await assert.rejects(readByCall(lab.pool as never, { callId: 'x', tenant: 'y', keyspace: 'z' }), refused)
    await assert.rejects(readByScope(lab.pool as never, '00'), refused)
    const outcomes = createOutcomes({
      db: lab.pool as never,
      journal: lab.journal,
      resolve: () => assert.fail('nothing is settled here'),
    })
    await assert.rejects(
      outcomes.outcome({ viewer: { tenant: 'tenant', keyspace: 'agent' }, by: 'call', callId: kept.callId }),
      refused,
    )
  }))

test('brokers that complete at the same time do it once, and one that dies in between leaves the rest to the next', () =>
  scene(async ({ lab, postgres }) => {
    const before = await lab.start()
    await postgres.cutOffStandby()
    const keys = Array.from({ length: 30 }, (_, index) => `key${index}`)
    for (const call of await Promise.all(keys.map(key => lab.submit(key)))) await call.reply()
    await before.stop()
    await postgres.failOver()
    let broken = 0
    const breakOnce = (pool: Parameters<NonNullable<LabOptions['db']>>[0]) => ({
      query: async (statement: never, values?: never) => {
        const { name } = statement as { name?: string }
        if (name === 'enter' && broken++ === 1) throw new Error('killed in between')
        return pool.query(statement, values)
      },
    })
    await assert.rejects(lab.start({ db: breakOnce as never }), /killed in between/)
    await Promise.all([lab.start(), lab.start(), lab.start()])
    for (const key of keys) assert.equal((await lab.rowIn(key, 'unknown')).sequence, 1)
    const events = (await lab.events()).filter(({ type }) => type === 'call.lost')
    assert.equal(events.length, keys.length)
    for (const key of keys) assert.equal(lab.upstream.count(key), 1)
  }))

test('a cold copy that was put back is noticed by what the journal has handled since', () =>
  scene(async ({ lab, postgres }) => {
    const first = await lab.start()
    await (await lab.submit('kept')).reply()
    await first.stop()
    await postgres.takeCopy()
    const second = await lab.start()
    await (await lab.submit('forgotten')).reply()
    await committed(lab)
    await second.stop()
    await postgres.putBackCopy()
    assert.equal(await lab.row('forgotten'), undefined)
    await lab.start()
    assert.equal((await lab.rowIn('forgotten', 'unknown')).code, 'record_lost')
    assert.equal(told(await (await lab.submit('forgotten')).reply()), 'replayed unknown record_lost')
    assert.equal(lab.upstream.count('forgotten'), 1)
  }))

test('a command that was rejected leaves no record either, and does not make the database look older', async () => {
  await using lab = await openLab({ leaseMs })
  const first = await lab.start()
  const { callId, reply } = await lab.submit('rejected')
  await reply()
  await committed(lab)
  await first.stop()
  await lab.pool.query('delete from operations')
  await lab.journal.append([{ topic: topics.rejected.name, partition: 0, key: callId, value: '{}', headers: {} }])
  const second = await lab.start()
  const completedAt = async () =>
    (await lab.pool.query<{ at: number }>('select completed_ms as at from lineage')).rows[0]?.at
  assert.deepEqual([await completedAt(), await lab.row('rejected')], [0, undefined])

  // The same without the rejection is a lost record.
  await (await lab.submit('lost')).reply()
  await committed(lab)
  await second.stop()
  await lab.pool.query('delete from operations')
  await lab.start()
  assert.equal((await lab.rowIn('lost', 'unknown')).code, 'record_lost')
  assert.equal(await lab.row('rejected'), undefined)
})
