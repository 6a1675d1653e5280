/**
 * What a command means for an operation. Pure: the same inputs give the same decision, in the broker, in the model
 * tests and in a replay of the journal. Invariants I1, I2, I4, I5, I9 of the design are decided here and nowhere else.
 */
import type { OutcomeCode } from './codes.ts'
import { type Evidence, type Executing, isFinal, type Operation, twinStates, type Unknown } from './operation.ts'
import {
  afterLook,
  afterReplay,
  beginRecovery,
  joinOf,
  type Look,
  mayReplay,
  provesAbsence,
  type Recovery,
  type RecoveryPlan,
  type RecoveryStep,
  withEnd,
  withoutStep,
  withReplay,
} from './recovery.ts'
import type { Verdict } from './seen.ts'
import { requestStateHash } from './fingerprint.ts'

/** A call with a key, as the broker handles it. Times are database time, milliseconds. */
export type Submit = {
  readonly type: 'submit'
  readonly callId: string
  readonly fingerprint: string
  readonly owner: string
  readonly receivedAt: number
  readonly dispatchBy: number
  /** When the broker handles it. */
  readonly at: number
  /** What the server's limits allow now. */
  readonly slot: 'free' | 'queue' | 'full'
  /** The caller cancelled it before it was handled. */
  readonly cancelled?: boolean
  /** Somebody was told `not_found` for this key at this time. */
  readonly fencedAt?: number | undefined
  readonly needsApproval?: boolean
  /** The call whose twin this one deliberately is (`;after=`). */
  readonly after?: string | undefined
  /** Answers to upstream's question: hash of the `requestState` they answer, and of the whole. */
  readonly inputs?: { readonly stateHash: string; readonly inputsHash: string } | undefined
}

/** One dispatch: `attempt` counts them over all epochs and rounds. */
export type AttemptId = { readonly epoch: number; readonly round: number; readonly attempt: number }

export type Command =
  | Submit
  /** A slot came free for an accepted operation. */
  | { readonly type: 'take_slot'; readonly at: number; readonly owner: string }
  /** The dispatcher saw the end of an attempt, in time. */
  | ({ readonly type: 'complete'; readonly at: number; readonly verdict: Verdict } & AttemptId)
  /** The tool's time-out passed; the request stays open. */
  | ({ readonly type: 'time_out'; readonly at: number } & AttemptId)
  /** An attempt ended after its outcome was recorded, after its process was fenced, or while a replay runs. */
  | ({ readonly type: 'answer_late'; readonly at: number; readonly verdict: Verdict } & AttemptId)
  /** The owner is gone, or holds the operation no longer. */
  | { readonly type: 'sweep'; readonly at: number }
  /** A call waited past its `dispatchBy`, for a slot or for a person. */
  | { readonly type: 'give_up'; readonly at: number; readonly code: 'deadline_passed' | 'not_sent' | 'queue_full' }
  | { readonly type: 'cancel'; readonly at: number }
  | { readonly type: 'approve'; readonly at: number; readonly owner: string; readonly slot: 'free' | 'queue' }
  | { readonly type: 'refuse'; readonly at: number }
  /** The question of an `awaiting_input` expired. */
  | { readonly type: 'expire_input'; readonly at: number }
  /** The request is to be sent again, to a server that honours keys. */
  | { readonly type: 'replay'; readonly at: number; readonly owner: string }
  /** A look at the server that began at `began`. */
  | { readonly type: 'probe'; readonly at: number; readonly began: number; readonly look: Look }
  /** Steps of recovery that cannot be made for this call. */
  | { readonly type: 'reschedule'; readonly at: number; readonly without: readonly RecoveryStep[] }
  /**
   * Commits after the last one on record may be lost in a database failover: what could have followed may have been sent.
   * `later` is a call of this key without a record; without an operation it is the one that stands for the key.
   */
  | {
      readonly type: 'lose_record'
      readonly at: number
      readonly later?: { readonly callId: string; readonly fingerprint: string; readonly hasInputs: boolean }
      /** Upstream's question itself is lost, so nobody can answer it. */
      readonly questionLost?: boolean
    }
  /** A person settles an `unknown`. */
  | {
      readonly type: 'settle'
      readonly at: number
      readonly as: 'succeeded' | 'failed' | 'not_executed'
      readonly evidence: Evidence
    }

