/**
 * A broker process of the model. Its tasks are generators that stop at every `yield`, before each look at and each commit
 * to the store and before the first byte: there it may be overtaken, paused for longer than its lease, or killed.
 */
import { type Command, decide, isAnswerable, type OperationEvent, type Submit } from '../../../shared/call/decide.ts'
import { evolve } from '../../../shared/call/evolve.ts'
import { requestStateHash } from '../../../shared/call/fingerprint.ts'
import { afterCall } from '../../../shared/call/key.ts'
import { isFinal, type Operation } from '../../../shared/call/operation.ts'
import { classify, type Seen } from '../../../shared/call/seen.ts'
import { isTwin } from '../../../shared/call/decide.ts'
import type { RecoveryPlan } from '../../../shared/call/recovery.ts'
import type { Law } from './law.ts'
import type { Broken, Row, Standing, Store } from './store.ts'
import type { Upstream } from './upstream.ts'

export type SubmitRecord = {
  readonly type: 'submit'
  readonly callId: string
  readonly key: string
  readonly fingerprint: string
  readonly receivedAt: number
  readonly dispatchBy: number
  readonly inputs: { readonly requestState: string | undefined; readonly inputsHash: string } | undefined
  readonly needsApproval: boolean
}
export type JournalRecord =
  | SubmitRecord
  | { readonly type: 'cancel'; readonly callId: string; readonly key: string }
  | { readonly type: 'ask'; readonly key: string; readonly receivedAt: number }

export type World = {
  readonly clock: { now: number }
  readonly store: Store
  readonly upstream: Upstream
  readonly law: Law
  readonly broken: Broken
  /** When front received a call. */
  readonly receivedAt: Map<string, number>
}

export type Task = Generator<void, void, void>
export type Process = {
  readonly name: string
  /** A new one at every start, and whenever the lease ran out. */
  owner: string
  /** When the process itself stops to send under this owner: before the lease ends. */
  deadline: number
  paused: boolean
  /** The next commit is made, and its reply lost. */
  losesReply: boolean
  tasks: { readonly run: Task; readonly record?: JournalRecord }[]
  /** Operations this process may act on, as it last knew them. */
  readonly held: Map<string, Operation>
  /** Calls that wait here for the end of an operation, by key. */
  readonly waiting: Map<string, Set<string>>
}

export type Slot = Submit['slot']

/** No request takes effect later than this after it was sent: what an operator who declares a probe to be proof says. */
export const boundTicks = 25

const recovery = { attempts: 3, timeMs: 1e6, timeoutMs: 1, lateWindowMs: 5 }
const replay = { keepsMs: 1e6, pauseMs: 2 }
const probe = { afterMs: boundTicks, everyMs: 3, consistent: true }

/**
 * What the tools of the keys declare: that of `b` everything, that of `d` a probe, the others nothing. The broken broker takes all servers for such that honour keys, or believes a look at once.
 */
export function planOf({ broken }: World, key: string): RecoveryPlan | undefined {
  if (key === 'b') return { ...recovery, replay, probe }
  if (key === 'd') return { ...recovery, probe: broken.early ? { ...probe, afterMs: 0 } : probe }
  return broken.honours ? { ...recovery, replay } : undefined
}

/** The truth about the server. */
export const isHonoured = (key: string): boolean => key === 'b'

