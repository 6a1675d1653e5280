import type { OperationState } from './operation.ts'

/**
 * The life of an operation as data (design section 3). `none` is a key nobody claimed. An event may move an operation
 * only along a row of this table; `evolve` refuses anything else, and the docs' picture is generated from it.
 */
export const transitions = [
  { from: 'none', event: 'accepted', to: 'accepted', why: 'key claimed, waiting for a slot' },
  { from: 'none', event: 'approval_requested', to: 'awaiting_approval', why: 'key claimed, held for a person' },
  { from: 'none', event: 'dispatched', to: 'executing', why: 'key claimed together with its intent' },
  { from: 'none', event: 'not_executed', to: 'not_executed', why: 'handled, and provably never sent' },
  { from: 'none', event: 'lost', to: 'unknown', why: 'its record may be lost in a database failover' },

  { from: 'accepted', event: 'dispatched', to: 'executing', why: 'a slot came free: intent committed' },
  { from: 'accepted', event: 'not_executed', to: 'not_executed', why: 'no intent is the proof' },
  {
    from: 'accepted',
    event: 'lost',
    to: 'unknown',
    why: 'an earlier round was sent, this one was not; or its intent may be lost in a database failover',
  },

  { from: 'awaiting_approval', event: 'accepted', to: 'accepted', why: 'a person allowed it' },
  { from: 'awaiting_approval', event: 'dispatched', to: 'executing', why: 'a person allowed it and a slot was free' },
  { from: 'awaiting_approval', event: 'not_executed', to: 'not_executed', why: 'refused, cancelled or expired' },
  {
    from: 'awaiting_approval',
    event: 'lost',
    to: 'unknown',
    why: 'its intent may be lost in a database failover',
  },

  { from: 'executing', event: 'succeeded', to: 'succeeded', why: 'upstream answered' },
  { from: 'executing', event: 'failed', to: 'failed', why: 'upstream answered with a definite error' },
  { from: 'executing', event: 'not_executed', to: 'not_executed', why: 'the dispatcher proved that no byte was sent' },
  { from: 'executing', event: 'input_required', to: 'awaiting_input', why: 'upstream asked a question' },
  { from: 'executing', event: 'lost', to: 'unknown', why: 'no definite answer recorded' },
  { from: 'executing', event: 'attempt_ended', to: 'executing', why: 'an earlier attempt ended while a replay runs' },

  { from: 'awaiting_input', event: 'accepted', to: 'accepted', why: 'answered, waiting for a slot' },
  { from: 'awaiting_input', event: 'dispatched', to: 'executing', why: 'answered: intent of the next round committed' },
  {
    from: 'awaiting_input',
    event: 'lost',
    to: 'unknown',
    why: 'the question expired unanswered after something was sent, or its answer may be lost in a database failover',
  },

  { from: 'unknown', event: 'succeeded', to: 'succeeded', why: 'evidence settled it' },
  { from: 'unknown', event: 'failed', to: 'failed', why: 'evidence settled it' },
  { from: 'unknown', event: 'not_executed', to: 'not_executed', why: 'evidence settled it' },
  { from: 'unknown', event: 'input_required', to: 'awaiting_input', why: 'the late answer was a question' },
  { from: 'unknown', event: 'dispatched', to: 'executing', why: 'replay, to a server that honours keys only' },
  { from: 'unknown', event: 'probed', to: 'unknown', why: 'a look at the server settled nothing' },
  { from: 'unknown', event: 'attempt_ended', to: 'unknown', why: 'one attempt ended, another one is still open' },
  { from: 'unknown', event: 'rescheduled', to: 'unknown', why: 'the planned step of recovery is not possible' },

  { from: 'not_executed', event: 'accepted', to: 'accepted', why: 'reopened: same key, next epoch' },
  { from: 'not_executed', event: 'dispatched', to: 'executing', why: 'reopened with its intent: same key, next epoch' },
  { from: 'not_executed', event: 'approval_requested', to: 'awaiting_approval', why: 'reopened, held for a person' },
  {
    from: 'not_executed',
    event: 'lost',
    to: 'unknown',
    why: 'reopened perhaps, and the record of it lost in a database failover: next epoch',
  },
] as const satisfies ReadonlyArray<{ from: OperationState | 'none'; event: string; to: OperationState; why: string }>

export type Transition = (typeof transitions)[number]
/** Names of the events that move an operation. */
export type TransitionEvent = Transition['event']

/** The state an event leads to, or undefined where the table has no such row. */
export function target(from: OperationState | 'none', event: TransitionEvent): OperationState | undefined {
  return transitions.find(row => row.from === from && row.event === event)?.to
}