/** Facts that move an operation. `sequence`, `epoch` and `round` are those after the event. */
type Stamp = { readonly sequence: number; readonly epoch: number; readonly round: number; readonly at: number }
export type OperationEvent = Stamp &
  (
    | {
        readonly type: 'accepted'
        readonly callId: string
        readonly fingerprint: string
        readonly owner: string
        readonly dispatchBy: number
        readonly inputsHash?: string | undefined
      }
    | {
        readonly type: 'approval_requested'
        readonly callId: string
        readonly fingerprint: string
        readonly dispatchBy: number
        readonly inputsHash?: string | undefined
      }
    | {
        readonly type: 'dispatched'
        readonly callId: string
        readonly fingerprint: string
        readonly owner: string
        readonly attempt: number
        readonly inputsHash?: string | undefined
        /** Set for a replay. */
        readonly recovery?: Recovery | undefined
      }
    | { readonly type: 'input_required'; readonly requestStateHash: string }
    | { readonly type: 'succeeded'; readonly evidence: Evidence }
    | { readonly type: 'failed'; readonly evidence: Evidence; readonly code: OutcomeCode }
    | {
        readonly type: 'not_executed'
        readonly evidence: Evidence
        readonly code: OutcomeCode
        readonly reopenable: boolean
        readonly callId?: string | undefined
        readonly fingerprint?: string | undefined
      }
    | {
        readonly type: 'lost'
        readonly code: OutcomeCode
        readonly callId?: string | undefined
        readonly fingerprint?: string | undefined
        readonly recovery?: Recovery | undefined
      }
    | { readonly type: 'probed'; readonly look: Look; readonly recovery: Recovery }
    | { readonly type: 'rescheduled'; readonly recovery: Recovery }
    | { readonly type: 'attempt_ended'; readonly attempt: number; readonly recovery: Recovery }
  )

/** How a call stands to the operation of its key. */
export type Answer =
  /** This call's own transition: what to tell follows from the new state. */
  | { readonly kind: 'own' }
  /** The record, as it stands. */
  | { readonly kind: 'replayed' }
  /** Wait for the running one. */
  | { readonly kind: 'attached' }
  | { readonly kind: 'conflicted'; readonly code: 'idempotency_conflict' | 'input_conflict' | 'possible_duplicate' }

export type Decision = { readonly event: OperationEvent | undefined; readonly answer: Answer }

const nothing = (answer: Answer): Decision => ({ event: undefined, answer })
const own = (event: OperationEvent): Decision => ({ event, answer: { kind: 'own' } })

/** What stands where a key is asked for: its own operation, and one with the same fingerprint under another key. */
export type Standing = { readonly operation: Operation | undefined; readonly twin?: Operation | undefined }

/**
 * @param standing what is on record
 * @param command what is asked
 * @param plan the tool's recovery; without one an `unknown` waits for a late answer or a person
 * @returns the one event to append (or none) and how the caller stands to it. An undefined event with `own` means
 *   that the command came too late to matter and is dropped.
 */
export function decide({ operation, twin }: Standing, command: Command, plan?: RecoveryPlan): Decision {
  if (command.type === 'submit') return submit(operation, twin, command)
  if (command.type === 'lose_record') return { event: loseRecord(operation, command), answer: { kind: 'own' } }
  if (operation === undefined) return nothing({ kind: 'own' })
  const event = react(operation, command, plan)
  return { event, answer: { kind: 'own' } }
}