/** A call with a key, until it is durably handled. */
export function* handleSubmit(world: World, process: Process, record: SubmitRecord, slot: Slot): Task {
  const { store, law } = world
  const { callId, key, fingerprint } = record
  for (;;) {
    yield
    const standing = store.read(key, callId, fingerprint)
    const known = standing.row?.operation
    if (!world.broken.handled && known !== undefined && (known.operationId === callId || known.callId === callId)) {
      return yield* takeUpOwn(world, process, callId, standing.row as Row)
    }
    if (standing.handled !== undefined) return answerRedelivered(world, process, callId, standing)
    const command = submitOf(world, process, record, { slot, fencedAt: standing.fencedAt })
    const twin = standing.twins.find(other => isTwin(other, command))
    const { event, answer } = decide({ operation: known, twin: world.broken.twins ? undefined : twin }, command)
    yield
    if (event === undefined) {
      if (answer.kind === 'own') throw new Error('a submit was dropped')
      if (!store.join(callId, { key, how: answer.kind })) continue
      if (answer.kind === 'conflicted') return law.refused(callId)
      return wait(world, process, callId, standing.row as Row)
    }
    const next = evolve(known, event)
    const owner = process.owner === command.owner ? command.owner : 'nobody'
    if (world.broken.intent && next.state === 'executing') sendNow(world, next, key)
    const move = { key, operation: next, event, callId, owner }
    const moved = known === undefined ? store.claim(move, standing.fencedAt) : store.advance(move, known.sequence)
    const confirmed = moved && !process.losesReply
    if (moved) process.losesReply = false
    if (!confirmed) continue
    return begin(world, process, key, next)
  }
}

function submitOf(
  { clock }: World,
  { owner }: Process,
  record: SubmitRecord,
  has: { slot: Slot; fencedAt: number | undefined },
): Submit {
  const { callId, key, fingerprint, receivedAt, dispatchBy, inputs, needsApproval } = record
  return {
    type: 'submit',
    ...{ callId, fingerprint, receivedAt, dispatchBy, needsApproval, owner, ...has },
    at: clock.now,
    after: afterCall(key),
    inputs: inputs && { stateHash: requestStateHash(inputs.requestState), inputsHash: inputs.inputsHash },
  }
}

/**
 * The row is this very call's: redelivered, or committed although the reply was lost, and then ours to send once. It is
 * held first and looked at again then: what this process sent and recorded in between it holds no longer, either.
 */
function* takeUpOwn(world: World, process: Process, callId: string, row: Row): Task {
  yield
  const { operation, key } = row
  const isOurs = 'owner' in operation && operation.owner === process.owner && !process.held.has(key)
  if (!isOurs || operation.callId !== callId || (operation.state !== 'executing' && operation.state !== 'accepted')) {
    return wait(world, process, callId, row)
  }
  process.held.set(key, operation)
  yield
  const stands = world.store.row(key) as Row
  if (world.broken.takeUp || stands.operation.sequence === operation.sequence)
    return begin(world, process, key, operation)
  // Another task may hold a later version by now.
  if (process.held.get(key) === operation) process.held.delete(key)
  wait(world, process, callId, stands)
}

/** Handled before: the record answers. It never claims and never reopens. */
function answerRedelivered(world: World, process: Process, callId: string, { handled, row }: Standing): void {
  if (handled?.how !== 'conflicted' && row !== undefined) wait(world, process, callId, row)
}

/** After the commit: send it, or let it wait. */
function begin(world: World, process: Process, key: string, operation: Operation): void {
  const { callId } = operation
  wait(world, process, callId, { key, operation, raw: undefined })
  if (operation.state === 'executing' || operation.state === 'accepted') process.held.set(key, operation)
  if (operation.state === 'executing') process.tasks.push({ run: dispatch(world, process, key, operation) })
}

/** One request: sent unless the lease may be over, awaited past its time-out, recorded. */
function* dispatch(world: World, process: Process, key: string, operation: Operation & { state: 'executing' }): Task {
  yield
  if (process.owner !== operation.owner || world.clock.now >= process.deadline) {
    return yield* conclude(world, process, key, operation, { kind: 'not_sent', why: 'deadline', message: '' })
  }
  const request = world.broken.intent ? world.upstream.requests.at(-1) : sendNow(world, operation, key)
  if (request === undefined) return
  const { epoch, round, attempts: attempt } = operation
  let timeOutRecorded = false
  while (request.seen === undefined) {
    yield
    if (!request.timedOut || timeOutRecorded) continue
    timeOutRecorded = true
    yield* move(world, process, key, (_, at) => ({ type: 'time_out', at, epoch, round, attempt }))
  }
  yield* conclude(world, process, key, operation, request.seen)
}

