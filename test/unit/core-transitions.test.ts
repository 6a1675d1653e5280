/**
 * The pure core, walked completely: every operation against every command, then the promises of the design by name.
 * `test/model` walks the same functions through crashes and races.
 */
import assert from 'node:assert/strict'
import test from 'node:test'
import {
  type Command,
  type Decision,
  decide,
  isAnswerable,
  type OperationEvent,
  type Submit,
} from '../../shared/call/decide.ts'
import { evolve } from '../../shared/call/evolve.ts'
import { requestStateHash } from '../../shared/call/fingerprint.ts'
import { afterCall } from '../../shared/call/key.ts'
import {
  isBeingRecovered,
  isFinal,
  isSettled,
  type Operation,
  operationStates,
  twinStates,
} from '../../shared/call/operation.ts'
import type { Verdict } from '../../shared/call/seen.ts'
import type { Look, RecoveryPlan } from '../../shared/call/recovery.ts'
import { target, transitions } from '../../shared/call/transitions.ts'

const at = 1_000
const dispatchBy = 2_000
const first = '01ARZ3NDEKTSV4RRFFQ69G5FAV'
const second = '01BX5ZZKBKACTAV9WEVGEMMVRZ'
const inputs = { stateHash: requestStateHash('q1'), inputsHash: 'i1' }

const submit = (changes: Partial<Submit> = {}): Submit => ({
  type: 'submit',
  callId: second,
  fingerprint: 'f',
  owner: 'o2',
  receivedAt: at,
  dispatchBy,
  at,
  slot: 'free',
  ...changes,
})

/** Applies commands one after the other, as a store would; every one has to move the operation. */
const after = (...commands: Command[]): Operation => afterWith(undefined, ...commands)

const afterWith = (plan: RecoveryPlan | undefined, ...commands: Command[]): Operation => {
  let operation: Operation | undefined
  for (const command of commands) {
    const { event } = decide({ operation }, command, plan)
    assert.ok(event, `${command.type} moved nothing`)
    operation = evolve(operation, event)
  }
  return operation as Operation
}

const opened = submit({ callId: first, owner: 'o1' })
/** The attempts of these histories are one for each round and epoch. */
const complete = (verdict: Verdict, round = 1, epoch = 1): Command => ({
  type: 'complete',
  at,
  ...{ epoch, round, attempt: epoch + round - 1 },
  verdict,
})
const asked = complete({ state: 'awaiting_input', requestState: 'q1' })
const answered = submit({ inputs })
const queued = { ...opened, slot: 'queue' as const }
const unreachable = complete({ state: 'not_executed', code: 'not_sent' })
const settle = (as: 'succeeded' | 'failed' | 'not_executed'): Command => ({
  type: 'settle',
  at,
  as,
  evidence: 'person',
})
const timeOut: Command = { type: 'time_out', at, epoch: 1, round: 1, attempt: 1 }
const plan: RecoveryPlan = {
  replay: { keepsMs: 86_400_000, pauseMs: 1_000 },
  probe: { afterMs: 1, everyMs: 1, consistent: true },
  attempts: 5,
  timeMs: 86_400_000,
  timeoutMs: 1,
  lateWindowMs: 0,
}
const later = at + 60_000
const replay: Command = { type: 'replay', at: later, owner: 'o2' }
const probe = (look: Look): Command => ({ type: 'probe', at: later, began: later, look })
/** A call was lost, and the step that comes first is a replay. */
const lost = [opened, timeOut, { type: 'reschedule', at, without: ['probe'] }] as const satisfies readonly Command[]
const approval = { ...opened, needsApproval: true }

