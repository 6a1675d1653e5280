/** The model's world, the steps that may happen in it, and how it comes to rest. */
import fc from 'fast-check'
import { isBeingRecovered, type Operation, type Unknown } from '../../../shared/call/operation.ts'
import {
  answer,
  handleAsk,
  handleCancel,
  handleSubmit,
  type JournalRecord,
  move,
  moveRow,
  boundTicks,
  recover,
  type Process,
  type Slot,
  type SubmitRecord,
  sweep,
  takeSlot,
  type Task,
  type World,
} from './broker.ts'
import { createLaw } from './law.ts'
import { type Broken, createStore } from './store.ts'
import { createUpstream, type Happening, happenings } from './upstream.ts'

const pick = fc.nat({ max: 11 })

const step = <Do extends string, Fields extends object>(
  weight: number,
  name: Do,
  fields: { [K in keyof Fields]: fc.Arbitrary<Fields[K]> },
) => ({
  weight,
  arbitrary: fc.record({ do: fc.constant(name), ...fields }) as unknown as fc.Arbitrary<
    { readonly do: Do } & Readonly<Fields>
  >,
})
const slot = fc.constantFrom<Slot>('free', 'free', 'queue', 'full')

/** One step. Numbers choose among what is there, whatever that is; a step with nothing to act on does nothing. */
export const steps = fc.oneof(
  step(10, 'call', {
    key: fc.nat({ max: 4 }),
    change: fc.nat({ max: 9 }),
    inputs: fc.nat({ max: 5 }),
    approval: fc.nat({ max: 9 }),
  }),
  step(12, 'append', { pick }),
  step(14, 'take', { process: pick, slot }),
  step(50, 'run', { pick: fc.nat({ max: 60 }), times: fc.integer({ min: 1, max: 4 }) }),
  step(18, 'upstream', { pick, happening: fc.constantFrom<Happening>(...happenings, 'asks', 'asks', 'turns away') }),
  step(2, 'ask', { key: fc.nat({ max: 4 }) }),
  step(2, 'cancel', { pick }),
  step(3, 'redeliver', { pick, process: pick, slot }),
  step(2, 'crash', { process: pick }),
  step(2, 'pause', { process: pick }),
  step(5, 'resume', { process: pick }),
  step(3, 'loseReply', { process: pick }),
  step(5, 'sweep', { process: pick }),
  step(6, 'takeSlot', { process: pick, key: pick }),
  step(2, 'giveUp', { process: pick, key: pick }),
  step(4, 'timeOut', { pick }),
  step(4, 'person', {
    process: pick,
    key: pick,
    as: fc.constantFrom<'succeeded' | 'failed' | 'not_executed'>('succeeded', 'failed', 'not_executed'),
  }),
  step(18, 'recover', {
    process: pick,
    key: pick,
    finds: fc.boolean(),
    impossible: fc.nat({ max: 15 }),
    waits: fc.nat({ max: 2 }),
    times: fc.integer({ min: 0, max: 4 }),
  }),
  step(6, 'outcome', { key: pick }),
  step(2, 'skip', { ticks: fc.integer({ min: 3, max: 40 }) }),
)
export type Step = typeof steps extends fc.Arbitrary<infer S> ? S : never

const leaseTicks = 20
/** The process stops sending well before the database gives its lease to others. */
const deadlineTicks = 15
const patienceTicks = 120

export type Model = World & {
  readonly processes: readonly Process[]
  /** Received by a front, not yet appended. */
  readonly arriving: JournalRecord[]
  /** Appended, not yet taken by a broker. */
  readonly journal: JournalRecord[]
  /** Taken at least once. */
  readonly taken: JournalRecord[]
  lastId: number
}

export function createModel(broken: Broken = {}): Model {
  const clock = { now: 1 }
  const law = createLaw()
  const store = createStore({ clock, law, broken })
  const processes = ['p1', 'p2', 'p3'].map(name => ({
    name,
    ...{ owner: '', deadline: 0, paused: false, losesReply: false, tasks: [], held: new Map(), waiting: new Map() },
  }))
  const model = {
    clock,
    law,
    store,
    broken,
    processes,
    upstream: createUpstream(),
    receivedAt: new Map(),
    arriving: [],
    journal: [],
    taken: [],
    lastId: 0,
  }
  for (const process of processes) start(model, process)
  return model
}

/** One step, then time passes, leases are renewed, and the law is checked. */
export function apply(model: Model, step: Step): void {
  act(model, step)
  model.clock.now += 1
  for (const process of model.processes) if (!process.paused) renew(model, process)
  model.upstream.giveUpBefore(model.clock.now - boundTicks)
  model.law.holds(model.store.rows(), model.upstream.requests)
}

