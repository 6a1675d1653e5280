import { InvariantError } from '../errors.ts'
import type { OperationEvent } from './decide.ts'
import type { Executing, Operation, Unknown } from './operation.ts'
import type { Recovery } from './recovery.ts'
import { target } from './transitions.ts'

/**
 * The operation after an event. Refuses what the transition table does not allow, a gap in the sequence, and any
 * change of what may never change: an event that gets here wrongly is our own fault, so it throws.
 */
export function evolve(operation: Operation | undefined, event: OperationEvent): Operation {
  check(operation, event)
  const { at } = event
  switch (event.type) {
    case 'accepted':
      return {
        ...carried(operation, event),
        state: 'accepted',
        owner: event.owner,
        dispatchBy: event.dispatchBy,
        ...inputsOf(event),
      }
    case 'approval_requested':
      return {
        ...carried(operation, event),
        state: 'awaiting_approval',
        dispatchBy: event.dispatchBy,
        ...inputsOf(event),
      }
    case 'dispatched':
      return {
        ...carried(operation, event),
        state: 'executing',
        owner: event.owner,
        dispatchedAt: at,
        attempts: event.attempt,
        ...inputsOf(event),
        ...recoveryOf(event),
      }
    case 'input_required':
      return { ...carried(operation, event), state: 'awaiting_input', requestStateHash: event.requestStateHash }
    case 'succeeded':
      return { ...carried(operation, event), state: 'succeeded', finishedAt: at, evidence: event.evidence }
    case 'failed':
      return {
        ...carried(operation, event),
        state: 'failed',
        finishedAt: at,
        evidence: event.evidence,
        code: event.code,
      }
    case 'not_executed':
      return {
        ...carried(operation, event),
        state: 'not_executed',
        finishedAt: at,
        evidence: event.evidence,
        code: event.code,
        reopenable: event.reopenable,
      }
    case 'lost':
      return {
        ...carried(operation, event),
        state: 'unknown',
        code: event.code,
        owner: ownerOf(operation),
        ...recoveryOf(event),
      }
    case 'probed':
    case 'rescheduled':
    case 'attempt_ended':
      return { ...(operation as Executing | Unknown), sequence: event.sequence, recovery: event.recovery }
  }
}

const ownerOf = (operation: Operation | undefined): string =>
  operation !== undefined && 'owner' in operation ? operation.owner : ''

const recoveryOf = ({ recovery }: { readonly recovery?: Recovery | undefined }) =>
  recovery === undefined ? {} : { recovery }

const inputsOf = ({ inputsHash }: { readonly inputsHash?: string | undefined }) =>
  inputsHash === undefined ? {} : { inputsHash }

/** What every state carries, taken over from the operation or begun by its first event. */
function carried(operation: Operation | undefined, event: OperationEvent) {
  const { sequence, epoch, round } = event
  if (operation !== undefined) {
    const { operationId, fingerprint, attempts, firstSeenAt, inputsHash } = operation
    const callId = 'callId' in event && event.callId !== undefined ? event.callId : operation.callId
    // Inputs belong to their round: a new epoch starts without them.
    const kept = inputsHash !== undefined && epoch === operation.epoch ? { inputsHash } : {}
    return { operationId, callId, fingerprint, attempts, firstSeenAt, sequence, epoch, round, ...kept }
  }
  if (!('callId' in event) || event.callId === undefined || event.fingerprint === undefined) {
    throw new InvariantError(`an operation cannot begin with ${event.type}`)
  }
  const { callId, fingerprint } = event
  return { operationId: callId, callId, fingerprint, attempts: 0, firstSeenAt: event.at, sequence, epoch, round }
}

function check(operation: Operation | undefined, event: OperationEvent): void {
  const from = operation?.state ?? 'none'
  if (target(from, event.type) === undefined) throw new InvariantError(`no transition ${from} --${event.type}-->`)
  if (event.sequence !== (operation?.sequence ?? 0) + 1) {
    throw new InvariantError(`event ${event.sequence} does not follow ${operation?.sequence ?? 0}`)
  }
  const opens = operation === undefined || operation.state === 'not_executed'
  if (event.epoch !== (operation?.epoch ?? 0) + (opens ? 1 : 0)) {
    throw new InvariantError(`epoch ${event.epoch} does not follow ${operation?.epoch ?? 0} (I1)`)
  }
  const round = opens ? 1 : operation.round + (continues(operation, event) ? 1 : 0)
  if (event.round !== round) throw new InvariantError(`round ${event.round} is not ${round} (I1)`)
  const attempt = (operation?.attempts ?? 0) + 1
  if (event.type === 'dispatched' && event.attempt !== attempt) {
    throw new InvariantError(`attempt ${event.attempt} is not ${attempt} (I1)`)
  }
  if (event.type === 'dispatched' && operation?.state === 'unknown' && event.recovery === undefined) {
    throw new InvariantError('an unknown was sent again to a server that is not declared to honour keys (I1)')
  }
  if (operation?.state === 'not_executed' && !operation.reopenable)
    throw new InvariantError('a closed key was reopened (I2)')
}

/** An answered question begins the next round; what else follows belongs to its own. */
const continues = (operation: Operation, event: OperationEvent): boolean =>
  operation.state === 'awaiting_input' && (event.type === 'accepted' || event.type === 'dispatched')