/** One operation for every state, and for every way to be in it that decides something. */
const operations: Record<string, Operation | undefined> = {
  none: undefined,
  accepted: after(queued),
  'accepted, round 2': after(opened, asked, { ...answered, slot: 'queue' }),
  'accepted, epoch 2': after(opened, unreachable, submit({ slot: 'queue' })),
  'awaiting approval': after(approval),
  executing: after(opened),
  'executing, from the queue': after(queued, { type: 'take_slot', at, owner: 'o1' }),
  'executing, round 2': after(opened, asked, answered),
  'executing, epoch 2': after(opened, unreachable, submit()),
  'executing, first try with inputs': after({ ...opened, inputs }),
  'awaiting input': after(opened, asked),
  'awaiting input, round 2': after(
    opened,
    asked,
    answered,
    complete({ state: 'awaiting_input', requestState: 'q2' }, 2),
  ),
  succeeded: after(opened, complete({ state: 'succeeded' })),
  'succeeded, by a person': after(opened, timeOut, settle('succeeded')),
  failed: after(opened, complete({ state: 'failed', code: 'upstream_error' })),
  'not executed, reopenable': after(opened, unreachable),
  'not executed, never sent': after({ ...opened, slot: 'full' }),
  'not executed, closed': after(opened, timeOut, settle('not_executed')),
  'not executed, refused': after(approval, { type: 'refuse', at }),
  unknown: after(opened, timeOut),
  'unknown, round 2': after(opened, asked, answered, { type: 'time_out', at, epoch: 1, round: 2, attempt: 2 }),
  'unknown, to be replayed': afterWith(plan, ...lost),
  'unknown, looked once': afterWith(plan, opened, timeOut, probe('not_landed')),
  'unknown, looked twice in vain': afterWith(plan, opened, timeOut, probe('neither'), probe('neither')),
  'unknown, the replay failed': afterWith(plan, ...lost, replay, {
    ...{ type: 'complete', at: later, epoch: 1, round: 1, attempt: 2 },
    verdict: { state: 'failed', code: 'upstream_error' },
  }),
  'executing, replayed': afterWith(plan, ...lost, replay),
  'unknown, unanswered': after(opened, asked, { type: 'expire_input', at }),
}

const verdicts: Verdict[] = [
  { state: 'succeeded' },
  { state: 'failed', code: 'upstream_error' },
  { state: 'not_executed', code: 'not_sent' },
  { state: 'unknown', code: 'connection_lost' },
  { state: 'awaiting_input', requestState: 'q2' },
  { state: 'awaiting_input', requestState: undefined },
]
const attempts = [
  { epoch: 1, round: 1, attempt: 1 },
  { epoch: 1, round: 1, attempt: 2 },
  { epoch: 1, round: 2, attempt: 2 },
  { epoch: 2, round: 1, attempt: 2 },
  { epoch: 9, round: 9, attempt: 9 },
]

function* combinations(): Generator<Submit> {
  for (const slot of ['free', 'queue', 'full'] as const)
    for (const fingerprint of ['f', 'g'])
      for (const cancelled of [false, true])
        for (const needsApproval of [false, true])
          for (const fencedAt of [undefined, at - 1, at])
            for (const now of [at, dispatchBy])
              for (const given of [
                undefined,
                inputs,
                { ...inputs, inputsHash: 'i2' },
                { stateHash: requestStateHash('q2'), inputsHash: 'i3' },
              ])
                for (const callId of [first, second])
                  yield submit({
                    slot,
                    fingerprint,
                    cancelled,
                    needsApproval,
                    fencedAt,
                    at: now,
                    inputs: given,
                    callId,
                  })
}