function act(model: Model, step: Step): void {
  const { store, upstream, journal, arriving, taken } = model
  const process = 'process' in step ? (choose(model.processes, step.process) as Process) : undefined
  switch (step.do) {
    case 'call':
      return void arriving.push(receive(model, step))
    case 'ask':
      return void arriving.push({ type: 'ask', key: keyOf(model, step.key), receivedAt: model.clock.now })
    case 'cancel': {
      const call = choose(
        [...taken, ...journal].filter(record => record.type === 'submit'),
        step.pick,
      )
      return call && void arriving.push({ type: 'cancel', callId: call.callId, key: call.key })
    }
    case 'append':
      return void journal.push(...remove(arriving, step.pick))
    case 'take': {
      const record = process?.paused ? undefined : journal.shift()
      if (record === undefined) return
      taken.push(record)
      return handle(model, process as Process, record, step.slot)
    }
    case 'redeliver': {
      const record = choose(taken, step.pick)
      return record && handle(model, process as Process, record, step.slot)
    }
    case 'run': {
      const running = model.processes
        .filter(({ paused }) => !paused)
        .flatMap(owner => owner.tasks.map(task => ({ owner, task })))
      const chosen = choose(running, step.pick)
      for (let time = 0; chosen !== undefined && time < step.times; time += 1) run(chosen.owner, chosen.task)
      return
    }
    case 'crash':
      return crash(model, process as Process)
    case 'pause':
      ;(process as Process).paused = true
      return
    case 'resume':
      ;(process as Process).paused = false
      return
    case 'loseReply':
      ;(process as Process).losesReply = true
      return
    case 'sweep':
      return add(process, sweep(model, process as Process))
    case 'takeSlot': {
      const key = choose(keysIn(process, 'accepted'), step.key)
      return key === undefined ? undefined : add(process, takeSlot(model, process as Process, key))
    }
    case 'giveUp': {
      const waits = ({ operation }: { operation: Operation }) =>
        'dispatchBy' in operation && operation.dispatchBy <= model.clock.now
      const row = choose([...store.rows()].filter(waits), step.key)
      return (
        row &&
        add(
          process,
          moveRow(model, process as Process, row.key, row.operation, {
            type: 'give_up',
            at: model.clock.now,
            code: 'deadline_passed',
          }),
        )
      )
    }
    case 'timeOut': {
      const request = choose(
        upstream.requests.filter(({ seen, timedOut }) => seen === undefined && !timedOut),
        step.pick,
      )
      if (request !== undefined) request.timedOut = true
      return
    }
    case 'upstream': {
      const open = upstream.requests.filter(({ seen, mayLand }) => seen === undefined || mayLand)
      const request = choose(open, step.pick)
      return request && upstream.happen(request, step.happening)
    }
    case 'person':
      return person(model, process as Process, step)
    case 'recover': {
      const row = choose(
        [...store.rows()].filter(({ operation }) => isBeingRecovered(operation)),
        step.key,
      )
      if (row === undefined) return
      if (step.impossible > 0) {
        // Nothing else need happen until it is due.
        const { next } = (row.operation as Unknown).recovery ?? {}
        if (step.waits > 0 && next !== undefined) model.clock.now = Math.max(model.clock.now, next.at)
        add(process, recover(model, process as Process, row.key, step.finds))
        const task = process?.tasks.at(-1)
        for (let time = 0; !process?.paused && task && time < step.times; time += 1) run(process as Process, task)
        return
      }
      const without = [step.finds ? 'probe' : 'replay'] as const
      return add(
        process,
        moveRow(model, process as Process, row.key, row.operation, {
          ...{ type: 'reschedule', at: model.clock.now, without },
        }),
      )
    }
    case 'outcome': {
      const row = choose([...store.rows()], step.key)
      return row && answer(model, row)
    }
    case 'skip':
      model.clock.now += step.ticks
      return
  }
}
type StepOf<Do extends string> = Extract<Step, { do: Do }>

/** A front receives a call. Its key may be used before, may name a twin, and may answer an open question. */
function receive(model: Model, step: StepOf<'call'>): SubmitRecord {
  model.lastId += 1
  const callId = String(model.lastId).padStart(26, '0')
  const key = keyOf(model, step.key)
  const row = model.store.row(key)
  const question = row?.operation.state === 'awaiting_input' || step.inputs === 5
  const lastAsked = model.upstream.requests.findLast(
    request => request.key === key && request.seen?.kind === 'input_required',
  )
  const requestState = lastAsked?.seen?.kind === 'input_required' ? lastAsked.seen.requestState : 'q'
  model.receivedAt.set(callId, model.clock.now)
  return {
    ...{ type: 'submit', callId, key, receivedAt: model.clock.now, dispatchBy: model.clock.now + patienceTicks },
    // Mostly the change that its key stands for; sometimes another one.
    fingerprint: `change ${step.change === 0 ? 'other' : changes[key[0] as keyof typeof changes]}`,
    inputs:
      question && step.inputs > 0
        ? { requestState, inputsHash: `inputs ${step.inputs % 2} to ${requestState}` }
        : undefined,
    needsApproval: step.approval === 0,
  } as SubmitRecord
}

const changes = { a: 1, b: 2, c: 1, d: 3 } as const

/** Of the four plain keys `a` and `c` stand for the same change; the last is a deliberate twin of the newest call. */
function keyOf(model: Model, index: number): string {
  if (index < 3) return ['a', 'b', 'c'][index] as string
  if (index === 3) return 'd'
  const newest = [...model.store.rows()].at(-1)
  return newest === undefined ? 'a' : `c;after=${newest.operation.operationId}`
}

