/** What the journal's events say of operations: the latest fact of each stream, and the operation it describes. */
import type { OutcomeCode } from '../../../shared/call/codes.ts'
import type { Evidence, Operation, OperationState } from '../../../shared/call/operation.ts'
import { operationStates } from '../../../shared/call/operation.ts'
import { hashText } from '../../../shared/proof/hash.ts'
import { leafOf } from '../../../shared/proof/leaf.ts'

/** An event that moved an operation, as far as it tells the operation's state. */
export type Fact = {
  readonly operationId: string
  readonly sequence: number
  readonly callId: string
  readonly state: OperationState
  readonly epoch: number
  readonly round: number
  readonly attempt: number
  readonly atMs: number
  readonly code: OutcomeCode | undefined
  readonly evidence: Evidence | undefined
  /** Of the event, base64: the receipt, should it be the last. */
  readonly leaf: string
}

/** The fact in an event's record; undefined for events that move no operation (joins, reads, questions, late answers). */
export function factOf(record: { value: string; headers: Readonly<Record<string, string>> }): Fact | undefined {
  let data: Record<string, unknown>
  try {
    data = JSON.parse(record.value)
  } catch {
    return undefined
  }
  const { stream, operationId, sequence, callId, state, epoch, round, attempt, of } = data
  const moves = typeof operationId === 'string' && stream === operationId && of === undefined
  if (!moves || !operationStates.includes(state as OperationState)) return undefined
  return {
    operationId,
    sequence: Number(sequence),
    callId: String(callId),
    state: state as OperationState,
    epoch: Number(epoch),
    round: Number(round),
    attempt: Number(attempt),
    atMs: Date.parse(record.headers.ce_time ?? ''),
    code: data.code as OutcomeCode | undefined,
    evidence: data.evidence as Evidence | undefined,
    leaf: hashText(leafOf(record)),
  }
}

/** What an event does not repeat. */
export type Base = { readonly fingerprint: string; readonly firstSeenAt: number }

/** The operation as it was after the fact. Whoever owned it is gone; upstream's words are not in the journal. */
export function operationAfter(fact: Fact, base: Base): Operation {
  const { operationId, callId, epoch, round, sequence, attempt: attempts, atMs } = fact
  const common = { operationId, callId, epoch, round, sequence, attempts, ...base }
  const code = fact.code ?? 'record_lost'
  const evidence = fact.evidence ?? 'upstream'
  switch (fact.state) {
    case 'accepted':
      return { ...common, state: 'accepted', owner: '', dispatchBy: atMs }
    case 'awaiting_approval':
      return { ...common, state: 'awaiting_approval', dispatchBy: atMs }
    case 'executing':
      return { ...common, state: 'executing', owner: '', dispatchedAt: atMs }
    case 'awaiting_input':
      return { ...common, state: 'awaiting_input', requestStateHash: '' }
    case 'succeeded':
      return { ...common, state: 'succeeded', finishedAt: atMs, evidence }
    case 'failed':
      return { ...common, state: 'failed', finishedAt: atMs, evidence, code }
    case 'not_executed': {
      const reopenable = evidence === 'no_intent' || evidence === 'dispatcher'
      return { ...common, state: 'not_executed', finishedAt: atMs, evidence, code, reopenable }
    }
    case 'unknown':
      return { ...common, state: 'unknown', code, owner: '' }
  }
}