function* commands(): Generator<Command> {
  yield* combinations()
  for (const owner of ['o1', 'o2', 'other'])
    for (const now of [at, dispatchBy]) yield { type: 'take_slot', at: now, owner }
  for (const attempt of attempts) {
    yield { type: 'time_out', at, ...attempt }
    for (const verdict of verdicts) {
      yield { type: 'complete', at, ...attempt, verdict }
      yield { type: 'answer_late', at, ...attempt, verdict }
    }
  }
  for (const code of ['deadline_passed', 'not_sent', 'queue_full'] as const) yield { type: 'give_up', at, code }
  for (const slot of ['free', 'queue'] as const)
    for (const now of [at, dispatchBy]) yield { type: 'approve', at: now, owner: 'o1', slot }
  for (const as of ['succeeded', 'failed', 'not_executed'] as const)
    for (const evidence of ['person', 'probe', 'upstream_replay'] as const) yield { type: 'settle', at, as, evidence }
  for (const owner of ['o1', 'o2']) for (const now of [at, later]) yield { type: 'replay', at: now, owner }
  for (const look of ['landed', 'not_landed', 'neither'] as const)
    for (const began of [at, later]) yield { type: 'probe', at: later, began, look }
  for (const without of [['replay'], ['probe'], ['replay', 'probe']] as const)
    yield { type: 'reschedule', at: later, without }
  for (const type of ['sweep', 'cancel', 'refuse', 'expire_input'] as const) yield { type, at }
  for (const questionLost of [false, true]) {
    yield { type: 'lose_record', at, questionLost }
    for (const fingerprint of ['f', 'g'])
      for (const hasInputs of [false, true])
        yield { type: 'lose_record', at, questionLost, later: { callId: second, fingerprint, hasInputs } }
  }
}

type Step = {
  name: string
  operation: Operation | undefined
  command: Command
  declared: RecoveryPlan | undefined
  decision: Decision
  next: Operation | undefined
}

/** Every operation against every command, with and without a twin. `evolve` throws where the table has no such row. */
function* steps(): Generator<Step> {
  const twins = [
    undefined,
    ...Object.values(operations).map(twin => twin && { ...twin, operationId: 'twin', callId: 'twin' }),
  ]
  for (const [name, operation] of Object.entries(operations)) {
    for (const command of commands()) {
      for (const twin of command.type === 'submit' ? twins : [undefined]) {
        for (const declared of command.type === 'submit' ? [undefined] : [undefined, plan]) {
          const decision = decide({ operation, twin }, command, declared)
          const next = decision.event === undefined ? operation : evolve(operation, decision.event)
          yield { name, operation, command, declared, decision, next }
        }
      }
    }
  }
}

/** Checks one promise on every step and makes sure that some step put it to the test. */
const always = (applies: (step: Step) => boolean, check: (step: Step) => void) => {
  let count = 0
  for (const step of steps()) {
    if (!applies(step)) continue
    count += 1
    check(step)
  }
  assert.ok(count > 0, 'no step put this to the test')
}
const shown = ({ name, command }: Step) => `${name}: ${JSON.stringify(command)}`
const answerOf = (operation: Operation | undefined, command: Command, twin?: Operation) => {
  const { event, answer } = decide({ operation, twin }, command)
  return `${event?.type ?? '-'} ${'code' in answer ? answer.code : answer.kind}`
}

test('the samples stand in every state', () => {
  const states = new Set(Object.values(operations).map(operation => operation?.state))
  assert.deepEqual([...states].filter(state => state !== undefined).sort(), [...operationStates].sort())
})

test('every command on every operation gives no event, or one that the table allows and evolve takes', () => {
  always(
    () => true,
    step => {
      const { operation, decision, next } = step
      if (decision.event === undefined) return assert.equal(next, operation)
      assert.equal(next?.state, target(operation?.state ?? 'none', decision.event.type), shown(step))
      assert.equal(next?.sequence, (operation?.sequence ?? 0) + 1)
    },
  )
})

test('every row of the table is reached: none of them is dead', () => {
  const reached = new Set<string>()
  for (const { operation, decision } of steps()) reached.add(`${operation?.state ?? 'none'} ${decision.event?.type}`)
  for (const { from, event } of transitions) assert.ok(reached.has(`${from} ${event}`), `${from} --${event}-->`)
})

test('deciding changes nothing that it was given, and is the same each time', () => {
  for (const operation of Object.values(operations)) {
    for (const command of commands()) {
      const standing = Object.freeze({ operation: operation && Object.freeze({ ...operation }) })
      const decision = decide(standing, Object.freeze({ ...command }))
      assert.deepEqual(decide(standing, command), decision)
    }
  }
})