function submit(operation: Operation | undefined, twin: Operation | undefined, command: Submit): Decision {
  if (operation === undefined) return open(undefined, twin, command)
  if (operation.fingerprint !== command.fingerprint)
    return nothing({ kind: 'conflicted', code: 'idempotency_conflict' })
  switch (operation.state) {
    case 'succeeded':
    case 'failed':
      return nothing({ kind: 'replayed' })
    case 'unknown':
      // Who asks again joins the recovery while there is a next step of it.
      return nothing({ kind: operation.recovery?.next === undefined ? 'replayed' : 'attached' })
    case 'not_executed':
      return operation.reopenable ? open(operation, twin, command) : nothing({ kind: 'replayed' })
    case 'accepted':
    case 'awaiting_approval':
    case 'executing':
      return joinRunning(operation, command)
    case 'awaiting_input':
      return continueRound(operation, command)
  }
}

function joinRunning(operation: Operation, { inputs }: Submit): Decision {
  if (inputs === undefined || inputs.inputsHash === operation.inputsHash) return nothing({ kind: 'attached' })
  return nothing({ kind: 'conflicted', code: 'input_conflict' })
}

/** A key nobody holds, or a reopenable one: claim it under the next epoch. I1, I5, I9. */
function open(previous: Operation | undefined, twin: Operation | undefined, command: Submit): Decision {
  if (twin !== undefined && isTwin(twin, command)) return nothing({ kind: 'conflicted', code: 'possible_duplicate' })
  const refusal = reasonNotToRun(command)
  if (refusal !== undefined) {
    if (previous !== undefined) return nothing({ kind: 'replayed' })
    return own({
      type: 'not_executed',
      ...claimStamp(previous, command),
      callId: command.callId,
      fingerprint: command.fingerprint,
      evidence: 'no_intent',
      code: refusal,
      reopenable: true,
    })
  }
  const { callId, fingerprint, owner, dispatchBy, inputs } = command
  // A first try may bring inputs: repeated, the same ones attach to it.
  const common = { ...claimStamp(previous, command), callId, fingerprint, inputsHash: inputs?.inputsHash }
  if (command.needsApproval) return own({ type: 'approval_requested', ...common, dispatchBy })
  if (command.slot === 'queue') return own({ type: 'accepted', ...common, owner, dispatchBy })
  return own({ type: 'dispatched', ...common, owner, attempt: (previous?.attempts ?? 0) + 1 })
}

/** What the lost commits may have done. What is settled, or `unknown` already, they cannot have sent again (I1). */
function loseRecord(
  operation: Operation | undefined,
  { at, later, questionLost }: Extract<Command, { type: 'lose_record' }>,
): OperationEvent | undefined {
  const code = 'record_lost'
  switch (operation?.state) {
    case undefined:
      return later && { type: 'lost', ...claimStamp(operation, { at }), ...identityOf(later), code }
    case 'accepted':
    case 'awaiting_approval':
    case 'executing':
      return { type: 'lost', ...nextStamp(operation, { at }), code }
    case 'awaiting_input': {
      const mayBeAnswered = later?.hasInputs === true && later.fingerprint === operation.fingerprint
      return mayBeAnswered || questionLost ? { type: 'lost', ...nextStamp(operation, { at }), code } : undefined
    }
    case 'not_executed':
      return operation.reopenable && later?.fingerprint === operation.fingerprint
        ? { type: 'lost', ...claimStamp(operation, { at }), ...identityOf(later), code }
        : undefined
    case 'succeeded':
    case 'failed':
    case 'unknown':
      return undefined
  }
}

const identityOf = ({ callId, fingerprint }: { callId: string; fingerprint: string }) => ({ callId, fingerprint })

/** A twin that the key itself names with `;after=` is deliberate. */
export const isTwin = (other: Operation, command: Pick<Submit, 'fingerprint' | 'after'>): boolean =>
  twinStates.includes(other.state) &&
  other.fingerprint === command.fingerprint &&
  (command.after === undefined || (command.after !== other.operationId && command.after !== other.callId))

function reasonNotToRun(command: Submit): OutcomeCode | undefined {
  if (command.fencedAt !== undefined && command.receivedAt <= command.fencedAt) return 'asked_before'
  if (command.at >= command.dispatchBy) return 'deadline_passed'
  if (command.slot === 'full') return 'queue_full'
  if (command.cancelled) return 'cancelled'
  return undefined
}

