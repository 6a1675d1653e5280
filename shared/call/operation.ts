/**
 * An operation: what one idempotency key stands for. The union's cases carry only what is valid there.
 *
 * This folder is pure: no I/O, no clock, no randomness. Time arrives inside commands, as database time in milliseconds
 * since the epoch. `decide` says what a command means for an operation, `evolve` applies the events it produced, and
 * `transitions` is the table both are held to. The broker stores exactly what `evolve` returns, guarded by `sequence`,
 * so the database enforces the same history that the model tests walk.
 */

export const operationStates = [
  'accepted',
  'awaiting_approval',
  'executing',
  'awaiting_input',
  'succeeded',
  'failed',
  'not_executed',
  'unknown',
] as const
export type OperationState = (typeof operationStates)[number]

/** Why an operation is where it is: a code of `codes.ts`. */
export type { OutcomeCode } from './codes.ts'
import type { OutcomeCode } from './codes.ts'
import type { Recovery } from './recovery.ts'

/** What settled an outcome. `upstream`: its own answer, in time. The others settle an `unknown` (design section 2). */
export type Evidence = 'upstream' | 'late_answer' | 'probe' | 'upstream_replay' | 'person' | 'dispatcher' | 'no_intent'

type Common = {
  /** The `callId` of the call that claimed the key. */
  readonly operationId: string
  /** The call whose try this is: the claiming one, later the one that reopened the key or answered the question. */
  readonly callId: string
  /** Hex SHA-256, see `fingerprint.ts`. */
  readonly fingerprint: string
  /** Fencing number, raised at each new try after a reopenable `not_executed`. From 1. */
  readonly epoch: number
  /** Input round within the epoch. From 1. */
  readonly round: number
  /** Number of the last event of this operation; the guard of every update. From 1. */
  readonly sequence: number
  /** Intents committed so far, over all epochs and rounds. */
  readonly attempts: number
  /** Database time of the first event, milliseconds. */
  readonly firstSeenAt: number
  /** Hash of the inputs that won the current round, when the round is a continuation. */
  readonly inputsHash?: string
}

/** May be claimed, queued and dispatched by this broker process only, while its lease lives. */
type Owned = { readonly owner: string }

export type Accepted = Common & Owned & { readonly state: 'accepted'; readonly dispatchBy: number }
export type AwaitingApproval = Common & { readonly state: 'awaiting_approval'; readonly dispatchBy: number }
export type Executing = Common &
  Owned & {
    readonly state: 'executing'
    readonly dispatchedAt: number
    /** Set while a replay runs: what recovery had done before. */
    readonly recovery?: Recovery
  }
export type AwaitingInput = Common & {
  readonly state: 'awaiting_input'
  /** SHA-256 of the `requestState` that upstream gave with its question. */
  readonly requestStateHash: string
}
export type Succeeded = Common & {
  readonly state: 'succeeded'
  readonly finishedAt: number
  readonly evidence: Evidence
}
export type Failed = Common & {
  readonly state: 'failed'
  readonly finishedAt: number
  readonly evidence: Evidence
  readonly code: OutcomeCode
}
export type NotExecuted = Common & {
  readonly state: 'not_executed'
  readonly finishedAt: number
  readonly evidence: Evidence
  readonly code: OutcomeCode
  /** The dispatching process itself proved that nothing was sent, or there was no intent: the same key may try again. */
  readonly reopenable: boolean
}
export type Unknown = Common & {
  readonly state: 'unknown'
  readonly code: OutcomeCode
  /** Whose attempt it was: only that attempt's own late answer may settle it without other evidence. */
  readonly owner: string
  /** What is done by itself to find out; absent for a tool that declares nothing. */
  readonly recovery?: Recovery
}

export type Operation =
  | Accepted
  | AwaitingApproval
  | Executing
  | AwaitingInput
  | Succeeded
  | Failed
  | NotExecuted
  | Unknown

/** States in which a second key with the same fingerprint is a twin: the first change is not settled. */
export const twinStates: readonly OperationState[] = [
  'accepted',
  'awaiting_approval',
  'executing',
  'awaiting_input',
  'unknown',
]

/** I2: within an epoch a final outcome never changes. A reopenable `not_executed` is final for its epoch. */
export const isFinal = (operation: Operation): operation is Succeeded | Failed | NotExecuted =>
  operation.state === 'succeeded' || operation.state === 'failed' || operation.state === 'not_executed'

/** Unknown, and Holdfast still goes on finding out by itself. */
export const isBeingRecovered = (operation: Operation): operation is Unknown =>
  operation.state === 'unknown' && operation.recovery?.next !== undefined

/** Final for the key, whatever comes: it can be replayed and expires. */
export const isSettled = (operation: Operation): boolean =>
  isFinal(operation) && !(operation.state === 'not_executed' && operation.reopenable)
