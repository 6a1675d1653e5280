/**
 * Facts, as they stand in `holdfast.events`: CloudEvents 1.0 in Kafka's binary binding (headers `ce_*`, JSON value).
 * An event's id is `<stream>:<sequence>`: the stream is the operation for transitions, the call for everything that
 * belongs to one call alone (a read, a join, a refusal), so publishing it twice is harmless: readers count ids.
 */
import type { Effect } from '../call/effect.ts'
import type { Evidence, OperationState } from '../call/operation.ts'
import { canonicalJson } from '../json/canonical.ts'
import { partitionFor } from '../journal/partition.ts'
import type { NewRecord } from '../journal/port.ts'
import { topics } from '../journal/topics.ts'
import type { Redacted } from './redact.ts'

/** Event types by their short names; on the wire `dev.holdfast.<name>.v1`. Past tense. */
export const eventTypes = {
  // reads, and refusals before a row (stream = call)
  'call.requested': 'A read was received; it is dispatched at the same time.',
  'call.denied': 'The policy refused the call.',
  'call.not_accepted': 'The call was refused before it could claim its key.',
  // an operation's life (stream = operation)
  'call.approval_requested': 'The call waits for a person.',
  'call.accepted': 'The key was claimed; the call waits for a slot.',
  'call.dispatched':
    'The intent was committed: bytes may have been sent from this time on. First event of most writes.',
  'call.input_required': 'The server asked a question.',
  'call.succeeded': 'The server answered, or named evidence says that it happened.',
  'call.failed': 'The server gave a definite error.',
  'call.not_executed': 'Proof that nothing was sent.',
  'call.lost': 'No definite answer was recorded: the outcome is unknown. For a read: it ended without an answer.',
  // joins of a call with an operation (stream = call)
  'call.replayed': 'A repeated call was given the recorded outcome.',
  'call.attached': 'A repeated call waited for the running one.',
  'call.conflicted': 'A call was refused: same key for another change, or the same change under another key.',
  // recovery of an unknown (stream = operation)
  'call.probed': 'The server was asked by the declared probe, and that settled nothing.',
  'call.attempt_ended': 'One attempt ended while another one of the same key was still open.',
  'call.rescheduled': 'The planned step of recovery turned out to be impossible.',
  // questions and evidence
  'call.resolved': 'A person settled an unknown, with a reason. The outcome itself is the event before.',
  'call.answered_late': 'An answer came after the outcome was recorded as unknown, or after it was settled.',
  'call.outcome_queried':
    'Somebody asked for an outcome that was not on record; the question went through the journal.',
  // the service itself
  'key.created': 'An API key was created.',
  'key.revoked': 'An API key was revoked.',
  'service.started': 'A service started.',
  'service.stopped': 'A service stopped.',
  'record.rejected': 'A journal record could not be read.',
} as const
export type EventName = keyof typeof eventTypes

/**
 * One event. `who`, `what` and `authority` fields stand in the first event of a stream (and in events that are alone);
 * later ones repeat only what the history orders and filters by. Times are ISO 8601 with milliseconds, database time
 * unless `clock` says otherwise. Absent means not applicable or not known, never a default.
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
  readonly argumentsCommitment?: string | undefined
  readonly resultCommitment?: string | undefined
  /** What was replaced before this was recorded: where, and by which rule. */
  readonly redacted?: readonly Redacted[] | undefined

  // authority
  readonly policyRule?: string | undefined
  readonly policyVersion?: string | undefined
  readonly verdict?: string | undefined

  // when
  readonly receivedAt?: string | undefined
  readonly dispatchedAt?: string | undefined
  readonly finishedAt?: string | undefined

  // result
  readonly state?: OperationState | undefined
  readonly code?: string | undefined
  readonly reason?: string | undefined
  readonly evidence?: Evidence | undefined
  readonly isError?: boolean | undefined
  readonly resultBytes?: number | undefined
  readonly durationMs?: number | undefined
  /** What a look at the server said of a change whose outcome is unknown. */
  readonly look?: string | undefined
  /** What recovery has done by now, and what it does next. */
  readonly recovery?: Readonly<Record<string, string | number>> | undefined
  /** Who settled an unknown. */
  readonly resolvedBy?: string | undefined

  // causality
  readonly epoch?: number | undefined
  readonly round?: number | undefined
  readonly attempt?: number | undefined
  readonly trace?: string | undefined
  readonly parent?: string | undefined
  /** Names of fields that were cut to fit the journal's limit. */
  readonly truncated?: readonly string[] | undefined
}

export const eventId = (event: Pick<HoldfastEvent, 'stream' | 'sequence'>): string =>
  `${event.stream}:${event.sequence}`

/** The wire type of an event name, version 1. */
export const wireType = (name: EventName): string => `dev.holdfast.${name}.v1`

/**
 * The journal record of an event.
 * @param event the fact; its JSON (without the fields that travel as CloudEvents attributes) becomes the value
 */
export function eventRecord({ type, source, time, ...data }: HoldfastEvent): NewRecord {
  return recordOf({ type, source, time }, data)
}

export type EventAttributes = Pick<HoldfastEvent, 'type' | 'source' | 'time'>
export type EventData = Omit<HoldfastEvent, keyof EventAttributes>

/** The same from its two halves: taking them out of one object costs a write more than all else that is done here. */
export function recordOf({ type, source, time }: EventAttributes, data: EventData): NewRecord {
  return {
    topic: topics.events.name,
    partition: partitionFor(data.stream, topics.events.partitions),
    key: data.stream,
    // As it is hashed: whoever has the fields can write the same bytes.
    value: canonicalJson(data),
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
