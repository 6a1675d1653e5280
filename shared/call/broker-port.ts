/**
 * What front asks of any broker directly, beside the journal. In one process it is a function call, in a cluster HTTP.
 * Calls go through the journal only; the one thing here that changes an operation is a person's word about an unknown.
 */
import type { Caller } from './command.ts'
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

/** Unknowns of a whole tenant, oldest first. */
export type UnknownsQuery = {
  readonly tenant: string
  /** The name its keys are recorded under. */
  readonly server?: string | undefined
  /** The operation after which to go on. */
  readonly after?: string | undefined
  readonly limit: number
}

/** What was seen of an operation beside its answer. */
export type FoundEvidence = {
  readonly kind: string
  readonly says: string
  readonly raw?: string | undefined
  /** Database time, milliseconds. */
  readonly at: number
}

export type UnknownRecord = { readonly record: OutcomeRecord; readonly evidence: readonly FoundEvidence[] }

export const resolutions = ['succeeded', 'failed', 'not_executed'] as const

/** A person's word about an unknown. */
export type Resolution = {
  /** Given twice, it is the same word. */
  readonly id: string
  readonly tenant: string
  /** Any call of the operation. */
  readonly callId: string
  readonly as: (typeof resolutions)[number]
  readonly reason: string
  readonly by: Caller
}

export type Resolved =
  | { readonly kind: 'resolved'; readonly record: OutcomeRecord }
  /** It is settled, or a request is under way at this moment. */
  | { readonly kind: 'not_unknown'; readonly record: OutcomeRecord }
  | { readonly kind: 'no_such_call' }

export type BrokerPort = {
  /** The record as the primary has it now; undefined when there is none (which is not yet `not_found`, see I9). */
  outcome(query: OutcomeQuery): Promise<OutcomeRecord | undefined>
  /** Newest first. */
  report(query: ReportQuery): Promise<readonly OutcomeRecord[]>
  unknowns(query: UnknownsQuery): Promise<readonly UnknownRecord[]>
  /** Settles an unknown by a person's word, guarded as every move: what else settles it meanwhile wins. */
  resolve(resolution: Resolution): Promise<Resolved>
  /** Resolves when every command appended before now has been handled, false when that took longer than `withinMs`. */
  caughtUp(withinMs: number): Promise<boolean>
}

/** Where broker sends replies: the front that waits. A courtesy, never the truth; it may be lost. */
export type ReplyPort = (replyTo: string, replies: readonly Reply[]) => void
