import assert from 'node:assert/strict'
import test from 'node:test'
import type { Clickhouse } from '../../shared/clickhouse/connect.ts'
import { insertEvents } from '../../shared/clickhouse/events.ts'
import type { HoldfastEvent } from '../../shared/events/event.ts'
import { asRecord, openHistory, openServedHistory, rowOf, select, temporaryFolder } from '../helpers/clickhouse.ts'

const at = (second: number) => new Date(Date.UTC(2026, 10, 20, 10, 0, second)).toISOString()
const who = {
  tenant: 'acme',
  agent: 'support-bot',
  keyspace: 'support-bot',
  conversation: 'conv-1',
  client: 'claude-code',
  session: 'sess-1',
}
const what = {
  server: 'payments',
  tool: 'transfer',
  key: 'invoice-1042',
  fingerprint: 'f'.repeat(64),
  effect: 'write' as const,
}

/** A transition as broker writes it: who, what, epoch, round and the try's own call stand in every event. */
const move = (
  operationId: string,
  sequence: number,
  type: HoldfastEvent['type'],
  more: Partial<HoldfastEvent> = {},
): HoldfastEvent => ({
  type,
  stream: operationId,
  sequence,
  time: at(sequence),
  source: 'holdfast/broker',
  ...who,
  ...what,
  callId: operationId,
  operationId,
  epoch: 1,
  round: 1,
  ...(sequence === 1 && { receivedAt: at(0) }),
  ...(type === 'call.dispatched' && { dispatchedAt: at(sequence) }),
  ...more,
})

const alone = (callId: string, type: HoldfastEvent['type'], more: Partial<HoldfastEvent> = {}): HoldfastEvent => ({
  type,
  stream: callId,
  sequence: 1,
  time: at(10),
  source: 'holdfast/front',
  ...who,
  ...what,
  callId,
  ...more,
})

const events: HoldfastEvent[] = [
  // claimed with its intent, answered, then repeated twice
  move('op-done', 1, 'call.dispatched'),
  move('op-done', 2, 'call.succeeded', { finishedAt: at(3), durationMs: 1234, evidence: 'upstream', resultBytes: 77 }),
  alone('call-replay', 'call.replayed', { of: 'op-done', state: 'succeeded' }),
  alone('call-attach', 'call.attached', { of: 'op-done', state: 'executing' }),
  alone('call-conflict', 'call.conflicted', { of: 'op-done', state: 'succeeded', code: 'idempotency_conflict' }),
  // waited, lost, never settled
  move('op-lost', 1, 'call.accepted', { key: 'invoice-1043' }),
  move('op-lost', 2, 'call.dispatched'),
  move('op-lost', 3, 'call.lost', { code: 'timeout' }),
  // known from its command alone: the record was lost in a failover
  move('op-gone', 1, 'call.lost', { key: 'invoice-1050', code: 'record_lost' }),
  // lost, then settled by a late answer
  move('op-late', 1, 'call.dispatched', { key: 'invoice-1044' }),
  move('op-late', 2, 'call.lost', { code: 'connection_lost' }),
  move('op-late', 3, 'call.succeeded', { evidence: 'late_answer' }),
  // proved unsent, reopened by another call and conversation
  move('op-again', 1, 'call.dispatched', { key: 'invoice-1045' }),
  move('op-again', 2, 'call.not_executed', { code: 'not_sent' }),
  move('op-again', 3, 'call.dispatched', {
    epoch: 2,
    callId: 'call-second',
    conversation: 'conv-2',
    key: 'invoice-1045',
    receivedAt: at(3),
    attempt: 2,
  }),
  move('op-again', 4, 'call.failed', {
    epoch: 2,
    callId: 'call-second',
    code: 'upstream_error',
    isError: true,
    attempt: 2,
  }),
  // a question and its answer: two rounds, two attempts
  move('op-ask', 1, 'call.dispatched', { key: 'invoice-1046' }),
  move('op-ask', 2, 'call.input_required'),
  move('op-ask', 3, 'call.dispatched', { round: 2 }),
  move('op-ask', 4, 'call.succeeded', { round: 2 }),
  // reads
  { ...alone('read-done', 'call.requested', { effect: 'read', key: undefined, tool: 'get_balance', time: at(1) }) },
  { ...alone('read-done', 'call.succeeded', { sequence: 2, time: at(2) }), effect: undefined },
  { ...alone('read-lost', 'call.requested', { effect: 'read', key: undefined, tool: 'get_balance', time: at(1) }) },
  { ...alone('read-told-lost', 'call.requested', { effect: 'read', time: at(1) }) },
  { ...alone('read-told-lost', 'call.lost', { effect: 'read', sequence: 2, time: at(2) }) },
  { ...alone('read-now', 'call.requested', { effect: 'read', time: new Date().toISOString() }) },
  // refusals
  alone('call-denied', 'call.denied', { code: 'denied', policyRule: 'teller' }),
  alone('call-bad', 'call.not_accepted', { code: 'idempotency_key_required' }),
  // no calls
  alone('call-asked', 'call.outcome_queried', { code: 'not_found' }),
  { ...move('op-late', 1, 'call.answered_late'), stream: 'op-late/late/1.1' },
]

type Call = Record<string, string | number | null>

test('the views of the history', async t => {
  await using folder = await temporaryFolder()
  await using history = await openHistory(folder.path)
  await views(t, history)
})

test('the views of the history on a server', async t => {
  await using folder = await temporaryFolder()
  await using history = await openServedHistory(folder.path)
  await views(t, history)
})

