/**
 * What a command means for an operation. Pure: the same inputs give the same decision, in the broker, in the model
 * tests and in a replay of the journal. Invariants I1, I2, I4, I5, I9 of the design are decided here and nowhere else.
 */
import type { OutcomeCode } from './codes.ts'
import { type Evidence, isFinal, type Operation, twinStates } from './operation.ts'
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

export type Command =
  | Submit
  /** A slot came free for an accepted operation. */
  | { readonly type: 'take_slot'; readonly at: number; readonly owner: string }
  /** The dispatcher saw the end of the attempt of (epoch, round), in time. */
  | {
      readonly type: 'complete'
      readonly at: number
      readonly epoch: number
      readonly round: number
      readonly verdict: Verdict
    }
  /** The tool's time-out passed; the request stays open. */
  | { readonly type: 'time_out'; readonly at: number; readonly epoch: number; readonly round: number }
  /** The attempt of (epoch, round) ended after its outcome was recorded, or after its process was fenced. */
  | {
      readonly type: 'answer_late'
      readonly at: number
      readonly epoch: number
      readonly round: number
      readonly verdict: Verdict
    }
  /** The owner is gone, or holds the operation no longer. */
  | { readonly type: 'sweep'; readonly at: number }
  /** A call waited past its `dispatchBy`, for a slot or for a person. */
  | { readonly type: 'give_up'; readonly at: number; readonly code: 'deadline_passed' | 'not_sent' | 'queue_full' }
  | { readonly type: 'cancel'; readonly at: number }
  | { readonly type: 'approve'; readonly at: number; readonly owner: string; readonly slot: 'free' | 'queue' }
  | { readonly type: 'refuse'; readonly at: number }
  /** The question of an `awaiting_input` expired. */
  | { readonly type: 'expire_input'; readonly at: number }
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
  /** A person, a probe or an upstream replay settles an `unknown`. */
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
      }
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
 * @returns the one event to append (or none) and how the caller stands to it. An undefined event with `own` means
 *   that the command came too late to matter and is dropped.
 */
export function decide({ operation, twin }: Standing, command: Command): Decision {
  if (command.type === 'submit') return submit(operation, twin, command)
  if (command.type === 'lose_record') return { event: loseRecord(operation, command), answer: { kind: 'own' } }
  if (operation === undefined) return nothing({ kind: 'own' })
  const event = react(operation, command)
  return { event, answer: { kind: 'own' } }
}

function submit(operation: Operation | undefined, twin: Operation | undefined, command: Submit): Decision {
  if (operation === undefined) return open(undefined, twin, command)
  if (operation.fingerprint !== command.fingerprint)
    return nothing({ kind: 'conflicted', code: 'idempotency_conflict' })
  switch (operation.state) {
    case 'succeeded':
    case 'failed':
    case 'unknown':
      return nothing({ kind: 'replayed' })
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
      return operation.state === 'executing' && sameAttempt(operation, command)
        ? concluded(stamp, command.verdict, 'upstream')
        : undefined
    case 'time_out':
      return operation.state === 'executing' && sameAttempt(operation, command)
        ? { type: 'lost', ...stamp, code: 'timeout' }
        : undefined
    case 'answer_late': {
      if (!sameAttempt(operation, command)) return undefined
      if (operation.state === 'executing') return concluded(stamp, command.verdict, 'upstream')
      // I2, I4: only what is not final can be settled, and a doubt settles nothing.
      if (operation.state !== 'unknown') return undefined
      const event = concluded(stamp, command.verdict, 'late_answer')
      return event.type === 'lost' ? undefined : event
    }
    case 'sweep':
      if (operation.state === 'executing') return { type: 'lost', ...stamp, code: 'dispatcher_lost' }
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
    case 'settle':
      return operation.state === 'unknown' ? settled(stamp, command) : undefined
  }
}

const isWaiting = ({ state }: Operation): boolean => state === 'accepted' || state === 'awaiting_approval'

const sameAttempt = (operation: Operation, { epoch, round }: { epoch: number; round: number }): boolean =>
  operation.epoch === epoch && operation.round === round

/**
 * No intent of this round is proof that nothing of it was sent (I3). In a later round something was sent before: then
 * the key has had an effect-capable attempt that asked a question, and only `unknown` is honest.
 */
function withoutIntent(operation: Operation, stamp: Stamp, code: OutcomeCode): OperationEvent {
  if (operation.round > 1) return { type: 'lost', ...stamp, code }
  return { type: 'not_executed', ...stamp, evidence: 'no_intent', code, reopenable: true }
}

/** I3: the state is the join over the attempts of the operation; earlier rounds of it were sent. */
function concluded(stamp: Stamp, verdict: Verdict, evidence: Evidence): OperationEvent {
  switch (verdict.state) {
    case 'succeeded':
      return { type: 'succeeded', ...stamp, evidence }
    case 'failed':
      return { type: 'failed', ...stamp, evidence, code: verdict.code }
    case 'not_executed':
      if (stamp.round > 1) return { type: 'lost', ...stamp, code: verdict.code }
      return { type: 'not_executed', ...stamp, evidence: 'dispatcher', code: verdict.code, reopenable: true }
    case 'unknown':
      return { type: 'lost', ...stamp, code: verdict.code }
    case 'awaiting_input':
      return { type: 'input_required', ...stamp, requestStateHash: requestStateHash(verdict.requestState) }
  }
}

function settled(
  stamp: Stamp,
  { as, evidence }: { as: 'succeeded' | 'failed' | 'not_executed'; evidence: Evidence },
): OperationEvent {
  switch (as) {
    case 'succeeded':
      return { type: 'succeeded', ...stamp, evidence }
    case 'failed':
      return { type: 'failed', ...stamp, evidence, code: 'upstream_error' }
    case 'not_executed':
      return { type: 'not_executed', ...stamp, evidence, code: 'settled_not_executed', reopenable: false }
  }
}

/** True when nothing more can be expected for a waiting caller now. */
export const isAnswerable = (operation: Operation): boolean =>
  isFinal(operation) || operation.state === 'unknown' || operation.state === 'awaiting_input'
