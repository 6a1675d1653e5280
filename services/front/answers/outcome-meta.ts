import type { Code } from '../../../shared/call/codes.ts'
import { isFinal } from '../../../shared/call/operation.ts'
import type { OutcomeRecord, Receipt } from '../../../shared/call/record.ts'

export const outcomeMetaName = 'dev.holdfast/outcome'
export const callMetaName = 'dev.holdfast/call'

/** States an answer can name: an operation's own, and those of a request that has none. */
export type AnswerState =
  | 'succeeded'
  | 'failed'
  | 'not_executed'
  | 'unknown'
  | 'awaiting_input'
  | 'awaiting_approval'
  | 'pending'
  | 'conflict'
  | 'not_accepted'
  | 'not_found'
  | 'expired'

/** Goes into `_meta["dev.holdfast/outcome"]` of every answer to a write. Times are ISO 8601. */
export type OutcomeMeta = {
  readonly state: AnswerState
  readonly code?: Code
  /** This request's own call. */
  readonly callId: string
  /** The call whose operation it joined. */
  readonly of?: string
  readonly key?: string
  readonly epoch?: number
  /** The answer is that of another call's try, recorded before or waited for. */
  readonly replayed: boolean
  readonly firstSeenAt?: string
  readonly attempts?: number
  readonly expiresAt?: string
  readonly retryAfterMs?: number
  /** Of a final outcome: the event that records it, and its leaf in the signed log (docs/proofs.md). */
  readonly receipt?: Receipt
  /** Of an unknown: what Holdfast does by itself to find out. */
  readonly recovery?: RecoveryFields
}

export type RecoveryFields = {
  readonly state: 'under_way' | 'over'
  readonly replays: number
  readonly probes: number
  readonly next?: 'replay' | 'probe'
  readonly nextAt?: string
}

const iso = (ms: number) => new Date(ms).toISOString()

/** The state an agent is told: running ones are `pending`, whatever they wait for. */
export function answerState({ operation, expired }: OutcomeRecord): AnswerState {
  if (expired) return 'expired'
  return operation.state === 'accepted' || operation.state === 'executing' ? 'pending' : operation.state
}

/** Why the operation is where it is. */
export function codeOf({ operation, expired }: OutcomeRecord): Code | undefined {
  if (expired) return 'idempotency_key_expired'
  return 'code' in operation ? operation.code : undefined
}

/** What a record says of itself. */
export const recordFields = (record: OutcomeRecord) => ({
  key: record.key,
  epoch: record.operation.epoch,
  firstSeenAt: iso(record.operation.firstSeenAt),
  attempts: record.operation.attempts,
  ...(record.expiresAt !== undefined && { expiresAt: iso(record.expiresAt) }),
  ...(record.receipt !== undefined && { receipt: record.receipt }),
  ...recoveryOf(record),
})

/** While a replay runs the answer is `pending`; of an unknown it says what comes next, or that nothing does. */
function recoveryOf({ operation }: OutcomeRecord): { recovery?: RecoveryFields } {
  if (operation.state !== 'unknown' || operation.recovery === undefined) return {}
  const { tries, probes, next } = operation.recovery
  const done = { replays: tries.length - 1, probes }
  if (next === undefined) return { recovery: { state: 'over', ...done } }
  return { recovery: { state: 'under_way', ...done, next: next.step, nextAt: iso(next.at) } }
}

/** Whether Holdfast still finds out by itself; undefined where nothing of the kind is declared. */
export const recoveryState = (record: OutcomeRecord): RecoveryFields['state'] | undefined =>
  recoveryOf(record).recovery?.state

/** When a final operation became so, ISO 8601. */
export const finishedAt = ({ operation }: OutcomeRecord): string | undefined =>
  isFinal(operation) ? iso(operation.finishedAt) : undefined