async function views(t: test.TestContext, history: Clickhouse): Promise<void> {
  // Every fact is published twice, the second time in the opposite order.
  const published = [...events, ...events.toReversed()]
  await insertEvents(
    history,
    published.map((event, offset) => rowOf(asRecord(event, { partition: offset % 3, offset }))),
  )
  const calls = new Map(
    (await select<Call>(history, 'select * from holdfast.calls')).map(call => [call['call_id'], call]),
  )
  const stateOf = (callId: string) => calls.get(callId)?.['state']

  await t.test('every call has one row, and only calls have one', () => {
    assert.deepEqual([...calls.keys()].sort(), [
      'call-attach',
      'call-bad',
      'call-conflict',
      'call-denied',
      'call-replay',
      'call-second',
      'op-again',
      'op-ask',
      'op-done',
      'op-gone',
      'op-late',
      'op-lost',
      'read-done',
      'read-lost',
      'read-now',
      'read-told-lost',
    ])
  })

  await t.test("a call's state is what it led to or was told", () => {
    const states = Object.fromEntries([...calls].map(([callId, call]) => [callId, call['state']]))
    assert.deepEqual(states, {
      'op-done': 'succeeded',
      'call-replay': 'succeeded',
      'call-attach': 'attached',
      'call-conflict': 'conflicted',
      'op-lost': 'unknown',
      'op-gone': 'unknown',
      'op-late': 'succeeded',
      'op-again': 'not_executed',
      'call-second': 'failed',
      'op-ask': 'succeeded',
      'read-done': 'succeeded',
      'read-lost': 'lost',
      'read-told-lost': 'lost',
      'read-now': 'executing',
      'call-denied': 'denied',
      'call-bad': 'not_accepted',
    })
  })

  await t.test('a fact published twice counts once', () => {
    assert.equal(calls.get('op-done')?.['attempts'], 1)
    assert.equal(calls.get('op-ask')?.['attempts'], 2)
    assert.equal(calls.get('op-again')?.['attempts'], 1)
    assert.equal(calls.get('call-denied')?.['attempts'], 0)
  })

  await t.test('who and what stand in every row, from the first event of the stream or of the try', () => {
    for (const callId of ['op-done', 'op-lost', 'op-again', 'call-second', 'read-done']) {
      assert.equal(calls.get(callId)?.['agent'], 'support-bot', callId)
      assert.equal(calls.get(callId)?.['server'], 'payments', callId)
    }
    assert.equal(calls.get('call-second')?.['conversation'], 'conv-2')
    assert.equal(calls.get('op-again')?.['conversation'], 'conv-1')
    assert.equal(calls.get('call-second')?.['idempotency_key'], 'invoice-1045')
    assert.equal(calls.get('read-done')?.['effect'], 'read')
    assert.equal(calls.get('op-done')?.['effect'], 'write')
  })

  await t.test('joins name what they joined', () => {
    assert.deepEqual(
      ['call-replay', 'call-attach', 'call-conflict', 'op-done'].map(callId => {
        const call = calls.get(callId)
        return [call?.['of'], Boolean(call?.['replayed']), Boolean(call?.['attached']), Boolean(call?.['conflicted'])]
      }),
      [
        ['op-done', true, false, false],
        ['op-done', false, true, false],
        ['op-done', false, false, true],
        ['', false, false, false],
      ],
    )
  })

  await t.test('times and durations are those on record', () => {
    const call = calls.get('op-done')
    assert.equal(call?.['requested_at'], '2026-11-20 10:00:00.000')
    assert.equal(call?.['dispatched_at'], '2026-11-20 10:00:01.000')
    assert.equal(call?.['finished_at'], '2026-11-20 10:00:03.000')
    assert.equal(Number(call?.['duration_ms']), 1234)
    assert.equal(Number(call?.['result_bytes']), 77)
    assert.equal(calls.get('read-lost')?.['finished_at'], null)
  })

  await t.test('operations: one row each, in the newest state, with every call that tried', async () => {
    const rows = await select<Call & { call_ids: string[] }>(
      history,
      'select * from holdfast.operations order by operation_id',
    )
    assert.deepEqual(
      rows.map(row => [
        row['operation_id'],
        row['state'],
        Number(row['epoch']),
        Number(row['attempts']),
        [...row.call_ids].sort(),
      ]),
      [
        ['op-again', 'failed', 2, 2, ['call-second', 'op-again']],
        ['op-ask', 'succeeded', 1, 2, ['op-ask']],
        ['op-done', 'succeeded', 1, 1, ['op-done']],
        ['op-gone', 'unknown', 1, 0, ['op-gone']],
        ['op-late', 'succeeded', 1, 1, ['op-late']],
        ['op-lost', 'unknown', 1, 1, ['op-lost']],
      ],
    )
  })

  await t.test('attempts: one row per operation, epoch and round that was dispatched', async () => {
    const rows = await select<Call>(history, 'select * from holdfast.attempts order by operation_id, epoch, round')
    assert.deepEqual(
      rows.map(row => [row['operation_id'], row['epoch'], row['round'], row['state']]),
      [
        ['op-again', 1, 1, 'not_executed'],
        ['op-again', 2, 1, 'failed'],
        ['op-ask', 1, 1, 'awaiting_input'],
        ['op-ask', 1, 2, 'succeeded'],
        ['op-done', 1, 1, 'succeeded'],
        ['op-late', 1, 1, 'succeeded'],
        ['op-lost', 1, 1, 'unknown'],
      ],
    )
  })

  await t.test('unknowns: only what nothing has settled', async () => {
    const rows = await select<Call>(history, 'select operation_id, code from holdfast.unknowns order by operation_id')
    assert.deepEqual(rows, [
      { operation_id: 'op-gone', code: 'record_lost' },
      { operation_id: 'op-lost', code: 'timeout' },
    ])
    assert.equal(stateOf('op-lost'), 'unknown')
  })
}
