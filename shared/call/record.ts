/** What is on record of an operation, as broker gives it to front: enough to answer an agent in any session. */
import type { Operation } from './operation.ts'

export type OutcomeRecord = {
  readonly operation: Operation
  readonly tenant: string
  readonly keyspace: string
  readonly agent: string
  readonly conversation: string | undefined
  readonly server: string
  readonly tool: string
  readonly key: string
  /** When the outcome is dropped (milliseconds, database time); undefined while it may not be. */
  readonly expiresAt: number | undefined
  /** Retention has passed: the tombstone is all there is. */
  readonly expired: boolean
  /** Of a final outcome: the event that says so, and its leaf in the signed log. Absent for those of earlier releases. */
  readonly receipt?: Receipt | undefined
  /** Upstream's answer of the last finished attempt, exactly as sent. */
  readonly answer: UpstreamAnswer | undefined
}

/** What a caller can keep: `holdfast prove` finds the event, and whatever it shows must have this leaf. */
export type Receipt = {
  /** Event id. */
  readonly event: string
  /** RFC 9162 leaf hash, base64. */
  readonly leaf: string
}

/** `result`: the result member of its JSON-RPC answer; `error`: the error member; `http`: status and excerpt as JSON. Never words of ours. */
export type UpstreamAnswer = {
  readonly kind: 'result' | 'input_required' | 'error' | 'http'
  readonly raw: string
}

/** How a call was answered, sent to the front that waits for it. */
export type Reply =
  | {
      readonly kind: 'outcome'
      readonly callId: string
      /** `own`: this call's own try; otherwise how it joined. */
      readonly how: 'own' | 'replayed' | 'attached' | 'conflicted'
      /** Why a conflicted call was refused. */
      readonly code?: 'idempotency_conflict' | 'input_conflict' | 'possible_duplicate' | undefined
      readonly record: OutcomeRecord
      readonly retryAfterMs?: number | undefined
    }
  /** The answer to an `ask`: the key is not on record, and nothing received before the question will run. */
  | { readonly kind: 'not_found'; readonly callId: string }
  /** Still waiting: the record as it is, so that the front can say more than nothing. */
  | { readonly kind: 'running'; readonly callId: string; readonly record: OutcomeRecord }
