/** What Holdfast says about a write, as it stands on the wire (docs/http.md). */

export const outcomeMetaName = 'dev.holdfast/outcome'
export const keyMetaName = 'dev.holdfast/idempotency-key'
export const conversationMetaName = 'dev.holdfast/conversation'

/** `_meta["dev.holdfast/outcome"]` of every answer to a write. */
export type OutcomeMeta = {
  readonly state:
    | 'succeeded'
    | 'failed'
    | 'not_executed'
    | 'unknown'
    | 'awaiting_input'
    | 'awaiting_approval'
    | 'pending'
    | 'conflict'
    | 'not_accepted'
    | 'expired'
  /** Why: a code of docs/errors.md. */
  readonly code?: string
  /** This request's call. Absent where `holdfast connect` answers while Holdfast is away: it knows only the key. */
  readonly callId?: string
  /** The call whose operation it joined, or that it conflicts with. */
  readonly of?: string
  readonly key?: string
  readonly epoch?: number
  readonly attempts?: number
  /** The answer is that of another call's try. */
  readonly replayed: boolean
  readonly firstSeenAt?: string
  readonly expiresAt?: string
  readonly retryAfterMs?: number
  readonly receipt?: Receipt
}

/** Of a final outcome: the event that records it, and its leaf in Holdfast's signed log. Keep it; `holdfast prove` takes it. */
export type Receipt = { readonly event: string; readonly leaf: string }

/** The answer to `holdfast_outcome` and to `GET /v1/outcomes/…`. */
export type OutcomeRecord = {
  readonly state: Exclude<OutcomeMeta['state'], 'conflict' | 'not_accepted'> | 'not_found' | 'unavailable'
  readonly code?: string
  readonly server?: string
  readonly tool?: string
  readonly key?: string
  readonly callId?: string
  readonly epoch?: number
  readonly attempts?: number
  readonly firstSeenAt?: string
  readonly finishedAt?: string
  readonly expiresAt?: string
  readonly evidence?: string
  readonly receipt?: Receipt
  /** What to do, in words for a model. */
  readonly next: string
  /** What the server answered, as far as it is on record. */
  readonly result?: ToolResult
  readonly error?: { readonly code?: number; readonly message?: string }
  readonly question?: Readonly<Record<string, unknown>>
  readonly said?: string
}

/** The answer to `holdfast_report` and to `GET /v1/report`: what may be told as done, and what may not. */
export type Report = {
  readonly since: string
  readonly confirmed: readonly ReportLine[]
  readonly failed: readonly ReportLine[]
  readonly notExecuted: readonly ReportLine[]
  readonly pending: readonly ReportLine[]
  readonly unknown: readonly ReportLine[]
  /** Older changes are left out. */
  readonly truncated: boolean
}
export type ReportLine = Omit<OutcomeRecord, 'result' | 'error' | 'question' | 'said'>

export type ToolResult = {
  readonly content?: ReadonlyArray<{
    readonly type: string
    readonly text?: string
    readonly [member: string]: unknown
  }>
  readonly structuredContent?: Readonly<Record<string, unknown>>
  readonly isError?: boolean
  readonly _meta?: Readonly<Record<string, unknown>>
  readonly [member: string]: unknown
}

/** What an answer says about its write; undefined for a read, and when Holdfast is not in front of the server. */
export function outcomeOf(result: unknown): OutcomeMeta | undefined {
  const outcome = (result as ToolResult | undefined)?._meta?.[outcomeMetaName]
  return typeof outcome === 'object' && outcome !== null ? (outcome as OutcomeMeta) : undefined
}
