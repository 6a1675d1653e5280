/**
 * The whole protocol over the pure core: agents, fronts, brokers that crash, pause and come back as zombies, a journal
 * that delivers again, a store that guards, and an upstream server that is the ground truth for effects. Every run is a
 * list of steps; after each step `protocol/law.ts` is checked. fast-check prints the seed of a failure and shrinks it.
 *
 * HOLDFAST_MODEL_RUNS sets the number of runs, HOLDFAST_MODEL_SEED repeats one.
 */
import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { apply, createModel, type Model, type Step, settle, steps } from './protocol/steps.ts'
import type { Broken } from './protocol/store.ts'

const runs = Number(process.env.HOLDFAST_MODEL_RUNS ?? 10_000)
const seed = process.env.HOLDFAST_MODEL_SEED === undefined ? Date.now() : Number(process.env.HOLDFAST_MODEL_SEED)

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
  t.diagnostic(`seed ${seed}, ${runs} runs`)
  const seen = new Map<string, number>()
  const property = fc.property(histories, history => {
    for (const what of summary(play(history))) seen.set(what, (seen.get(what) ?? 0) + 1)
  })
  fc.assert(property, { seed, numRuns: runs, includeErrorInReport: true })
  t.diagnostic(JSON.stringify(Object.fromEntries([...seen].sort())))
  // A model in which these never happen would prove nothing about them.
  for (const what of expected) assert.ok((seen.get(what) ?? 0) > 0, `never seen: ${what}`)
})

const expected = [
  ...['accepted', 'approval_requested', 'dispatched', 'input_required', 'succeeded', 'failed', 'not_executed', 'lost'],
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
    }
    if (operation.epoch > 1) yield 'epoch 2'
    if (operation.round > 1) yield 'round 2'
    if (key.includes(';after=') && operation.attempts > 0) yield 'deliberate twin'
  }
}

/** Looks for a history that the broken protocol cannot bear, and returns what it broke. */
function caught(broken: Broken): string {
  const details = fc.check(
    fc.property(histories, history => void play(history, broken)),
    { seed, numRuns: 20_000, endOnFailure: true },
  )
  assert.ok(details.failed, `seed ${seed}: 20,000 histories and nothing noticed`)
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

test('the model catches a replay that is not byte for byte', () => {
  assert.match(caught({ replay: true }), /^I10:/)
})

// One history by name, because every part of it is ordinary.

const call = (changes: object = {}) => ({ do: 'call', key: 0, change: 1, inputs: 0, approval: 1, ...changes }) as Step
const taken = (slot: string): Step[] => [
  { do: 'append', pick: 0 } as Step,
  { do: 'take', process: 0, slot } as Step,
  ...Array.from({ length: 3 }, () => ({ do: 'run', pick: 0, times: 1 }) as const),
]

test('a call that is redelivered after another one reopened its key is answered from the record and sends nothing', () => {
  const model = createModel()
  const refused = [call(), ...taken('full')]
  const reopened = [call(), ...taken('full'), call(), ...taken('free')]
  const again = Array.from({ length: 3 }, (_, pick) => [
    { do: 'redeliver', pick, process: 1, slot: 'free' } as Step,
    ...Array.from({ length: 6 }, (_, index) => ({ do: 'run', pick: index, times: 1 }) as const),
  ]).flat()
  for (const step of [...refused, ...reopened]) apply(model, step)
  const [row] = [...model.store.rows()]
  assert.deepEqual([row?.operation.state, row?.operation.epoch], ['executing', 2])
  for (const step of again) apply(model, step)
  settle(model)
  assert.equal(row?.operation.epoch, 2)
  assert.equal(model.upstream.requests.length, 1)
})