const claimStamp = (previous: Operation | undefined, { at }: { at: number }): Stamp => ({
  sequence: (previous?.sequence ?? 0) + 1,
  epoch: (previous?.epoch ?? 0) + 1,
  round: 1,
  at,
})

const nextStamp = ({ sequence, epoch, round }: Operation, { at }: { at: number }): Stamp => ({
  sequence: sequence + 1,
  epoch,
  round,
  at,
})

/** One continuation wins; without inputs the recorded question is the answer. */
function continueRound(operation: Operation & { state: 'awaiting_input' }, command: Submit): Decision {
  const { inputs, callId, fingerprint, owner, dispatchBy, at } = command
  if (inputs === undefined) return nothing({ kind: 'replayed' })
  if (inputs.stateHash !== operation.requestStateHash) {
    // The answers that led to this question, once more: their answer is this question.
    const isRepeated = inputs.inputsHash === operation.inputsHash
    return nothing(isRepeated ? { kind: 'replayed' } : { kind: 'conflicted', code: 'input_conflict' })
  }
  // A continuation that may not run leaves the question open: it can be answered again.
  if (reasonNotToRun(command) !== undefined) return nothing({ kind: 'replayed' })
  const stamp = { sequence: operation.sequence + 1, epoch: operation.epoch, round: operation.round + 1, at }
  const common = { ...stamp, callId, fingerprint, owner, inputsHash: inputs.inputsHash }
  if (command.slot === 'queue') return own({ type: 'accepted', ...common, dispatchBy })
  return own({ type: 'dispatched', ...common, attempt: operation.attempts + 1 })
}

function react(
  operation: Operation,
  command: Exclude<Command, { type: 'submit' | 'lose_record' }>,
  plan: RecoveryPlan | undefined,
): OperationEvent | undefined {
  const stamp = nextStamp(operation, command)
  const { fingerprint } = operation
  switch (command.type) {
    case 'take_slot': {
      if (operation.state !== 'accepted' || operation.owner !== command.owner || command.at >= operation.dispatchBy)
        return undefined
      return {
        type: 'dispatched',
        ...stamp,
        callId: operation.callId,
        fingerprint,
        owner: command.owner,
        attempt: operation.attempts + 1,
        inputsHash: operation.inputsHash,
      }
    }
    case 'complete':
      return operation.state === 'executing' && isCurrent(operation, command)
        ? concluded(operation, stamp, command.verdict, plan)
        : undefined
    case 'time_out':
      return operation.state === 'executing' && isCurrent(operation, command)
        ? lostAttempt(operation, stamp, { code: 'timeout', open: true }, plan)
        : undefined
    case 'answer_late':
      if (!isOfRound(operation, command)) return undefined
      if (operation.state === 'executing' && isCurrent(operation, command))
        return concluded(operation, stamp, command.verdict, plan)
      // I2, I4: only what is not final can be settled.
      return operation.state === 'unknown' || (operation.state === 'executing' && command.attempt < operation.attempts)
        ? answeredLate(operation, stamp, command)
        : undefined
    case 'sweep':
      if (operation.state === 'executing')
        return lostAttempt(operation, stamp, { code: 'dispatcher_lost', open: false }, plan)
      if (operation.state === 'accepted') return withoutIntent(operation, stamp, 'owner_gone')
      return undefined
    case 'give_up':
      return isWaiting(operation) ? withoutIntent(operation, stamp, command.code) : undefined
    case 'cancel':
      return isWaiting(operation) ? withoutIntent(operation, stamp, 'cancelled') : undefined
    case 'approve': {
      if (operation.state !== 'awaiting_approval' || command.at >= operation.dispatchBy) return undefined
      const { callId, dispatchBy, attempts } = operation
      const { owner } = command
      if (command.slot === 'queue') return { type: 'accepted', ...stamp, callId, fingerprint, owner, dispatchBy }
      return { type: 'dispatched', ...stamp, callId, fingerprint, owner, attempt: attempts + 1 }
    }
    case 'refuse':
      if (operation.state !== 'awaiting_approval') return undefined
      return { type: 'not_executed', ...stamp, evidence: 'person', code: 'approval_refused', reopenable: false }
    case 'expire_input':
      return operation.state === 'awaiting_input' ? { type: 'lost', ...stamp, code: 'timeout' } : undefined
    case 'replay': {
      if (operation.state !== 'unknown' || operation.recovery === undefined) return undefined
      const { recovery, callId, inputsHash } = operation
      if (recovery.next?.step !== 'replay' || recovery.next.at > command.at) return undefined
      // The time in which the server remembers the key passed while nobody was here to send it.
      if (!mayReplay(plan, recovery, command.at))
        return {
          type: 'rescheduled',
          ...stamp,
          recovery: withoutStep(plan, recovery, { steps: ['replay'], at: command.at }),
        }
      const attempt = operation.attempts + 1
      const next = withReplay(recovery, { attempt, at: command.at })
      return {
        type: 'dispatched',
        ...stamp,
        callId,
        fingerprint,
        owner: command.owner,
        attempt,
        inputsHash,
        recovery: next,
      }
    }
    case 'probe':
      return operation.state === 'unknown' && operation.recovery !== undefined
        ? looked(operation.recovery, stamp, command, plan)
        : undefined
    case 'reschedule':
      if (operation.state !== 'unknown' || operation.recovery?.next === undefined) return undefined
      return {
        type: 'rescheduled',
        ...stamp,
        recovery: withoutStep(plan, operation.recovery, { steps: command.without, at: command.at }),
      }
    case 'settle':
      return operation.state === 'unknown' ? settled(stamp, command) : undefined
  }
}

