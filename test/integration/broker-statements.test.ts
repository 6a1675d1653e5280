import assert from 'node:assert/strict'
import test from 'node:test'
import { createPool } from '../../shared/postgres/pool.ts'
import { eventRecord } from '../../shared/events/event.ts'
import { advanceOperations } from '../../services/broker/sql/advance.ts'
import { rememberJoins } from '../../services/broker/sql/joins.ts'
import { readByCall } from '../../services/broker/sql/outcomes.ts'
import { changingColumns, type Changing } from '../../services/broker/sql/row.ts'
import { silent, testPostgres } from '../helpers/postgres.ts'

const event = (stream: string) =>
  eventRecord({
    type: 'call.conflicted',
    stream,
    sequence: 1,
    time: '2026-11-21T00:00:00.000Z',
    source: 'test',
    tenant: 't',
  })

/** An operation that ended `not_executed` and may be tried again, claimed by `first`. */
async function withReopenable(
  work: (pool: ReturnType<typeof createPool>, changing: Changing) => Promise<void>,
): Promise<void> {
  await using database = await (await testPostgres()).database()
  const pool = createPool({ url: database.url, max: 2, name: 'test', log: silent })
  const changing = {
    ...Object.fromEntries(changingColumns.map(column => [column, null])),
    state: 'executing',
    call_id: 'second',
    epoch: 2,
    round: 1,
    sequence: 2,
    attempts: 2,
    owner: 'me',
    reopenable: false,
    dispatched_ms: 1,
  } as Changing
  try {
    await pool.query(`insert into operations (operation_id, scope, tenant, keyspace, server, key, tool, agent,
      fingerprint, change, twin_slot, state, call_id, epoch, round, sequence, attempts, code, evidence, reopenable,
      first_seen_ms, finished_ms, retention_ms)
      values ('first', 'scope', 't', 'k', 's', 'key', 'write', 'a', 'f', 'c', '', 'not_executed', 'first', 1, 1, 1, 1,
        'not_sent', 'dispatcher', true, 1, 1, 1)`)
    await work(pool, changing)
  } finally {
    await pool.end()
  }
}

const refusal = { operationId: 'first', how: 'conflicted', code: 'possible_duplicate' }

test('a call that was refused elsewhere cannot reopen the key afterwards (I5)', () =>
  withReopenable(async (pool, changing) => {
    assert.deepEqual(await rememberJoins(pool, [{ ...refusal, callId: 'second', event: event('second') }]), [true])
    const reopening = {
      operationId: 'first',
      expectedSequence: 1,
      changing,
      event: event('first'),
      handled: { callId: 'second', how: 'own' },
    }
    assert.deepEqual(await advanceOperations(pool, [reopening]), [false])
    const third = { ...reopening, handled: { callId: 'third', how: 'own' } }
    assert.deepEqual(await advanceOperations(pool, [third]), [true])
  }))

test('a call that has its own operation, or was handled before, is not remembered as refused (I5)', () =>
  withReopenable(async pool => {
    const join = { ...refusal, event: event('x') }
    assert.deepEqual(await rememberJoins(pool, [{ ...join, callId: 'first' }]), [false])
    assert.deepEqual(await rememberJoins(pool, [{ ...join, callId: 'second' }]), [true])
    assert.deepEqual(await rememberJoins(pool, [{ ...join, callId: 'second' }]), [false])
    const { rows } = await pool.query('select count(*)::int as events from outbox')
    assert.deepEqual(rows, [{ events: 1 }])
  }))

test('the outcome of another change is never given for a call that was refused (I4)', () =>
  withReopenable(async pool => {
    await rememberJoins(pool, [
      { ...refusal, callId: 'refused', event: event('refused') },
      { ...refusal, callId: 'repeated', how: 'replayed', code: undefined, event: event('repeated') },
    ])
    const viewer = { tenant: 't', keyspace: 'k' }
    assert.equal(await readByCall(pool, { ...viewer, callId: 'refused' }), undefined)
    assert.equal((await readByCall(pool, { ...viewer, callId: 'repeated' }))?.operation_id, 'first')
  }))