test('I1: an epoch begins only on a free key or a reopenable not_executed, a round only on an answered question', () => {
  always(
    ({ decision }) => decision.event !== undefined,
    step => {
      const { operation, next } = step as Step & { next: Operation }
      const opens = operation === undefined || (operation.state === 'not_executed' && operation.reopenable)
      if (next.epoch !== (operation?.epoch ?? 0))
        assert.ok(opens && next.epoch === (operation?.epoch ?? 0) + 1, shown(step))
      else if (next.round !== operation?.round) assert.equal(operation?.state, 'awaiting_input', shown(step))
    },
  )
})

test('I1: an intent comes once for each epoch and round, unless the server is declared to honour keys', () => {
  always(
    ({ decision }) => decision.event?.type === 'dispatched',
    step => {
      const { operation, next } = step as Step & { next: Operation }
      assert.equal(next.attempts, (operation?.attempts ?? 0) + 1, shown(step))
      const same = operation?.epoch === next.epoch && operation.round === next.round
      if (operation?.state === 'unknown') return assert.ok(step.declared?.replay && same, shown(step))
      if (same) assert.ok(operation.state === 'accepted' || operation.state === 'awaiting_approval', shown(step))
    },
  )
})

test('I2: what is settled never moves again, and a reopenable not_executed moves only into the next epoch', () => {
  always(
    ({ operation }) => operation !== undefined && isFinal(operation),
    step => {
      const { operation, decision } = step as Step & { operation: Operation }
      if (isSettled(operation)) return assert.equal(decision.event, undefined, shown(step))
      if (decision.event !== undefined) assert.equal(decision.event.epoch, operation.epoch + 1, shown(step))
    },
  )
})

test('I2: evolve itself refuses what decide never asks for', () => {
  const stamp = { sequence: 3, epoch: 1, round: 1, at }
  const closed = operations['not executed, closed'] as Operation
  const refused: [Operation | undefined, OperationEvent][] = [
    [operations.succeeded, { type: 'failed', ...stamp, evidence: 'person', code: 'upstream_error' }],
    [operations.executing, { type: 'succeeded', ...stamp, evidence: 'upstream' }],
    [operations.executing, { type: 'succeeded', ...stamp, sequence: 2, epoch: 2, evidence: 'upstream' }],
    [operations.executing, { type: 'succeeded', ...stamp, sequence: 2, round: 2, evidence: 'upstream' }],
    [
      closed,
      {
        type: 'dispatched',
        ...stamp,
        sequence: closed.sequence + 1,
        epoch: 2,
        callId: 'c',
        fingerprint: 'f',
        owner: 'o',
        attempt: 2,
      },
    ],
    [
      operations.accepted,
      { type: 'dispatched', ...stamp, sequence: 2, callId: 'c', fingerprint: 'f', owner: 'o', attempt: 2 },
    ],
    [
      operations['awaiting input'],
      { type: 'dispatched', ...stamp, callId: 'c', fingerprint: 'f', owner: 'o', attempt: 2 },
    ],
    [
      undefined,
      { type: 'not_executed', ...stamp, sequence: 1, evidence: 'no_intent', code: 'cancelled', reopenable: true },
    ],
  ]
  for (const [operation, event] of refused)
    assert.throws(() => evolve(operation, event), { name: 'InvariantError' }, event.type)
})

test('I3: not_executed is said without an intent, by the dispatcher of the only attempt, or by named evidence', () => {
  always(
    ({ decision }) => decision.event?.type === 'not_executed',
    step => {
      const { operation, next } = step as Step & { next: Operation & { state: 'not_executed' } }
      if (next.evidence === 'person' || next.evidence === 'probe' || next.evidence === 'upstream_replay') {
        return assert.equal(next.reopenable, false, shown(step))
      }
      assert.equal(next.round, 1, 'an earlier round was sent')
      assert.equal(next.reopenable, true)
      if (next.evidence === 'no_intent')
        assert.ok(operation?.state !== 'executing' && operation?.state !== 'unknown', shown(step))
      else assert.equal(next.evidence, 'dispatcher')
    },
  )
})