const isWaiting = ({ state }: Operation): boolean => state === 'accepted' || state === 'awaiting_approval'

const isOfRound = (operation: Operation, { epoch, round }: AttemptId): boolean =>
  operation.epoch === epoch && operation.round === round

const isCurrent = (operation: Operation, id: AttemptId): boolean =>
  isOfRound(operation, id) && operation.attempts === id.attempt

/**
 * No intent of this round is proof that nothing of it was sent (I3). In a later round something was sent before: then
 * the key has had an effect-capable attempt that asked a question, and only `unknown` is honest.
 */
function withoutIntent(operation: Operation, stamp: Stamp, code: OutcomeCode): OperationEvent {
  if (operation.round > 1) return { type: 'lost', ...stamp, code }
  return { type: 'not_executed', ...stamp, evidence: 'no_intent', code, reopenable: true }
}

/**
 * The attempt that runs ended. After earlier ones without a definite end only a success can be told from it; `failed` is
 * said by an error that is here to be recorded, and by no other.
 */
function concluded(
  operation: Executing,
  stamp: Stamp,
  verdict: Verdict,
  plan: RecoveryPlan | undefined,
): OperationEvent {
  const { recovery, attempts } = operation
  if (verdict.state === 'unknown') return lostAttempt(operation, stamp, { code: verdict.code, open: false }, plan)
  if (recovery === undefined) return definite(stamp, verdict, 'upstream')
  if (isEnough(verdict)) return definite(stamp, verdict, 'upstream_replay')
  const ended = withEnd(recovery, attempts, verdict.state)
  if (joinOf(ended.tries) === verdict.state) return definite(stamp, verdict, 'upstream_replay')
  return lostAttempt({ ...operation, recovery: ended }, stamp, { code: recovery.code, open: false }, plan)
}

/** An earlier attempt ended, or one whose outcome is on record as unknown. A doubt settles nothing. */
function answeredLate(
  { recovery }: Executing | Unknown,
  stamp: Stamp,
  { verdict, attempt }: { verdict: Verdict } & AttemptId,
): OperationEvent | undefined {
  if (verdict.state === 'unknown') return undefined
  if (isEnough(verdict)) return definite(stamp, verdict, 'late_answer')
  if (recovery === undefined) return unlessLost(definite(stamp, verdict, 'late_answer'))
  const ended = withEnd(recovery, attempt, verdict.state)
  if (joinOf(ended.tries) === verdict.state) return unlessLost(definite(stamp, verdict, 'late_answer'))
  const isKnown = recovery.tries.find(each => each.attempt === attempt)?.ended === verdict.state
  return isKnown ? undefined : { type: 'attempt_ended', ...stamp, attempt, recovery: ended }
}

