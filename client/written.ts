import type { OutcomeMeta, OutcomeRecord, Report, ToolResult } from './outcome.ts'

/** Everything a write can come to. `unknown` and `pending` are no failures: tell the user that it is unconfirmed. */
export type Written = Settled | Unsettled

/** Holdfast answered. */
export type Settled =
  /** `succeeded`: it happened. `failed`: the server's own error; it does not say that nothing happened. */
  | { readonly state: 'succeeded' | 'failed'; readonly result: ToolResult; readonly outcome: OutcomeMeta }
  /** It had no effect: Holdfast answered so, or its record says so. */
  | {
      readonly state: 'not_executed'
      readonly result?: ToolResult
      readonly outcome?: OutcomeMeta
      readonly record?: OutcomeRecord
    }
  /** The key stands for another change, or the same change is under way under another key; `outcome.of` names it. */
  | { readonly state: 'conflict'; readonly result: ToolResult; readonly outcome: OutcomeMeta }
  /** The server asks before it goes on. */
  | { readonly state: 'awaiting_input'; readonly result: ToolResult; readonly outcome: OutcomeMeta }
  /** The outcome was dropped after its retention; it is never run again. */
  | { readonly state: 'expired'; readonly result: ToolResult; readonly outcome: OutcomeMeta }
  /** Holdfast refused this request; earlier ones with this key, by somebody else, may have run. */
  | {
      readonly state: 'not_accepted'
      readonly result?: ToolResult
      readonly outcome?: OutcomeMeta
      readonly why?: string
    }
  /** The answer carries no outcome: the tool is a read, or Holdfast is not in front of the server. */
  | { readonly state: 'unprotected'; readonly result: ToolResult }

/** The budget is spent and it is not known how the change ends. */
export type Unsettled = {
  /** `pending`: Holdfast said that it is still running or waits for a person. `unknown`: it may have happened. */
  readonly state: 'unknown' | 'pending'
  readonly key: string
  /** What put it in doubt, last. */
  readonly why: string
  /** The last record that could be read. */
  readonly last?: OutcomeRecord | undefined
  readonly partial: PartialReport
}

/**
 * What is known of the changes of this agent. `holdfast`: its report. `client`: Holdfast could not be asked, and these are
 * the writes of this client alone, as it knows them.
 */
export type PartialReport = { readonly from: 'holdfast' | 'client'; readonly report: Report }