test('I3: succeeded and failed name their evidence', () => {
  always(
    ({ decision }) => decision.event?.type === 'succeeded' || decision.event?.type === 'failed',
    step => {
      const { operation, next } = step as Step & { next: Operation & { state: 'succeeded' } }
      const isReplayed = operation?.state === 'executing' && operation.recovery !== undefined
      assert.equal(next.evidence === 'upstream', operation?.state === 'executing' && !isReplayed, shown(step))
    },
  )
})

test('I5: a conflict, a replay and an attachment move nothing', () => {
  always(
    ({ decision }) => decision.answer.kind !== 'own',
    step => assert.equal(step.decision.event, undefined, shown(step)),
  )
})

test('I5: a call whose change is not settled under another key is a possible duplicate, unless its key names that call', () => {
  for (const twin of Object.values(operations)) {
    if (twin === undefined) continue
    const expected = twinStates.includes(twin.state) ? '- possible_duplicate' : 'dispatched own'
    assert.equal(answerOf(undefined, submit(), twin), expected)
    assert.equal(answerOf(operations['not executed, reopenable'], submit(), twin), expected)
    assert.equal(answerOf(undefined, submit({ fingerprint: 'g' }), twin), 'dispatched own')
    assert.equal(
      answerOf(undefined, submit({ after: afterCall(`k;after=${twin.operationId}`) }), twin),
      'dispatched own',
    )
    assert.equal(answerOf(undefined, submit({ after: twin.callId }), twin), 'dispatched own')
    assert.equal(answerOf(undefined, submit({ after: '01ZZZZZZZZZZZZZZZZZZZZZZZZ' }), twin), expected)
  }
})

test('I9: a call received before somebody was told not_found does not run; one received later does', () => {
  assert.equal(answerOf(undefined, submit({ fencedAt: at })), 'not_executed own')
  assert.equal(answerOf(undefined, submit({ fencedAt: at - 1 })), 'dispatched own')
  const fenced = after(submit({ fencedAt: at, callId: first }))
  assert.equal(fenced.state === 'not_executed' && fenced.code, 'asked_before')
  assert.equal(answerOf(fenced, submit({ fencedAt: at })), '- replayed')
  assert.equal(answerOf(fenced, submit({ fencedAt: at, receivedAt: at + 1 })), 'dispatched own')
})

test('a call that may not run is on record as not_executed with its reason, and its key may try again', () => {
  const reasons = {
    deadline_passed: { at: dispatchBy },
    queue_full: { slot: 'full' },
    cancelled: { cancelled: true },
  } as const
  for (const [code, changes] of Object.entries(reasons)) {
    const operation = after(submit(changes))
    assert.deepEqual([operation.state === 'not_executed' && operation.code, operation.attempts], [code, 0])
    assert.equal(answerOf(operation, submit({ callId: 'later' })), 'dispatched own')
  }
})

test('after a failover everything that may have been sent under a lost record is unknown, and nothing else moves', () => {
  const lost = (name: string, later?: { fingerprint: string; hasInputs?: boolean }) => {
    const { event } = decide(
      { operation: operations[name] },
      { type: 'lose_record', at, ...(later && { later: { callId: second, hasInputs: false, ...later } }) },
    )
    return event && `${event.type} ${event.epoch}.${event.round} ${'code' in event ? event.code : ''}`
  }
  assert.equal(lost('none', { fingerprint: 'f' }), 'lost 1.1 record_lost')
  assert.equal(lost('none'), undefined)
  for (const name of ['accepted', 'awaiting approval', 'executing']) assert.equal(lost(name), 'lost 1.1 record_lost')
  assert.equal(lost('awaiting input', { fingerprint: 'f', hasInputs: true }), 'lost 1.1 record_lost')
  assert.equal(lost('awaiting input', { fingerprint: 'f' }), undefined)
  assert.equal(lost('not executed, reopenable', { fingerprint: 'f' }), 'lost 2.1 record_lost')
  assert.equal(lost('not executed, reopenable', { fingerprint: 'g' }), undefined, 'another change did not reopen it')
  assert.equal(lost('not executed, reopenable'), undefined)
  for (const name of ['succeeded', 'failed', 'unknown', 'not executed, closed'])
    assert.equal(lost(name, { fingerprint: 'f', hasInputs: true }), undefined, name)
})