/** A later round that was not sent leaves the doubt about the key as it is. */
const unlessLost = (event: OperationEvent) => (event.type === 'lost' ? undefined : event)

type Definite = Exclude<Verdict, { state: 'unknown' }>
/** What one attempt suffices for, whatever came of the others. */
const isEnough = (verdict: Definite): verdict is Exclude<Definite, { state: 'failed' | 'not_executed' }> =>
  verdict.state === 'succeeded' || verdict.state === 'awaiting_input'

/** I3: the state is the join over the attempts of the operation; earlier rounds of it were sent. */
function definite(stamp: Stamp, verdict: Definite, evidence: Evidence): OperationEvent {
  switch (verdict.state) {
    case 'succeeded':
      return { type: 'succeeded', ...stamp, evidence }
    case 'failed':
      return { type: 'failed', ...stamp, evidence, code: verdict.code }
    case 'not_executed':
      if (stamp.round > 1) return { type: 'lost', ...stamp, code: verdict.code }
      return { type: 'not_executed', ...stamp, evidence: 'dispatcher', code: verdict.code, reopenable: true }
    case 'awaiting_input':
      return { type: 'input_required', ...stamp, requestStateHash: requestStateHash(verdict.requestState) }
  }
}

/** No definite end of the attempt that runs: unknown, and what recovery does next. */
function lostAttempt(
  operation: Executing,
  stamp: Stamp,
  { code, open }: { code: OutcomeCode; open: boolean },
  plan: RecoveryPlan | undefined,
): OperationEvent {
  const { recovery, attempts, dispatchedAt } = operation
  const { at } = stamp
  if (recovery === undefined) {
    if (plan === undefined) return { type: 'lost', ...stamp, code }
    return {
      type: 'lost',
      ...stamp,
      code,
      recovery: beginRecovery(plan, { attempt: attempts, dispatchedAt, at, code, open }),
    }
  }
  const hasEnded = recovery.tries.some(({ attempt, ended }) => attempt === attempts && ended !== undefined)
  const known = open || hasEnded ? recovery : withEnd(recovery, attempts, 'lost')
  return { type: 'lost', ...stamp, code: recovery.code, recovery: afterReplay(plan, known, { at, open }) }
}

/** What a look at the server means. Not finding the change closes the key only where that is declared to be proof. */
function looked(
  recovery: Recovery,
  stamp: Stamp,
  { look, began }: { look: Look; began: number },
  plan: RecoveryPlan | undefined,
): OperationEvent {
  if (look === 'landed') return { type: 'succeeded', ...stamp, evidence: 'probe' }
  if (look === 'not_landed' && provesAbsence(plan, recovery, began))
    return { type: 'not_executed', ...stamp, evidence: 'probe', code: 'settled_not_executed', reopenable: false }
  return { type: 'probed', ...stamp, look, recovery: afterLook(plan, recovery, { look, began, at: stamp.at }) }
}

function settled(
  stamp: Stamp,
  { as, evidence }: { as: 'succeeded' | 'failed' | 'not_executed'; evidence: Evidence },
): OperationEvent {
  switch (as) {
    case 'succeeded':
      return { type: 'succeeded', ...stamp, evidence }
    case 'failed':
      return { type: 'failed', ...stamp, evidence, code: 'settled_failed' }
    case 'not_executed':
      return { type: 'not_executed', ...stamp, evidence, code: 'settled_not_executed', reopenable: false }
  }
}

/** True when nothing more can be expected for a waiting caller now. */
export const isAnswerable = (operation: Operation): boolean =>
  isFinal(operation) || operation.state === 'unknown' || operation.state === 'awaiting_input'
