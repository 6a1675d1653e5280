/**
 * Facts, as they stand in `holdfast.events`: CloudEvents 1.0 in Kafka's binary binding (headers `ce_*`, JSON value).
 * An event's id is `<stream>:<sequence>`: the stream is the operation for transitions, the call for everything that
 * belongs to one call alone (a read, a join, a refusal), so publishing it twice is harmless: readers count ids.
 */
import type { Effect } from '../call/effect.ts'
import type { ErrorClass } from '../call/error-class.ts'
import type { Evidence, OperationState } from '../call/operation.ts'
import { canonicalWriter } from '../json/canonical.ts'
import { partitionFor } from '../journal/partition.ts'
import type { NewRecord } from '../journal/port.ts'
import { topics } from '../journal/topics.ts'
import { type EventName, eventTypes } from './catalogue.ts'
import { memberNames } from './fields.ts'
import type { Redacted } from './redact.ts'

export type { EventName }

/**
 * One event. `who`, `what` and `authority` fields stand in the first event of a stream (and in events that are alone);
 * later ones repeat only what the history orders and filters by. Times are ISO 8601 with milliseconds, by `clock`. Absent
 * means not applicable or not known, never a default. What each field means: `fields.ts`.
 */
export type HoldfastEvent = {
  readonly type: EventName
  /** Operation id or call id, see above. */
  readonly stream: string
  readonly sequence: number
  readonly time: string
  readonly source: string

  // who
  readonly tenant: string
  readonly agent?: string | undefined
  readonly onBehalfOf?: string | undefined
  readonly keyspace?: string | undefined
  /** SHA-256 prefix of the API key that was used; never the key. */
  readonly credential?: string | undefined
  readonly client?: string | undefined
  readonly origin?: string | undefined
  readonly session?: string | undefined
  readonly conversation?: string | undefined

  // what
  readonly callId?: string | undefined
  readonly operationId?: string | undefined
  /** The call this one joined. */
  readonly of?: string | undefined
  readonly server?: string | undefined
  /** Upstream's own name of the tool. */
  readonly tool?: string | undefined
  readonly toolHash?: string | undefined
  readonly effect?: Effect | undefined
  readonly effectSource?: string | undefined
  readonly key?: string | undefined
  readonly keySource?: string | undefined
  readonly fingerprint?: string | undefined
  /** Redacted arguments as JSON text. */
  readonly arguments?: string | undefined
  readonly argumentsBytes?: number | undefined
  readonly argumentsCommitment?: string | undefined
  readonly resultCommitment?: string | undefined
  /** Pseudonym of the person, or other subject, that the call is about. */
  readonly subject?: string | undefined
  readonly subjectKey?: string | undefined
  /** Kept of the arguments, encrypted with the subject's key. */
  readonly sealed?: string | undefined
  /** What was replaced before this was recorded: where, and by which rule. */
  readonly redacted?: readonly Redacted[] | undefined

  // authority
  readonly policyRule?: string | undefined
  readonly policyVersion?: string | undefined
  readonly verdict?: string | undefined
  readonly approval?: string | undefined

  // when
  readonly clock?: Clock | undefined
  readonly receivedAt?: string | undefined
  readonly acceptedAt?: string | undefined
  readonly dispatchedAt?: string | undefined
  readonly finishedAt?: string | undefined

  // result
  readonly state?: OperationState | undefined
  readonly code?: string | undefined
  readonly errorClass?: ErrorClass | undefined
  readonly reason?: string | undefined
  readonly evidence?: Evidence | undefined
  readonly evidenceCommitment?: string | undefined
  readonly isError?: boolean | undefined
  readonly resultBytes?: number | undefined
  readonly durationMs?: number | undefined
  /** What a look at the server said of a change whose outcome is unknown. */
  readonly look?: string | undefined
  /** What recovery has done by now, and what it does next. */
  readonly recovery?: Readonly<Record<string, string | number>> | undefined
  readonly settledBy?: string | undefined

  // causality
  readonly epoch?: number | undefined
  readonly round?: number | undefined
  readonly attempt?: number | undefined
  readonly trace?: string | undefined
  readonly parent?: string | undefined
  /** Names of fields that were cut to fit the journal's limit. */
  readonly truncated?: readonly string[] | undefined

  // the service itself
  readonly release?: string | undefined
  readonly runtime?: string | undefined
  readonly before?: string | undefined
  readonly changes?: readonly string[] | undefined
  readonly statement?: string | undefined
  readonly statementCommitment?: string | undefined
  readonly rows?: number | undefined
  readonly commitment?: string | undefined
  readonly bytes?: number | undefined
}

/** Whose time an event's times are. */
export type Clock = 'database' | 'journal' | 'process'

export const eventId = (event: Pick<HoldfastEvent, 'stream' | 'sequence'>): string =>
  `${event.stream}:${event.sequence}`

const wireTypes = new Map(
  Object.entries(eventTypes).map(([name, { version }]) => [name, `dev.holdfast.${name}.v${version}`]),
)

/** The wire type of an event name, in its newest version. */
export const wireType = (name: EventName): string => wireTypes.get(name) as string

/**
 * The journal record of an event.
 * @param event the fact; its JSON (without the fields that travel as CloudEvents attributes) becomes the value
 */
export function eventRecord({ type, source, time, ...data }: HoldfastEvent): NewRecord {
  return recordOf({ type, source, time }, data)
}

export type EventAttributes = Pick<HoldfastEvent, 'type' | 'source' | 'time'>
export type EventData = Omit<HoldfastEvent, keyof EventAttributes>

const written = canonicalWriter(memberNames)

/** The same from its two halves: taking them out of one object costs a write more than all else that is done here. */
export function recordOf({ type, source, time }: EventAttributes, data: EventData): NewRecord {
  return {
    topic: topics.events.name,
    partition: partitionFor(data.stream, topics.events.partitions),
    key: data.stream,
    // As it is hashed: whoever has the fields can write the same bytes.
    value: written(data),
    headers: {
      'content-type': 'application/json',
      ce_specversion: '1.0',
      ce_id: eventId(data),
      ce_type: wireType(type),
      ce_source: source,
      ce_time: time,
    },
  }
}