function sendNow(
  { store, upstream, law, receivedAt, clock }: World,
  { callId, epoch, round, attempts: attempt }: Operation,
  key: string,
) {
  const request = upstream.send({
    ...{ key, callId, epoch, round, attempt },
    sentAt: clock.now,
    honoured: isHonoured(key),
  })
  law.sending(store.row(key), request, receivedAt.get(callId) as number)
  return request
}

function* conclude(
  world: World,
  process: Process,
  key: string,
  { epoch, round, attempts: attempt }: Operation,
  seen: Seen,
): Task {
  const verdict = classify(seen)
  const raw = 'raw' in seen ? seen.raw : undefined
  yield* move(
    world,
    process,
    key,
    (current, at) => ({
      type: current.state === 'executing' ? 'complete' : 'answer_late',
      at,
      epoch,
      round,
      attempt,
      verdict,
    }),
    raw,
  )
}

/**
 * Moves an operation this process knows: decided on what it remembers, then, where the row was moved by somebody else,
 * on the row. Ends when the row was moved or nothing is left to do.
 */
export function* move(
  world: World,
  process: Process,
  key: string,
  commandFor: (current: Operation, at: number) => Exclude<Command, Submit>,
  raw?: string,
): Task {
  let current = process.held.get(key) ?? world.store.row(key)?.operation
  while (current !== undefined) {
    const { event } = decide({ operation: current }, commandFor(current, world.clock.now), planOf(world, key))
    if (event === undefined) {
      const stored: Operation | undefined = world.store.row(key)?.operation
      if (stored === undefined || stored.sequence === current.sequence) return forget(process, key, current)
      current = stored
      continue
    }
    yield
    if (advance(world, process, key, current, event, raw)) return
    current = world.store.row(key)?.operation
    yield
  }
}

function advance(
  world: World,
  process: Process,
  key: string,
  current: Operation,
  event: OperationEvent,
  raw?: string,
): boolean {
  const next = evolve(current, event)
  const owner = next.state === 'executing' ? next.owner : undefined
  const isAnswer = !settlesNothing(event)
  if (!world.store.advance({ key, operation: next, event, raw: isAnswer ? raw : undefined, owner }, current.sequence))
    return false
  if (process.held.has(key)) process.held.set(key, next)
  if (isAnswerable(next)) tellWaiting(world, process, key)
  forget(process, key, next)
  return true
}

/** What a replay was told without settling anything is evidence, not the answer to the call. */
const settlesNothing = (event: OperationEvent): boolean =>
  (event.type === 'lost' || event.type === 'attempt_ended') && (event.recovery?.tries.length ?? 0) > 1

/**
 * The next step of a recovery, where it is due. Nobody else is kept from taking it too: what may be done is decided by the
 * sequence. `finds`: whether the look finds out anything.
 */
export function* recover(world: World, process: Process, key: string, finds: boolean): Task {
  const { clock, store, upstream } = world
  const operation = store.row(key)?.operation
  if (operation?.state !== 'unknown' || operation.recovery?.next === undefined) return
  if (operation.recovery.next.at > clock.now) return
  yield
  if (operation.recovery.next.step === 'replay')
    return yield* moveRow(world, process, key, operation, { type: 'replay', at: clock.now, owner: process.owner })
  const began = clock.now
  yield
  const landed = upstream.requests.some(request => request.key === key && request.landed)
  const look = finds ? (landed ? 'landed' : 'not_landed') : 'neither'
  yield
  yield* moveRow(world, process, key, operation, { type: 'probe', at: clock.now, began, look })
}

