/** The facts broker puts on record, built from what it decided. Pure. */
import type { Code } from '../../shared/call/codes.ts'
import type { SubmitCommand, Caller } from '../../shared/call/command.ts'
import type { AttemptId, OperationEvent } from '../../shared/call/decide.ts'
import { errorClassOf } from '../../shared/call/error-class.ts'
import type { Evidence, Operation, OperationState } from '../../shared/call/operation.ts'
import type { Recovery } from '../../shared/call/recovery.ts'
import type { UpstreamAnswer } from '../../shared/call/record.ts'
import { type EventData, type EventName, eventRecord, recordOf } from '../../shared/events/event.ts'
import {
  allRedacted,
  argumentFields,
  fingerprintShown,
  keyFields,
  onBehalfOfFields,
  reasonFields,
  type RecordRules,
  saltOf,
} from '../../shared/events/arguments.ts'
import { callCommitment } from '../../shared/events/commitment.ts'
import type { NewRecord } from '../../shared/journal/port.ts'

const source = 'holdfast/broker'
const iso = (ms: number) => new Date(ms).toISOString()

/** Who and what: stands in the first event of each try, and in events that are alone. */
function callFields(context: EventContext, command: SubmitCommand) {
  const { callId, caller } = command
  const redaction = redactionOf(context, command)
  const behalf = onBehalfOfFields(context, redaction, { tenant: command.tenant, name: caller.onBehalfOf })
  const about = argumentFields(context, redaction, { callId, text: command.arguments, personal: command.personal })
  return {
    agent: caller.agent,
    credential: caller.credential,
    client: caller.client,
    origin: caller.origin,
    session: caller.session,
    conversation: caller.conversation,
    onBehalfOf: behalf.onBehalfOf,
    trace: caller.trace,
    parent: command.parent,
    tool: command.tool,
    toolHash: command.toolHash,
    effect: 'write' as const,
    effectSource: command.effectSource,
    keySource: command.keySource,
    fingerprint: fingerprintShown(context.secret, redaction, {
      fingerprint: command.fingerprint,
      redacted: about.redacted,
    }),
    arguments: about.arguments,
    truncated: about.truncated,
    argumentsBytes: about.argumentsBytes,
    argumentsCommitment: about.argumentsCommitment,
    redacted: behalf.redacted ? allRedacted(about.redacted, behalf.redacted) : about.redacted,
    subject: about.subject,
    subjectKey: about.subjectKey,
    sealed: about.sealed,
    policyRule: command.policyRule,
    policyVersion: command.policyVersion,
    verdict: 'allow',
    receivedAt: iso(command.receivedAt),
  }
}

const redactionOf = (context: EventContext, { server, tool }: Pick<SubmitCommand, 'server' | 'tool'>) =>
  context.redactionOf(server, tool)

const callerFields = ({ agent, credential, client, origin, session, conversation, onBehalfOf, trace }: Caller) => ({
  agent,
  credential,
  client,
  origin,
  session,
  conversation,
  onBehalfOf,
  trace,
})

const where = ({ tenant, keyspace, server }: { tenant: string; keyspace: string; server: string }) => ({
  tenant,
  keyspace,
  server,
})

/** Servers go by the name their keys are recorded under. */
export type EventContext = RecordRules

/**
 * The record of a transition.
 * @param opens the event begins a try of `command`: it says who and what
 * @param startedAt when bytes could first be sent, for the duration
 */
export function transitionRecord(
  context: EventContext,
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
    /** Of an unknown that is settled: by whom, and in which words the evidence was found. */
    settled?: { by: string; words?: string | undefined } | undefined
  },
): NewRecord {
  const { event, operation, command, answer, startedAt, settled } = input
  const { tenant, keyspace, server, tool, caller } = command
  const { agent, conversation } = caller
  const { operationId, callId, state, attempts } = operation
  const { sequence, epoch, round } = event
  const time = iso(event.at)
  const redaction = redactionOf(context, command)
  const key = keyFields(context, redaction, command)
  const told = reasonFields(redaction, input.reason, command.arguments)
  const salt = saltOf(redaction, command.personal)
  const commit = (text: string) => callCommitment(context.secret, { callId, salt }, text)
  const code = 'code' in event ? event.code : undefined
  const evidence = 'evidence' in event ? event.evidence : undefined
  // One literal whose fields may be undefined: spreading parts of it together took a third of a write's time here.
  const data: Writable<EventData> = {
    stream: operationId,
    sequence,
    tenant,
    keyspace,
    server,
    agent,
    conversation,
    tool,
    key: key.key,
    effect: 'write',
    callId,
    operationId,
    state,
    epoch,
    round,
    attempt: input.attempt ?? attempts,
    reason: told.reason,
    redacted: key.redacted || told.redacted ? allRedacted(key.redacted, told.redacted) : undefined,
    code,
    errorClass: errorClassOf(code),
    evidence,
    evidenceCommitment: settled?.words === undefined ? undefined : commit(settled.words),
    settledBy: evidence && (settled?.by ?? settlers[evidence]),
    look: 'look' in event ? event.look : undefined,
    recovery: 'recovery' in event && event.recovery ? recoveryFields(event.recovery) : undefined,
    clock: 'database',
    acceptedAt: input.opens ? time : undefined,
    dispatchedAt: event.type === 'dispatched' ? time : undefined,
    finishedAt: 'finishedAt' in operation ? iso(operation.finishedAt) : undefined,
    durationMs: startedAt === undefined ? undefined : Math.max(0, event.at - startedAt),
    isError: answer && event.type === 'failed',
    resultBytes: answer && Buffer.byteLength(answer.raw),
    resultCommitment: answer && commit(answer.raw),
  }
  if (input.opens) {
    const opening = callFields(context, command)
    Object.assign(data, opening)
    data.redacted = allRedacted(opening.redacted, key.redacted, told.redacted)
  }
  return recordOf({ type: `call.${event.type}` as EventName, source, time }, data)
}