// The table "a request that repeats a key".

test('same fingerprint, final: replay', () => {
  for (const name of [
    'succeeded',
    'succeeded, by a person',
    'failed',
    'not executed, closed',
    'not executed, refused',
  ]) {
    assert.equal(answerOf(operations[name], submit()), '- replayed', name)
    assert.equal(answerOf(operations[name], submit({ inputs })), '- replayed', name)
  }
})

test('same fingerprint, running: attach', () => {
  for (const name of ['accepted', 'awaiting approval', 'executing', 'executing, round 2', 'executing, epoch 2']) {
    assert.equal(answerOf(operations[name], submit()), '- attached', name)
  }
})

test('same fingerprint, unknown: a repeated call itself never dispatches', () => {
  always(
    ({ operation, command }) =>
      operation?.state === 'unknown' && command.type === 'submit' && command.fingerprint === 'f',
    ({ operation, decision }) => {
      const kind = isBeingRecovered(operation as Operation) ? 'attached' : 'replayed'
      assert.deepEqual(decision, { event: undefined, answer: { kind } })
    },
  )
})

test('same fingerprint, reopenable not_executed: a new attempt in the next epoch, which keeps the operation', () => {
  const before = operations['not executed, reopenable'] as Operation
  const reopened = evolve(before, decide({ operation: before }, submit()).event as OperationEvent)
  assert.deepEqual(reopened, {
    operationId: first,
    callId: second,
    fingerprint: 'f',
    attempts: 2,
    firstSeenAt: at,
    sequence: 3,
    epoch: 2,
    round: 1,
    state: 'executing',
    owner: 'o2',
    dispatchedAt: at,
  })
  assert.equal(answerOf(before, submit({ slot: 'queue' })), 'accepted own')
  assert.equal(answerOf(before, submit({ slot: 'full' })), '- replayed')
  assert.equal(answerOf(before, submit({ cancelled: true })), '- replayed')
})

test('other fingerprint: idempotency_conflict, whatever the state', () => {
  always(
    ({ operation, command }) => operation !== undefined && command.type === 'submit' && command.fingerprint === 'g',
    ({ decision }) =>
      assert.deepEqual(decision, { event: undefined, answer: { kind: 'conflicted', code: 'idempotency_conflict' } }),
  )
})

test('an open question: one answer wins, the same answers attach, others conflict, none is shown the question', () => {
  const question = operations['awaiting input']
  assert.equal(answerOf(question, submit()), '- replayed')
  assert.equal(answerOf(question, answered), 'dispatched own')
  assert.equal(answerOf(question, { ...answered, slot: 'queue' }), 'accepted own')
  assert.equal(
    answerOf(question, submit({ inputs: { stateHash: requestStateHash('other'), inputsHash: 'i1' } })),
    '- input_conflict',
  )
  for (const name of ['executing, round 2', 'accepted, round 2', 'executing, first try with inputs']) {
    assert.equal(answerOf(operations[name], answered), '- attached', name)
    assert.equal(
      answerOf(operations[name], submit({ inputs: { ...inputs, inputsHash: 'i2' } })),
      '- input_conflict',
      name,
    )
  }
})

test('an answer that may not run leaves the question open', () => {
  for (const changes of [{ slot: 'full' }, { at: dispatchBy }, { cancelled: true }] as const) {
    assert.equal(answerOf(operations['awaiting input'], { ...answered, ...changes }), '- replayed')
  }
})

test('the answers that led to the next question are answered with that question when they are repeated', () => {
  const next = operations['awaiting input, round 2']
  assert.equal(answerOf(next, answered), '- replayed')
  assert.equal(answerOf(next, submit({ inputs: { ...inputs, inputsHash: 'i2' } })), '- input_conflict')
  assert.equal(
    answerOf(next, submit({ inputs: { stateHash: requestStateHash('q2'), inputsHash: 'i3' } })),
    'dispatched own',
  )
})

