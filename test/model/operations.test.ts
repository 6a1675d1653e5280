/**
 * The whole protocol over the pure core: agents, fronts, brokers that crash, pause and come back as zombies, a journal
 * that delivers again, a store that guards, and an upstream server that is the ground truth for effects. Every run is a
 * list of steps; after each step `protocol/law.ts` is checked. fast-check prints the seed of a failure and shrinks it.
 *
 * HOLDFAST_MODEL_RUNS sets the number of runs, HOLDFAST_MODEL_SEED repeats one. Seeds that failed once are in
 * `test/seeds.json` and come first.
 */
import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { seedsOf } from '../helpers/seeds.ts'
import { apply, createModel, type Model, type Step, settle, steps } from './protocol/steps.ts'
import type { Broken } from './protocol/store.ts'

const runs = Number(process.env.HOLDFAST_MODEL_RUNS ?? 10_000)
const seeds = seedsOf('operations', process.env.HOLDFAST_MODEL_SEED)
const seed = seeds.at(-1) as number

const histories = fc.array(steps, { minLength: 20, maxLength: 300, size: 'max' })

function play(history: readonly Step[], broken: Broken = {}): Model {
  const model = createModel(broken)
  for (const step of history) apply(model, step)
  settle(model)
  return model
}

test('no order of calls, crashes, pauses, redeliveries and late answers breaks an invariant', {
  timeout: 600_000,
}, t => {
  t.diagnostic(`seeds ${seeds.join(', ')}, ${runs} runs`)
  const seen = new Map<string, number>()
  const property = fc.property(histories, history => {
    for (const what of summary(play(history))) seen.set(what, (seen.get(what) ?? 0) + 1)
  })
  for (const each of seeds) fc.assert(property, { seed: each, numRuns: runs, includeErrorInReport: true })
  t.diagnostic(JSON.stringify(Object.fromEntries([...seen].sort())))
  // A model in which these never happen would prove nothing about them; a few runs may miss one.
  if (runs >= 2_000) for (const what of expected) assert.ok((seen.get(what) ?? 0) > 0, `never seen: ${what}`)
})

const expected = [
  ...['accepted', 'approval_requested', 'dispatched', 'input_required', 'succeeded', 'failed', 'not_executed', 'lost'],
  ...[
    'probed',
    'attempt_ended',
    'rescheduled',
    'replay',
    'evidence probe',
    'evidence upstream_replay',
    'closed by a look',
  ],
  ...[
    'epoch 2',
    'round 2',
    'evidence late_answer',
    'evidence person',
    'asked_before',
    'deliberate twin',
    'owner_gone',
    'dispatcher_lost',
  ],
]

function* summary({ store }: Model): Generator<string> {
  for (const { key, operation, events } of store.rows()) {
    for (const event of events) {
      yield event.type
      if ('code' in event) yield event.code
      if ('evidence' in event) yield `evidence ${event.evidence}`
      if (event.type === 'dispatched' && event.recovery) yield 'replay'
      if (event.type === 'not_executed' && event.evidence === 'probe') yield 'closed by a look'
    }
    if (operation.epoch > 1) yield 'epoch 2'
    if (operation.round > 1) yield 'round 2'
    if (key.includes(';after=') && operation.attempts > 0) yield 'deliberate twin'
  }
}

/** Looks for a history that the broken protocol cannot bear, and returns what it broke. */
function caught(broken: Broken, from = seed): string {
  const details = fc.check(
    fc.property(histories, history => void play(history, broken)),
    { seed: from, numRuns: 20_000, endOnFailure: true },
  )
  assert.ok(details.failed, `seed ${from}: 20,000 histories and nothing noticed`)
  return String((details.errorInstance as Error | undefined)?.message)
}

test('the model catches a store that skips the sequence guard', () => {
  assert.match(caught({ sequence: true }), /^I[1234568]:/)
})

test('the model catches a broker that calls a dispatched operation not executed', () => {
  assert.match(caught({ sweep: true }), /^I[134]:/)
})

test('the model catches a broker that ignores the fence of a question', () => {
  assert.match(caught({ fence: true }), /^I9:/)
})

test('the model catches a broker that forgets which calls it handled', () => {
  assert.match(caught({ handled: true }), /^I[135]:/)
})

test('the model catches a store without the index of twins', () => {
  assert.match(caught({ twins: true }), /^I5:/)
})

test('the model catches a broker that sends before its intent is durable', () => {
  assert.match(caught({ intent: true }), /^I[16]:/)
})

test('the model catches a broker that takes up its own row without a second look', () => {
  assert.match(caught({ takeUp: true }), /^I1:/)
})

test('the model catches a broker that sends again to a server that honours no keys', () => {
  assert.match(caught({ honours: true }), /^I1:/)
})

test('the model catches a look that is believed while a request may still take effect', () => {
  // About one history in ten thousand: too few to wait for with any seed.
  assert.match(caught({ early: true }, 2), /^I[34]:/)
})

test('the model catches a replay that is not byte for byte', () => {
  assert.match(caught({ replay: true }), /^I10:/)
})

// Two histories by name, because every part of them is ordinary.

const call = (key = 0): Step => ({ do: 'call', key, change: 1, inputs: 0, approval: 1 })

/** Hands the oldest arrived command to a process and lets it run for a while. */
function take(model: Model, process: number, slot: 'free' | 'full', times: number): void {
  apply(model, { do: 'append', pick: 0 })
  apply(model, { do: 'take', process, slot })
  runLast(model, process, times)
}

/** Runs the newest task of a process. */
function runLast(model: Model, process: number, times: number): void {
  const before = model.processes.slice(0, process + 1).flatMap(({ tasks }) => tasks)
  apply(model, { do: 'run', pick: before.length - 1, times })
}

test('a call that is redelivered after another one reopened its key is answered from the record and sends nothing', () => {
  const model = createModel()
  for (const slot of ['full', 'free'] as const) {
    apply(model, call())
    take(model, 0, slot, 3)
  }
  const [row] = [...model.store.rows()]
  assert.deepEqual([row?.operation.state, row?.operation.epoch], ['executing', 2])
  for (const pick of [0, 1]) {
    apply(model, { do: 'redeliver', pick, process: 1, slot: 'free' })
    runLast(model, 1, 6)
  }
  settle(model)
  assert.equal(row?.operation.epoch, 2)
  assert.equal(model.upstream.requests.length, 1)
})

/** A process is about to refuse a call as a twin; the twin ends; another process is given the same call and sends it. */
function refusedAndSent(model: Model): void {
  apply(model, call(0))
  take(model, 0, 'free', 3)
  runLast(model, 0, 2)
  apply(model, call(2))
  take(model, 1, 'free', 2)
  apply(model, { do: 'upstream', pick: 0, happening: 'fails' })
  runLast(model, 0, 4)
  apply(model, { do: 'redeliver', pick: 1, process: 2, slot: 'free' })
  runLast(model, 2, 3)
  runLast(model, 2, 2)
  assert.equal(model.upstream.requests.length, 2, 'the second call should have been sent')
  runLast(model, 1, 6)
  settle(model)
}

test('a call in the hands of two processes is never sent by the one and refused by the other', () => {
  refusedAndSent(createModel())
  assert.throws(() => refusedAndSent(createModel({ handled: true })), { message: /^I5: call \d+ was sent and refused/ })
})
