/**
 * What front asks of any broker directly, beside the journal. In one process it is a function call, in a cluster HTTP.
 * Nothing here changes an operation: writes go through the journal only.
 */
import type { OutcomeRecord } from './record.ts'
import type { Reply } from './record.ts'

/** Who may see a record: an agent sees its own keyspace. */
export type Viewer = { readonly tenant: string; readonly keyspace: string }

export type OutcomeQuery = { readonly viewer: Viewer } & (
  | { readonly by: 'key'; readonly server: string; readonly key: string }
  | { readonly by: 'call'; readonly callId: string }
  | { readonly by: 'fingerprint'; readonly server: string; readonly fingerprint: string }
)

export type ReportQuery = {
  readonly viewer: Viewer
  /** Operations first seen at or after this time, milliseconds. */
  readonly since: number
  readonly conversation?: string | undefined
  readonly limit: number
}

export type BrokerPort = {
  /** The record as the primary has it now; undefined when there is none (which is not yet `not_found`, see I9). */
  outcome(query: OutcomeQuery): Promise<OutcomeRecord | undefined>
  /** Newest first. */
  report(query: ReportQuery): Promise<readonly OutcomeRecord[]>
  /** Resolves when every command appended before now has been handled, false when that took longer than `withinMs`. */
  caughtUp(withinMs: number): Promise<boolean>
}

/** Where broker sends replies: the front that waits. A courtesy, never the truth; it may be lost. */
export type ReplyPort = (replyTo: string, replies: readonly Reply[]) => void
