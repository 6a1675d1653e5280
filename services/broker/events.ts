/** The facts broker puts on record, built from what it decided. Pure. */
import type { SubmitCommand, Caller } from '../../shared/call/command.ts'
import type { AttemptId, OperationEvent } from '../../shared/call/decide.ts'
import type { Operation, OperationState } from '../../shared/call/operation.ts'
import type { Recovery } from '../../shared/call/recovery.ts'
import type { UpstreamAnswer } from '../../shared/call/record.ts'
import { type EventName, eventRecord, type HoldfastEvent } from '../../shared/events/event.ts'
import { commitment, redactArguments } from '../../shared/events/redact.ts'
import type { NewRecord } from '../../shared/journal/port.ts'

const source = 'holdfast/broker'
const iso = (ms: number) => new Date(ms).toISOString()

/** Who and what: stands in the first event of each try, and in events that are alone. */
function callFields(secret: string, command: SubmitCommand, maxArgumentsBytes: number) {
  const redacted = redactArguments(command.arguments)
  const cut = Buffer.byteLength(redacted) > maxArgumentsBytes
  return {
    ...callerFields(command.caller),
    tool: command.tool,
    toolHash: command.toolHash,
    effect: 'write' as const,
    effectSource: command.effectSource,
    key: command.key,
    keySource: command.keySource,
    fingerprint: command.fingerprint,
    ...(cut ? { truncated: ['arguments'] } : { arguments: redacted }),
    argumentsCommitment: commitment(secret, command.callId, command.arguments),
    policyRule: command.policyRule,
    policyVersion: command.policyVersion,
    receivedAt: iso(command.receivedAt),
  }
}

const callerFields = ({ agent, credential, client, origin, session, conversation, trace }: Caller) => ({
  agent,
  credential,
  client,
  origin,
  session,
  conversation,
  trace,
})

const where = ({ tenant, keyspace, server }: { tenant: string; keyspace: string; server: string }) => ({
  tenant,
  keyspace,
  server,
})

export type EventContext = { readonly secret: string; readonly maxArgumentsBytes: number }

/**
 * The record of a transition.
 * @param opens the event begins a try of `command`: it says who and what
 * @param startedAt when bytes could first be sent, for the duration
 */
export function transitionRecord(
  { secret, maxArgumentsBytes }: EventContext,
  input: {
    event: OperationEvent
    operation: Operation
    command: SubmitCommand
    opens: boolean
    answer?: UpstreamAnswer | undefined
    startedAt?: number | undefined
    reason?: string | undefined
    /** The attempt that the event tells of, where it is not the newest. */
    attempt?: number | undefined
  },
): NewRecord {
  const { event, operation, command, answer, startedAt, reason } = input
  const common: HoldfastEvent = {
    type: `call.${event.type}` as EventName,
    stream: operation.operationId,
    sequence: event.sequence,
    time: iso(event.at),
    source,
    ...where(command),
    agent: command.caller.agent,
    conversation: command.caller.conversation,
    tool: command.tool,
    key: command.key,
    effect: 'write',
    callId: operation.callId,
    operationId: operation.operationId,
    state: operation.state,
    epoch: event.epoch,
    round: event.round,
    attempt: input.attempt ?? operation.attempts,
    reason,
    ...(input.opens && callFields(secret, command, maxArgumentsBytes)),
    ...('code' in event && { code: event.code }),
    ...('evidence' in event && { evidence: event.evidence }),
    ...('look' in event && { look: event.look }),
    ...('recovery' in event && event.recovery && { recovery: recoveryFields(event.recovery) }),
    ...(event.type === 'dispatched' && { dispatchedAt: iso(event.at) }),
    ...('finishedAt' in operation && { finishedAt: iso(operation.finishedAt) }),
    ...(startedAt !== undefined && { durationMs: Math.max(0, event.at - startedAt) }),
    ...(answer !== undefined && {
      isError: event.type === 'failed',
      resultBytes: Buffer.byteLength(answer.raw),
      resultCommitment: commitment(secret, operation.callId, answer.raw),
    }),
  }
  return eventRecord(common)
}