/** What this process need not remember: final, or another's. `unknown` stays, for the late answer. */
function forget(process: Process, key: string, operation: Operation): void {
  if (isFinal(operation) || operation.state === 'awaiting_input') process.held.delete(key)
}

function wait(world: World, process: Process, callId: string, row: Pick<Row, 'key' | 'operation' | 'raw'>): void {
  if (isAnswerable(row.operation)) return answer(world, row)
  process.waiting.set(row.key, (process.waiting.get(row.key) ?? new Set()).add(callId))
}

function tellWaiting(world: World, process: Process, key: string): void {
  const row = world.store.row(key)
  if (process.waiting.delete(key) && row !== undefined) answer(world, row)
}

/** What a caller is told. The broken replay answers in its own words. */
export function answer({ law, broken }: World, { key, operation, raw }: Pick<Row, 'key' | 'operation' | 'raw'>): void {
  law.answered(key, { operation, raw: broken.replay && raw !== undefined ? `${raw} ` : raw })
}

/** A queued operation takes a slot that came free. */
export function* takeSlot(world: World, process: Process, key: string): Task {
  const held = process.held.get(key)
  if (held?.state !== 'accepted') return
  const { owner } = process
  const { event } = decide({ operation: held }, { type: 'take_slot', at: world.clock.now, owner })
  yield
  if (event === undefined) return
  const next = evolve(held, event)
  if (world.clock.now < held.dispatchBy && world.store.advance({ key, operation: next, event, owner }, held.sequence)) {
    return begin(world, process, key, next)
  }
  if (process.held.get(key) === held) process.held.delete(key)
}

/** What belongs to an owner whose lease is over, or to this process, which no longer holds it. */
export function* sweep(world: World, process: Process): Task {
  for (const { key, operation } of [...world.store.rows()]) {
    if (operation.state !== 'accepted' && operation.state !== 'executing') continue
    const isForsaken = operation.owner === process.owner ? !process.held.has(key) : !world.store.isLive(operation.owner)
    if (!isForsaken) continue
    yield
    const { event } = decide({ operation }, sweepOf(world, operation), planOf(world, key))
    if (event !== undefined) advance(world, process, key, operation, event)
  }
}

/** The broken sweep takes a dispatched operation for one that was never sent. */
function sweepOf(
  { broken, clock }: World,
  { state, epoch, round, attempts: attempt }: Operation,
): Exclude<Command, Submit> {
  if (!broken.sweep || state !== 'executing') return { type: 'sweep', at: clock.now }
  return {
    type: 'complete',
    at: clock.now,
    epoch,
    round,
    attempt,
    verdict: { state: 'not_executed', code: 'not_sent' },
  }
}

/** The question of an outcome that was not on record, behind every command of its key. */
export function* handleAsk(world: World, key: string, receivedAt: number): Task {
  yield
  if (world.store.fence(key))
    return world.law.denied({ key, receivedAt }, callId => world.receivedAt.get(callId) as number)
  yield
  const row = world.store.row(key)
  if (row !== undefined) answer(world, row)
}

/** A cancel reaches the try of its own call, never one it merely joined. */
export function* handleCancel(world: World, process: Process, key: string, callId: string): Task {
  yield
  const operation = world.store.row(key)?.operation
  if (operation?.callId !== callId) return
  yield* moveRow(world, process, key, operation, { type: 'cancel', at: world.clock.now })
}

/** Moves a row that was just read, once: what came in between wins. */
export function* moveRow(
  world: World,
  process: Process,
  key: string,
  operation: Operation,
  command: Exclude<Command, Submit>,
): Task {
  const { event } = decide({ operation }, command, planOf(world, key))
  yield
  if (event === undefined) return
  if (!advance(world, process, key, operation, event)) return
  const next = world.store.row(key)?.operation
  if (next?.state === 'executing' || next?.state === 'accepted') begin(world, process, key, next)
}
