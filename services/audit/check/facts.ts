/**
 * What the stores say, as plain data: what the checks judge. Read in an order that tolerates what is under way
 * (`services/cli/audit/read.ts`), so that everything missing here is missing.
 */
import type { Operation } from '../../../shared/call/operation.ts'
import type { NumberRange } from '../../../shared/events/number-ranges.ts'
import type { UpstreamAnswer } from '../../../shared/call/record.ts'

/** A row of `operations`. */
export type OperationFact = {
  readonly operation: Operation
  readonly tenant: string
  readonly keyspace: string
  readonly server: string
  readonly tool: string
  readonly key: string
  /** When somebody was told `not_found` for this key, before it was claimed. */
  readonly fencedAt: number | undefined
  readonly expired: boolean
}

/** A row of `results`. */
export type ResultFact = {
  readonly operationId: string
  readonly epoch: number
  readonly round: number
  readonly answer: UpstreamAnswer
}

/** A record of `holdfast.events`, in the journal or still in the outbox. */
export type EventFact = {
  readonly id: string
  /** Its short name, such as `call.dispatched`. */
  readonly type: string
  readonly stream: string
  readonly sequence: number
  /** Who wrote it, such as `holdfast/broker`. */
  readonly source: string
  /** Milliseconds. */
  readonly at: number
  /** The event's own fields. */
  readonly fields: Readonly<Record<string, unknown>>
  /** Its bytes: two copies of one event have the same. */
  readonly value: string
  /** Undefined while it is in the outbox. */
  readonly place: Place | undefined
  /** Which of its process's events it is, and what it tells of those before. */
  readonly numbered?: Numbered | undefined
}

export type Numbered = {
  readonly producer: string
  readonly number: number
  readonly settled: number
  readonly told: readonly NumberRange[]
}

export type Place = { readonly partition: number; readonly offset: number }

/** A submitted call that its broker has committed as handled. */
export type CommandFact = { readonly callId: string; readonly place: Place; readonly isRemembered: boolean }

/** A row of `holdfast.events` in the history. */
export type HistoryFact = {
  readonly id: string
  readonly type: string
  readonly tenant: string
  readonly at: number
  readonly place: Place
}

/** One line of the server's own ledger: something that was done. */
export type Effect = {
  readonly id: string
  readonly tool: string
  readonly arguments: Readonly<Record<string, unknown>>
  /** Holdfast's name of the server, where the ledger is of several. */
  readonly server?: string | undefined
  /** Milliseconds, by the server's clock. */
  readonly at?: number | undefined
}

export type Facts = {
  /** Database time at which the rows were read. */
  readonly readAt: number
  readonly operations: readonly OperationFact[]
  readonly results: readonly ResultFact[]
  readonly commands: readonly CommandFact[]
  readonly events: readonly EventFact[]
  /** Streams of events that look like operations and have no row, then or later. */
  readonly orphans: readonly string[]
  readonly history:
    | {
        readonly rows: readonly HistoryFact[]
        /** Next offset of each partition that the sink has committed: everything below is in the history. */
        readonly committed: ReadonlyMap<number, number>
        /** Rows of other tenants cannot be seen. */
        readonly tenants: ReadonlySet<string> | 'all'
      }
    | undefined
  readonly ledger: readonly Effect[] | undefined
}

export type Limits = {
  /** Longest time-out of a tool, the lease and the sweep: what runs longer breaks I7. */
  readonly overdueMs: number
  /** Commitments can be checked by whoever has the secret; older ones too, where it was changed. Empty: they are not. */
  readonly secrets: readonly string[]
  /** How far the ledger's clock may be behind the database's. */
  readonly ledgerSkewMs: number
}

export type Finding = {
  /** The invariant of `docs/concepts.md` that does not hold. */
  readonly invariant: `I${1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 10}`
  /** One sentence. */
  readonly what: string
  readonly operationId?: string | undefined
  readonly server?: string | undefined
  readonly key?: string | undefined
  /** What it is told from. */
  readonly evidence: unknown
}