// What the other commands do.

const moved = (name: string, command: Command) => {
  const operation = operations[name] as Operation
  const { event } = decide({ operation }, command)
  return event === undefined ? 'dropped' : evolve(operation, event)
}
const stateAfter = (name: string, command: Command) => {
  const next = moved(name, command)
  return next === 'dropped' ? next : `${next.state}${'code' in next ? ` ${next.code}` : ''}`
}

test('a slot is taken by the owner alone, and only in time', () => {
  assert.equal(stateAfter('accepted', { type: 'take_slot', at, owner: 'o1' }), 'executing')
  assert.equal(stateAfter('accepted', { type: 'take_slot', at, owner: 'o2' }), 'dropped')
  assert.equal(stateAfter('accepted', { type: 'take_slot', at: dispatchBy, owner: 'o1' }), 'dropped')
  assert.equal(stateAfter('executing', { type: 'take_slot', at, owner: 'o1' }), 'dropped')
})

test('only the answer to this very attempt completes it', () => {
  const succeeded: Verdict = { state: 'succeeded' }
  assert.equal(stateAfter('executing, epoch 2', complete(succeeded, 1, 1)), 'dropped')
  assert.equal(stateAfter('executing, epoch 2', complete(succeeded, 1, 2)), 'succeeded')
  assert.equal(stateAfter('executing, round 2', complete(succeeded, 1)), 'dropped')
  assert.equal(stateAfter('unknown', complete(succeeded)), 'dropped')
})

test('a late answer settles an unknown, and nothing else', () => {
  const late = (verdict: Verdict, round = 1): Command => ({
    type: 'answer_late',
    at,
    ...{ epoch: 1, round, attempt: round },
    verdict,
  })
  assert.equal(stateAfter('unknown', late({ state: 'succeeded' })), 'succeeded')
  assert.equal(stateAfter('unknown', late({ state: 'failed', code: 'upstream_error' })), 'failed upstream_error')
  assert.equal(stateAfter('unknown', late({ state: 'not_executed', code: 'not_sent' })), 'not_executed not_sent')
  assert.equal(stateAfter('unknown', late({ state: 'awaiting_input', requestState: 'q' })), 'awaiting_input')
  assert.equal(stateAfter('unknown', late({ state: 'unknown', code: 'connection_lost' })), 'dropped')
  assert.equal(stateAfter('failed', late({ state: 'succeeded' })), 'dropped')
  assert.equal(stateAfter('not executed, closed', late({ state: 'succeeded' })), 'dropped')
})

test('a turned-away later round is unknown and stays so: the round before it was sent', () => {
  const turnedAway: Verdict = { state: 'not_executed', code: 'refused_by_upstream' }
  assert.equal(stateAfter('executing, round 2', complete(turnedAway, 2)), 'unknown refused_by_upstream')
  assert.equal(
    stateAfter('unknown, round 2', { type: 'answer_late', at, epoch: 1, round: 2, attempt: 2, verdict: turnedAway }),
    'dropped',
  )
})

test('sweeping: no intent is the proof that nothing was sent, an intent makes it unknown', () => {
  const sweep: Command = { type: 'sweep', at }
  assert.equal(stateAfter('accepted', sweep), 'not_executed owner_gone')
  assert.equal(stateAfter('accepted, round 2', sweep), 'unknown owner_gone')
  assert.equal(stateAfter('executing', sweep), 'unknown dispatcher_lost')
  for (const name of ['awaiting approval', 'awaiting input', 'unknown', 'succeeded'])
    assert.equal(stateAfter(name, sweep), 'dropped')
})

