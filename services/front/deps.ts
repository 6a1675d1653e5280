import type { BrokerPort } from '../../shared/call/broker-port.ts'
import type { Seen } from '../../shared/call/seen.ts'
import type { Journal } from '../../shared/journal/port.ts'
import type { FrontTelemetry } from '../../shared/telemetry/front.ts'
import type { SubjectKeys } from '../../shared/subjects/keys.ts'
import type { Catalogue } from './catalogue/catalogue.ts'
import type { Cancels } from './calls/cancels.ts'
import type { Waiters } from './calls/waiters.ts'
import type { FrontSettings } from './settings.ts'

/** Who an API key speaks for. `credential` is a prefix of the key's SHA-256; never the key. */
export type Identity = {
  readonly credential: string
  readonly agent: string
  readonly tenant: string
  readonly keyspace: string
  /** May see and settle the unknowns of the whole tenant. */
  readonly mayResolve: boolean
}

/** Undefined: the key is wrong or revoked. Rejects with `UnavailableError` when that cannot be told now. */
export type Authenticate = (secret: string) => Promise<Identity | undefined>

/** One `tools/call` to a server. Only reads are sent from here. */
export type ReadRequest = {
  readonly server: string
  readonly tool: string
  readonly argumentsJson: string
  readonly meta?: Readonly<Record<string, unknown>>
  readonly inputs?: { readonly requestState?: string | undefined; readonly inputResponses?: unknown }
  readonly caller: { readonly agent: string; readonly conversation?: string | undefined }
  /** Monotonic milliseconds: past it nothing may be sent. */
  readonly deadline: number
  readonly timeoutMs?: number
  readonly onProgress?: (progress: Progress) => void
}
export type Progress = {
  readonly progress: number
  readonly total?: number | undefined
  readonly message?: string | undefined
}

/** A tool as its server describes it; unknown fields are kept. */
export type Tool = { readonly name: string; readonly [field: string]: unknown }

/** The part of `shared/upstream` that front uses. */
export type FrontUpstreams = {
  dispatch(request: ReadRequest): Promise<Seen>
  tools(server: string): Promise<readonly Tool[]>
  onToolsChanged?(server: string, callback: () => void): () => void
}

/** The part of a pino logger that is used here. */
export type Log = Readonly<Record<'debug' | 'info' | 'warn' | 'error', (fields: object, message: string) => void>>

/** Everything a front function may use. Built once, in `start.ts`. */
export type Front = {
  readonly settings: FrontSettings
  readonly journal: Journal
  readonly broker: BrokerPort
  readonly upstreams: FrontUpstreams
  readonly catalogue: Catalogue
  readonly waiters: Waiters
  readonly cancels: Cancels
  /** Database time, never ahead of it; milliseconds. */
  readonly clock: { now(): number }
  readonly ids: { ulid(): string }
  readonly log: Log
  readonly telemetry: FrontTelemetry
  /** Keys the commitments of arguments and results. */
  readonly secret: string
  readonly subjects: SubjectKeys
  /** The name under which broker reaches this front. */
  readonly replyTo: string
  /** How often a silent operation is re-read while a caller waits for it. */
  readonly rereadMs: number
  /** New calls are refused once this is aborted. */
  readonly draining: AbortSignal
  /** Callers still waiting are told `pending` once this is aborted. */
  readonly closing: AbortSignal
  /** Work that nobody waits for, finished before the front stops. Failures go to the log under `what`. */
  background(what: string, work: Promise<unknown>): void
}