/** Key and reason of an event that is not the first of its call. */
function shownOf(context: EventContext, command: SubmitCommand, reason: string) {
  const redaction = redactionOf(context, command)
  const key = keyFields(context, redaction, command)
  const told = reasonFields(redaction, reason, command.arguments)
  return { key: key.key, reason: told.reason, redacted: allRedacted(key.redacted, told.redacted) }
}

/** Who settles by this evidence; nobody where the outcome was never unknown. A probe and a person have names of their own. */
const settlers: Partial<Record<Evidence, string>> = { late_answer: 'server', upstream_replay: 'replay' }

type Writable<T> = { -readonly [Field in keyof T]: T[Field] }

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
  const about = callFields(context, command)
  const key = keyFields(context, redactionOf(context, command), command)
  return eventRecord({
    type: `call.${how}`,
    stream: command.callId,
    sequence: 1,
    time: iso(at),
    source,
    ...where(command),
    ...about,
    key: key.key,
    redacted: allRedacted(about.redacted, key.redacted),
    callId: command.callId,
    operationId: operation.operationId,
    of: operation.callId,
    state: operation.state,
    code,
    errorClass: errorClassOf(code as Code | undefined),
    clock: 'database',
    epoch: operation.epoch,
    round: operation.round,
  })
}

/** The record of a question that went through the journal. */
export function queriedRecord(
  context: EventContext,
  input: {
    callId: string
    tenant: string
    keyspace: string
    server: string
    key: string
    caller: Caller
    at: number
  },
): NewRecord {
  // No call with this key came: of which tool it would have been is not known.
  const redaction = context.redactionOf(input.server, '')
  const key = keyFields(context, redaction, input)
  const behalf = onBehalfOfFields(context, redaction, { tenant: input.tenant, name: input.caller.onBehalfOf })
  return eventRecord({
    type: 'call.outcome_queried',
    stream: input.callId,
    sequence: 1,
    time: iso(input.at),
    source,
    ...where(input),
    ...callerFields(input.caller),
    onBehalfOf: behalf.onBehalfOf,
    ...key,
    redacted: allRedacted(key.redacted, behalf.redacted),
    callId: input.callId,
    code: 'not_found',
    clock: 'database',
  })
}

/** A person's word, in full: the event of the operation itself says the outcome. */
export function resolvedRecord(
  context: EventContext,
  input: {
    command: SubmitCommand
    operation: Operation
    as: OperationState
    reason: string
    by: Caller
    at: number
    id: string
  },
): NewRecord {
  const { command, operation, as, by, at, id } = input
  const shown = shownOf(context, command, input.reason)
  const behalf = onBehalfOfFields(context, redactionOf(context, command), {
    tenant: command.tenant,
    name: by.onBehalfOf,
  })
  return eventRecord({
    type: 'call.resolved',
    stream: `${operation.operationId}/resolved/${id}`,
    sequence: 1,
    time: iso(at),
    source,
    ...where(command),
    ...callerFields({ ...by, onBehalfOf: behalf.onBehalfOf }),
    settledBy: by.agent,
    clock: 'database',
    tool: command.tool,
    effect: 'write',
    callId: operation.callId,
    operationId: operation.operationId,
    state: as,
    epoch: operation.epoch,
    round: operation.round,
    ...shown,
    evidence: 'person',
  })
}

/** A look that was overtaken: what it says is evidence all the same. */
export function overtakenLookRecord(
  context: EventContext,
  input: {
    command: SubmitCommand
    operation: Operation
    look: string
    says: string
    at: number
    id: string
  },
): NewRecord {
  const { command, operation, look, says, at, id } = input
  const shown = shownOf(context, command, says)
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
    effect: 'write',
    callId: operation.callId,
    operationId: operation.operationId,
    state: operation.state,
    epoch: operation.epoch,
    round: operation.round,
    look,
    ...shown,
    clock: 'database',
  })
}

/** An answer that came when nothing was left to settle: evidence all the same. */
export function lateRecord(
  context: EventContext,
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
  const salt = saltOf(redactionOf(context, command), command.personal)
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
    effect: 'write',
    callId: command.callId,
    operationId: operation.operationId,
    state: operation.state,
    epoch,
    round,
    attempt,
    ...shownOf(context, command, input.saw),
    clock: 'database',
    ...(answer !== undefined && {
      resultBytes: Buffer.byteLength(answer.raw),
      resultCommitment: callCommitment(context.secret, { callId: command.callId, salt }, answer.raw),
    }),
  })
}