test('a cancel reaches only what has no intent', () => {
  const cancel: Command = { type: 'cancel', at }
  assert.equal(stateAfter('accepted', cancel), 'not_executed cancelled')
  assert.equal(stateAfter('awaiting approval', cancel), 'not_executed cancelled')
  for (const name of ['executing', 'awaiting input', 'unknown', 'succeeded'])
    assert.equal(stateAfter(name, cancel), 'dropped')
})

test('waiting ends at dispatchBy, for a slot and for a person', () => {
  const giveUp: Command = { type: 'give_up', at: dispatchBy, code: 'deadline_passed' }
  assert.equal(stateAfter('accepted', giveUp), 'not_executed deadline_passed')
  assert.equal(stateAfter('awaiting approval', giveUp), 'not_executed deadline_passed')
  assert.equal(
    stateAfter('awaiting approval', { type: 'approve', at: dispatchBy, owner: 'o1', slot: 'free' }),
    'dropped',
  )
  assert.equal(stateAfter('executing', giveUp), 'dropped')
})

test('a person allows or refuses what waits for one; a refusal closes the key', () => {
  assert.equal(stateAfter('awaiting approval', { type: 'approve', at, owner: 'o1', slot: 'free' }), 'executing')
  assert.equal(stateAfter('awaiting approval', { type: 'approve', at, owner: 'o1', slot: 'queue' }), 'accepted')
  assert.equal(stateAfter('awaiting approval', { type: 'refuse', at }), 'not_executed approval_refused')
  assert.ok(isSettled(operations['not executed, refused'] as Operation))
})

test('an unanswered question becomes unknown: something was sent', () => {
  assert.equal(stateAfter('awaiting input', { type: 'expire_input', at }), 'unknown timeout')
})

test('a person or a probe settles an unknown alone, and "not landed" closes the key', () => {
  for (const as of ['succeeded', 'failed', 'not_executed'] as const) {
    const next = moved('unknown', settle(as))
    assert.ok(next !== 'dropped' && next.state === as && isSettled(next))
    for (const name of ['executing', 'accepted', 'awaiting input', 'succeeded', 'not executed, reopenable']) {
      assert.equal(stateAfter(name, settle(as)), 'dropped', name)
    }
  }
})

test('a caller is answered when nothing more can be expected now', () => {
  const answerable = Object.values(operations).filter(operation => operation !== undefined && isAnswerable(operation))
  const states = new Set(answerable.map(operation => operation?.state))
  assert.deepEqual([...states].sort(), ['awaiting_input', 'failed', 'not_executed', 'succeeded', 'unknown'])
})

test('joining: a repeated call attaches to an unknown that is still being found out, else it is told what is known', () => {
  assert.equal(answerOf(operations['unknown, to be replayed'], submit({ callId: second })), '- attached')
  assert.equal(answerOf(operations.unknown, submit({ callId: second })), '- replayed')
})

test('a late answer counts while a replay runs: a success settles, an error waits for the other attempt', () => {
  const late = (verdict: Verdict): Command => ({
    ...{ type: 'answer_late', at: later, epoch: 1, round: 1, attempt: 1 },
    verdict,
  })
  const running = operations['executing, replayed'] as Operation
  const end = (operation: Operation, command: Command) => {
    const { event } = decide({ operation }, command, plan)
    return event === undefined ? undefined : evolve(operation, event)
  }
  assert.equal(end(running, late({ state: 'succeeded' }))?.state, 'succeeded')
  const half = end(running, late({ state: 'failed', code: 'upstream_error' })) as Operation
  assert.equal(half.state, 'executing')
  const complete = (verdict: Verdict): Command => ({
    ...{ type: 'complete', at: later, epoch: 1, round: 1, attempt: 2 },
    verdict,
  })
  assert.equal(end(half, complete({ state: 'failed', code: 'upstream_error' }))?.state, 'failed')
  assert.equal(end(half, complete({ state: 'not_executed', code: 'not_sent' }))?.state, 'unknown')
  assert.equal(end(running, complete({ state: 'failed', code: 'upstream_error' }))?.state, 'unknown')
  assert.equal(end(running, complete({ state: 'not_executed', code: 'not_sent' }))?.state, 'unknown')
})