/** A person judges by the truth as far as it shows; a "not landed" may be overtaken by a request under way. */
function person(model: Model, process: Process, { key, as }: StepOf<'person'>): void {
  const row = choose([...model.store.rows()], key)
  if (row === undefined) return
  const at = model.clock.now
  const landed = model.upstream.requests.some(request => request.key === row.key && request.landed)
  switch (row.operation.state) {
    case 'awaiting_approval': {
      const command =
        as === 'failed'
          ? { type: 'refuse' as const, at }
          : {
              type: 'approve' as const,
              at,
              owner: process.owner,
              slot: as === 'succeeded' ? ('free' as const) : ('queue' as const),
            }
      return add(process, moveRow(model, process, row.key, row.operation, command))
    }
    case 'awaiting_input':
      return add(process, moveRow(model, process, row.key, row.operation, { type: 'expire_input', at }))
    case 'unknown': {
      if (landed ? as === 'not_executed' : as === 'succeeded') return
      return add(
        process,
        moveRow(model, process, row.key, row.operation, { type: 'settle', at, as, evidence: 'person' }),
      )
    }
    default:
      return
  }
}

function handle(model: Model, process: Process, record: JournalRecord, slot: Slot): void {
  process.tasks.push({ run: taskOf(model, process, record, slot), record })
}

function taskOf(model: Model, process: Process, record: JournalRecord, slot: Slot): Task {
  switch (record.type) {
    case 'submit':
      return handleSubmit(model, process, record, slot)
    case 'cancel':
      return handleCancel(model, process, record.key, record.callId)
    case 'ask':
      return handleAsk(model, record.key, record.receivedAt)
  }
}

const add = (process: Process | undefined, run: Task): void => void process?.tasks.push({ run })

function run(process: Process, task: Process['tasks'][number]): void {
  if (!process.tasks.includes(task)) return
  if (task.run.next().done) process.tasks.splice(process.tasks.indexOf(task), 1)
}

/** Everything in memory is gone; what was not handled is delivered again. */
function crash(model: Model, process: Process): void {
  const unfinished = process.tasks.flatMap(({ record }) => (record === undefined ? [] : [record]))
  model.journal.unshift(...unfinished)
  process.tasks.length = 0
  process.held.clear()
  process.waiting.clear()
  process.paused = false
  start(model, process)
}

function start(model: Model, process: Process): void {
  model.lastId += 1
  process.owner = `${process.name}.${model.lastId}`
  model.store.renew(process.owner, model.clock.now + leaseTicks)
  process.deadline = model.clock.now + deadlineTicks
}

/** An expired lease is never renewed: the process takes a new owner id and leaves its operations to the sweep. */
function renew(model: Model, process: Process): void {
  if (!model.store.isLive(process.owner)) return start(model, process)
  model.store.renew(process.owner, model.clock.now + leaseTicks)
  process.deadline = model.clock.now + deadlineTicks
}

/**
 * Lets everything end: all commands arrive and are handled, every request ends, whoever is gone is swept. I7: then every
 * operation is final or unknown, or waits for a person or an answer.
 */
export function settle(model: Model): void {
  for (const process of model.processes) process.paused = false
  model.journal.push(...model.arriving.splice(0))
  for (let round = 0; round < 3; round += 1) {
    while (model.journal.length > 0) apply(model, { do: 'take', process: round, slot: 'free' })
    drain(model)
    for (const request of model.upstream.requests) model.upstream.happen(request, 'resets')
    drain(model)
    apply(model, { do: 'skip', ticks: patienceTicks })
    for (const process of model.processes) {
      for (const key of keysIn(process, 'accepted'))
        add(
          process,
          move(model, process, key, (_, at) => ({ type: 'give_up', at, code: 'deadline_passed' })),
        )
      add(process, sweep(model, process))
      drain(model)
    }
  }
  for (const { key, operation } of model.store.rows()) {
    if (operation.state === 'accepted' || operation.state === 'executing')
      throw new Error(`I7: ${key} stays ${operation.state}`)
  }
  for (const record of model.taken) {
    const isKept = record.type !== 'submit' || model.store.isHandled(record.callId)
    if (!isKept) throw new Error(`I7: call ${(record as SubmitRecord).callId} was never handled`)
  }
  for (const row of model.store.rows()) answer(model, row)
}

/** Runs every task until none can go on; requests without an answer keep theirs open. */
function drain(model: Model): void {
  for (let turn = 0; turn < 60; turn += 1) {
    for (const process of model.processes) for (const task of [...process.tasks]) run(process, task)
    apply(model, { do: 'skip', ticks: 0 })
  }
}

const keysIn = (process: Process | undefined, state: Operation['state']): string[] =>
  [...(process?.held ?? [])].filter(([, operation]) => operation.state === state).map(([key]) => key)

const choose = <T>(items: readonly T[], index: number): T | undefined => items[index % Math.max(items.length, 1)]
const remove = <T>(items: T[], index: number): T[] => (items.length === 0 ? [] : items.splice(index % items.length, 1))
