import type { Logger } from 'pino'
import type { Batcher } from '../../shared/batch/batcher.ts'
import type { Caller } from '../../shared/call/command.ts'
import type { Numbering } from '../../shared/events/numbering.ts'
import type { Keying } from '../../shared/call/keyed.ts'
import type { Seen } from '../../shared/call/seen.ts'
import type { Journal } from '../../shared/journal/port.ts'
import type { BrokerTelemetry } from '../../shared/telemetry/broker.ts'
import type { Claimed } from './claim-batch.ts'
import type { EventContext } from './events.ts'
import type { Held } from './held.ts'
import type { Lanes, LaneLimits } from './lanes.ts'
import type { Owner } from './owner.ts'
import type { Seal } from '../../shared/crypto/seal.ts'
import type { Advance } from './sql/advance.ts'
import type { Claim } from './sql/claim.ts'
import type { Join } from './sql/joins.ts'
import type { Queryable } from './sql/row.ts'
import type { Waiting } from './waiting.ts'

/** One attempt, as `shared/upstream` takes it. */
export type AttemptRequest = {
  readonly server: string
  readonly tool: string
  readonly argumentsJson: string
  readonly meta?: Readonly<Record<string, unknown>>
  /** Sent with this request only. */
  readonly headers?: Readonly<Record<string, string>>
  readonly inputs?: { readonly requestState?: string; readonly inputResponses?: unknown }
  readonly caller: Pick<Caller, 'agent' | 'conversation'>
  /** Monotonic milliseconds: past it nothing may be sent. */
  readonly deadline: number
  /** Milliseconds after which an answer is no longer waited for. */
  readonly timeoutMs: number
}

/** What broker needs of a tool's settings. */
export type ToolRules = {
  readonly timeoutMs: number
  readonly retentionMs: number
  /** How long after the time-out an answer is still waited for. */
  readonly lateWindowMs: number
  readonly allowTwins: boolean
  readonly ambiguous?: (raw: string) => boolean
  /** What is done by itself about an unknown outcome. */
  readonly recovery?: ToolRecovery
}

export type ToolRecovery = Keying & {
  /** How to look on the server whether a change is there; `inject` names where its reference stands. */
  readonly look?:
    | undefined
    | {
        readonly tool: string
        readonly timeoutMs: number
        /** JSON text of the arguments, or why there is none. */
        readonly argumentsFor: (about: LookAbout) => { readonly json: string } | { readonly problem: string }
        readonly landed: (about: LookAbout, rawResult: string) => boolean | { readonly problem: string }
      }
}

/** What the expressions of a probe can read. */
export type LookAbout = {
  readonly call: Readonly<Record<string, string>>
  readonly arguments: Readonly<Record<string, unknown>>
}

export type Settings = {
  /** The configured server whose keys are recorded under this name. */
  readonly serverOf: (scope: string) => string
  readonly lane: (server: string) => LaneLimits
  readonly tool: (server: string, tool: string) => ToolRules
}

/** Everything a broker function may use. Built once, in `start.ts`. */
export type Broker = {
  readonly db: Queryable
  readonly journal: Journal
  readonly upstreams: { dispatch(request: AttemptRequest): Promise<Seen> }
  readonly settings: Settings
  readonly clock: { now(): number }
  readonly monotonic: () => number
  readonly ids: { ulid(): string }
  readonly log: Logger
  readonly owner: Owner
  readonly lanes: Lanes
  readonly waiting: Waiting
  readonly events: EventContext
  readonly numbering: Numbering
  readonly seal: Seal
  readonly telemetry: BrokerTelemetry
  /** Operations this process may act on, by id. */
  readonly held: Map<string, Held>
  /** Commands that are being handled: their rows may be committed before this process knows it. */
  readonly handling: Set<string>
  /** Calls that were claimed as their commands were appended, and are still to be delivered. */
  readonly claimedAhead: Set<string>
  /** Called when a slot of a server came free: the next waiting call may have it. */
  readonly slotFreed: (server: string) => void
  /** One statement for many: claims, transitions, joins. */
  readonly claims: Batcher<Claim, Claimed>
  readonly advances: Batcher<Advance, boolean>
  readonly joins: Batcher<Join, boolean>
  /** Aborted when the broker gives up waiting for its database at stop. */
  readonly stopping: AbortSignal
}
