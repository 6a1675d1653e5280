/** Events by their stream, each once, in order; and as the core's own events. */
import type { OperationEvent } from '../../../shared/call/decide.ts'
import { transitions } from '../../../shared/call/transitions.ts'
import type { EventFact } from './facts.ts'

const transitionTypes = new Set(transitions.map(({ event }) => `call.${event}`))

/** Of an operation's own life: reads have some of the same types, in streams of their own. */
export const isTransition = ({ type, stream, fields }: EventFact): boolean =>
  transitionTypes.has(type) && fields['operationId'] === stream && fields['effect'] === 'write'

/** Transitions by operation, by sequence; of several copies the first. */
export function transitionsOf(events: readonly EventFact[]): Map<string, EventFact[]> {
  const streams = new Map<string, Map<number, EventFact>>()
  for (const event of events) {
    if (!isTransition(event)) continue
    const stream = streams.get(event.stream) ?? new Map<number, EventFact>()
    streams.set(event.stream, stream)
    if (!stream.has(event.sequence)) stream.set(event.sequence, event)
  }
  return new Map([...streams].map(([id, stream]) => [id, [...stream.values()].sort((a, b) => a.sequence - b.sequence)]))
}

/**
 * An event of the journal as `evolve` takes it. Owner, `dispatchBy` and hashes of questions are not in the journal: what
 * comes of them is not compared.
 */
export function coreEvent({ type, sequence, at, fields }: EventFact): OperationEvent {
  const { epoch, round, attempt, callId, fingerprint, code, evidence, recovery } = fields
  return {
    type: type.slice('call.'.length),
    sequence,
    at,
    epoch,
    round,
    attempt,
    callId,
    fingerprint,
    code,
    evidence,
    // Who proved it says whether the key may try again (design section 3).
    reopenable: evidence === 'dispatcher' || evidence === 'no_intent',
    owner: '',
    dispatchBy: 0,
    requestStateHash: '',
    ...(recovery !== undefined && { recovery }),
  } as unknown as OperationEvent
}

export const numberIn = ({ fields }: EventFact, name: string): number => Number(fields[name] ?? 0)
export const textIn = ({ fields }: EventFact, name: string): string => {
  const value = fields[name]
  return typeof value === 'string' ? value : ''
}

/** What a reader of a finding wants to see of an event. */
export const briefly = ({ id, type, at, fields, place }: EventFact) => ({
  id,
  type,
  time: new Date(at).toISOString(),
  epoch: fields['epoch'],
  round: fields['round'],
  callId: fields['callId'],
  state: fields['state'],
  ...(place ?? { outbox: true }),
})
