/** Every type of event: its version, what it says, whose stream it is in, and what it is in OCSF. Pure data. */

/** OCSF activities of API Activity (6003) and of Application Lifecycle (6002). */
const activities = { create: 1, read: 2, update: 3, delete: 4, other: 99, start: 3, stop: 4 } as const

export type EventType = {
  readonly version: number
  readonly stream: 'call' | 'operation' | 'itself'
  readonly means: string
  readonly ocsf: {
    readonly class: 6002 | 6003
    /** Absent: `read` for a read, `other` for a write. */
    readonly activity?: number
    /** OCSF `status_id`: 0 unknown, 1 success, 2 failure, 99 other (under way). */
    readonly status: 0 | 1 | 2 | 99
  }
}

const api = (status: 0 | 1 | 2 | 99, activity?: number) =>
  ({ class: 6003, status, ...(activity !== undefined && { activity }) }) as const
const lifecycle = (activity: number) => ({ class: 6002, status: 1, activity }) as const

/** By their short names; on the wire `dev.holdfast.<name>.v<version>`. Past tense. */
export const eventTypes = {
  // reads, and refusals before a row
  'call.requested': {
    version: 1,
    stream: 'call',
    ocsf: api(99),
    means: 'A read was received; it is dispatched at the same time.',
  },
  'call.denied': { version: 1, stream: 'call', ocsf: api(2), means: 'The policy refused the call.' },
  'call.not_accepted': {
    version: 1,
    stream: 'call',
    ocsf: api(2),
    means: 'The call was refused before it could claim its key.',
  },
  // an operation's life
  'call.approval_requested': { version: 1, stream: 'operation', ocsf: api(99), means: 'The call waits for a person.' },
  'call.accepted': {
    version: 1,
    stream: 'operation',
    ocsf: api(99),
    means: 'The key was claimed; the call waits for a slot.',
  },
  'call.dispatched': {
    version: 1,
    stream: 'operation',
    ocsf: api(99),
    means: 'The intent was committed: bytes may have been sent from this time on. First event of most writes.',
  },
  'call.input_required': {
    version: 1,
    stream: 'operation',
    ocsf: api(99),
    means: 'The server asked a question. For a read: in the stream of its call, as every end of a read.',
  },
  'call.succeeded': {
    version: 1,
    stream: 'operation',
    ocsf: api(1),
    means: 'The server answered, or named evidence says that it happened.',
  },
  'call.failed': { version: 1, stream: 'operation', ocsf: api(2), means: 'The server gave a definite error.' },
  'call.not_executed': {
    version: 1,
    stream: 'operation',
    ocsf: api(2),
    means: 'Proof that nothing was sent, or that the change is not there.',
  },
  'call.lost': {
    version: 1,
    stream: 'operation',
    ocsf: api(0),
    means: 'No definite answer was recorded: the outcome is unknown. For a read: it ended without an answer.',
  },
  // joins of a call with an operation
  'call.replayed': {
    version: 1,
    stream: 'call',
    ocsf: api(1),
    means: 'A repeated call was given the recorded outcome.',
  },
  'call.attached': { version: 1, stream: 'call', ocsf: api(99), means: 'A repeated call waited for the running one.' },
  'call.conflicted': {
    version: 1,
    stream: 'call',
    ocsf: api(2),
    means: 'A call was refused: same key for another change, or the same change under another key.',
  },
  // recovery of an unknown
  'call.probed': {
    version: 1,
    stream: 'operation',
    ocsf: api(0),
    means: 'The server was asked by the declared probe, and that settled nothing.',
  },
  'call.attempt_ended': {
    version: 1,
    stream: 'operation',
    ocsf: api(0),
    means: 'One attempt ended while another one of the same key was still open.',
  },
  'call.rescheduled': {
    version: 1,
    stream: 'operation',
    ocsf: api(0),
    means: 'The planned step of recovery turned out to be impossible.',
  },
  // questions and evidence
  'call.resolved': {
    version: 2,
    stream: 'itself',
    ocsf: api(1, activities.update),
    means:
      'A person settled an unknown: who (`agent`, `settledBy`), as what, and why. The outcome itself is the event before.',
  },
  'call.answered_late': {
    version: 1,
    stream: 'itself',
    ocsf: api(0),
    means: 'An answer came after the outcome was settled.',
  },
  'call.outcome_queried': {
    version: 1,
    stream: 'call',
    ocsf: api(1, activities.read),
    means: 'Somebody asked for an outcome that was not on record; the question went through the journal.',
  },
  // who reads the history
  'history.queried': {
    version: 1,
    stream: 'itself',
    ocsf: api(1, activities.read),
    means: 'Somebody read the history: who, with which statement, how much. On record before the answer leaves.',
  },
  'history.refused': {
    version: 1,
    stream: 'itself',
    ocsf: api(2, activities.read),
    means: 'A statement on the history was refused or failed.',
  },
  // persons
  'subject.erased': {
    version: 1,
    stream: 'itself',
    ocsf: api(1, activities.delete),
    means:
      'The keys of a subject were destroyed: what was encrypted with them is erased. It names the subject by pseudonym.',
  },
  'personal.revealed': {
    version: 1,
    stream: 'itself',
    ocsf: api(1, activities.read),
    means: 'Somebody read what is kept encrypted of a call: who, and why. On record before the answer leaves.',
  },
  // the service itself
  'key.created': { version: 1, stream: 'itself', ocsf: api(1, activities.create), means: 'An API key was created.' },
  'key.revoked': { version: 1, stream: 'itself', ocsf: api(1, activities.delete), means: 'An API key was revoked.' },
  'configuration.changed': {
    version: 1,
    stream: 'itself',
    ocsf: api(1, activities.update),
    means: 'A process started under another configuration than the last one that started: which settings differ.',
  },
  'policy.changed': {
    version: 1,
    stream: 'itself',
    ocsf: api(1, activities.update),
    means: 'The same, where roles or agents differ, or what a tool does.',
  },
  'service.started': { version: 1, stream: 'itself', ocsf: lifecycle(activities.start), means: 'A service started.' },
  'service.stopped': {
    version: 1,
    stream: 'itself',
    ocsf: lifecycle(activities.stop),
    means: 'A service stopped in order. A start without it ended some other way.',
  },
  'record.rejected': {
    version: 1,
    stream: 'itself',
    ocsf: api(2, activities.other),
    means: 'A record of the journal could not be read: where it is, why, and a commitment to its bytes.',
  },
} as const satisfies Record<string, EventType>

export type EventName = keyof typeof eventTypes