/** What recovery has done and does next, for the history. */
const recoveryFields = ({ tries, probes, next, over }: Recovery) => ({
  replays: tries.length - 1,
  probes,
  ...(next && { next: next.step, nextAt: iso(next.at) }),
  ...(over && { over }),
})

/** The record of a call that joined an operation. */
export function joinRecord(
  context: EventContext,
  input: {
    command: SubmitCommand
    operation: Operation
    how: 'replayed' | 'attached' | 'conflicted'
    code: string | undefined
    at: number
  },
): NewRecord {
  const { command, operation, how, code, at } = input
  return eventRecord({
    type: `call.${how}`,
    stream: command.callId,
    sequence: 1,
    time: iso(at),
    source,
    ...where(command),
    ...callFields(context.secret, command, context.maxArgumentsBytes),
    callId: command.callId,
    operationId: operation.operationId,
    of: operation.callId,
    state: operation.state,
    code,
    epoch: operation.epoch,
    round: operation.round,
  })
}

/** The record of a question that went through the journal. */
export function queriedRecord(input: {
  callId: string
  tenant: string
  keyspace: string
  server: string
  key: string
  caller: Caller
  at: number
}): NewRecord {
  return eventRecord({
    type: 'call.outcome_queried',
    stream: input.callId,
    sequence: 1,
    time: iso(input.at),
    source,
    ...where(input),
    ...callerFields(input.caller),
    key: input.key,
    callId: input.callId,
    code: 'not_found',
  })
}

/** A person's word, in full: the event of the operation itself says the outcome. */
export function resolvedRecord(input: {
  command: SubmitCommand
  operation: Operation
  as: OperationState
  reason: string
  by: Caller
  at: number
  id: string
}): NewRecord {
  const { command, operation, as, reason, by, at, id } = input
  return eventRecord({
    type: 'call.resolved',
    stream: `${operation.operationId}/resolved/${id}`,
    sequence: 1,
    time: iso(at),
    source,
    ...where(command),
    ...callerFields(by),
    resolvedBy: by.agent,
    tool: command.tool,
    key: command.key,
    effect: 'write',
    callId: operation.callId,
    operationId: operation.operationId,
    state: as,
    epoch: operation.epoch,
    round: operation.round,
    reason,
    evidence: 'person',
  })
}

/** A look that was overtaken: what it says is evidence all the same. */
export function overtakenLookRecord(input: {
  command: SubmitCommand
  operation: Operation
  look: string
  says: string
  at: number
  id: string
}): NewRecord {
  const { command, operation, look, says, at, id } = input
  return eventRecord({
    type: 'call.probed',
    stream: `${operation.operationId}/look/${id}`,
    sequence: 1,
    time: iso(at),
    source,
    ...where(command),
    agent: command.caller.agent,
    conversation: command.caller.conversation,
    tool: command.tool,
    key: command.key,
    effect: 'write',
    callId: operation.callId,
    operationId: operation.operationId,
    state: operation.state,
    epoch: operation.epoch,
    round: operation.round,
    look,
    reason: says,
  })
}

/** An answer that came when nothing was left to settle: evidence all the same. */
export function lateRecord(
  { secret }: EventContext,
  input: {
    command: SubmitCommand
    operation: Operation
    id: AttemptId
    saw: string
    answer: UpstreamAnswer | undefined
    at: number
  },
): NewRecord {
  const { command, operation, answer } = input
  const { epoch, round, attempt } = input.id
  return eventRecord({
    type: 'call.answered_late',
    stream: `${operation.operationId}/late/${epoch}.${round}${attempt > 1 ? `.${attempt}` : ''}`,
    sequence: 1,
    time: iso(input.at),
    source,
    ...where(command),
    agent: command.caller.agent,
    conversation: command.caller.conversation,
    tool: command.tool,
    key: command.key,
    effect: 'write',
    callId: command.callId,
    operationId: operation.operationId,
    state: operation.state,
    epoch,
    round,
    attempt,
    reason: input.saw,
    ...(answer !== undefined && {
      resultBytes: Buffer.byteLength(answer.raw),
      resultCommitment: commitment(secret, command.callId, answer.raw),
    }),
  })
}
