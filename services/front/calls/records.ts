/** The facts front itself puts on record: refusals, and reads from their beginning to their end. Pure. */
import type { Caller } from '../../../shared/call/command.ts'
import type { Code } from '../../../shared/call/codes.ts'
import { errorClassOf } from '../../../shared/call/error-class.ts'
import type { Effect } from '../../../shared/call/effect.ts'
import type { Seen, Verdict as SeenVerdict } from '../../../shared/call/seen.ts'
import { type EventName, eventRecord } from '../../../shared/events/event.ts'
import {
  allRedacted,
  argumentFields,
  keyFields,
  onBehalfOfFields,
  type Personal,
  type RecordRules,
  reasonFields,
  saltOf,
} from '../../../shared/events/arguments.ts'
import { callCommitment } from '../../../shared/events/commitment.ts'
import type { NewRecord } from '../../../shared/journal/port.ts'
import type { Identity } from '../deps.ts'
import type { Verdict } from '../settings.ts'

const source = 'holdfast/front'
const iso = (ms: number) => new Date(ms).toISOString()

/** What is known of a call when front speaks of it. Times in milliseconds, database time. */
export type CallFacts = {
  readonly callId: string
  readonly identity: Identity
  readonly caller: Caller
  readonly server?: string | undefined
  readonly tool?: string | undefined
  readonly toolHash?: string | undefined
  readonly effect?: Effect | undefined
  readonly effectSource?: string | undefined
  readonly key?: string | undefined
  readonly keySource?: string | undefined
  /** JSON text. */
  readonly arguments?: string | undefined
  /** Of a call about a subject, where its key could be had. */
  readonly personal?: Personal | undefined
  readonly policy?: Verdict | undefined
  /** The call this one follows from. */
  readonly parent?: string | undefined
  readonly receivedAt: number
}

/** Servers go by their own names. */
export type RecordContext = RecordRules

/** A name that no server lists is what some client typed. */
const redactionOf = (context: RecordContext, { server = '', tool = '', toolHash }: CallFacts) =>
  context.redactionOf(server, toolHash === undefined ? '' : tool)

function factFields(context: RecordContext, facts: CallFacts, reason?: string) {
  const { callId, identity, caller, policy } = facts
  const { tenant, keyspace } = identity
  const redaction = redactionOf(context, facts)
  const about =
    facts.arguments === undefined
      ? undefined
      : argumentFields(context, redaction, { callId, text: facts.arguments, personal: facts.personal })
  const key =
    facts.key === undefined
      ? undefined
      : keyFields(context, redaction, { tenant, keyspace, server: facts.server ?? '', key: facts.key })
  const told = reasonFields(redaction, reason, facts.arguments)
  const behalf = onBehalfOfFields(context, redaction, { tenant, name: caller.onBehalfOf })
  return {
    stream: callId,
    source,
    tenant,
    keyspace,
    ...caller,
    onBehalfOf: behalf.onBehalfOf,
    callId,
    server: facts.server,
    tool: facts.toolHash === undefined ? reasonFields(redaction, facts.tool, undefined).reason : facts.tool,
    toolHash: facts.toolHash,
    effect: facts.effect,
    effectSource: facts.effectSource,
    key: key?.key,
    keySource: facts.keySource,
    ...about,
    reason: told.reason,
    redacted: allRedacted(about?.redacted, key?.redacted, behalf.redacted, told.redacted),
    policyRule: policy?.rule,
    policyVersion: policy?.version,
    verdict: policy?.verdict,
    parent: facts.parent,
    clock: 'database' as const,
    receivedAt: iso(facts.receivedAt),
  }
}

/** A call that was refused before a row existed. */
export function refusedRecord(
  context: RecordContext,
  { facts, code, reason, at }: { facts: CallFacts; code: Code; reason: string | undefined; at: number },
): NewRecord {
  const type = code === 'denied' ? 'call.denied' : 'call.not_accepted'
  return eventRecord({
    type,
    sequence: 1,
    time: iso(at),
    ...factFields(context, facts, reason),
    code,
    errorClass: errorClassOf(code),
  })
}

/** A read was received; it is dispatched at the same time. */
export const requestedRecord = (context: RecordContext, facts: CallFacts, at: number): NewRecord =>
  eventRecord({
    type: 'call.requested',
    sequence: 1,
    time: iso(facts.receivedAt),
    ...factFields(context, facts),
    dispatchedAt: iso(at),
  })

/** How a read ended. */
export function finishedRecord(
  context: RecordContext,
  {
    facts,
    seen,
    verdict,
    at,
    durationMs,
  }: { facts: CallFacts; seen: Seen; verdict: SeenVerdict; at: number; durationMs: number },
): NewRecord {
  const { callId, identity, caller, server, tool, effect } = facts
  const message = 'message' in seen ? seen.message : undefined
  const told = reasonFields(redactionOf(context, facts), message, facts.arguments)
  return eventRecord({
    type: finishedTypes[verdict.state],
    stream: callId,
    sequence: 2,
    time: iso(at),
    source,
    tenant: identity.tenant,
    keyspace: identity.keyspace,
    agent: caller.agent,
    conversation: caller.conversation,
    callId,
    server,
    tool,
    effect,
    state: verdict.state,
    ...('code' in verdict && { code: verdict.code, errorClass: errorClassOf(verdict.code) }),
    clock: 'database',
    finishedAt: iso(at),
    durationMs: Math.max(0, Math.round(durationMs)),
    ...('raw' in seen && {
      isError: seen.kind === 'error' || (seen.kind === 'result' && seen.isError),
      resultBytes: Buffer.byteLength(seen.raw),
      resultCommitment: callCommitment(
        context.secret,
        { callId, salt: saltOf(redactionOf(context, facts), facts.personal) },
        seen.raw,
      ),
    }),
    ...told,
  })
}

const finishedTypes = {
  succeeded: 'call.succeeded',
  failed: 'call.failed',
  not_executed: 'call.not_executed',
  unknown: 'call.lost',
  awaiting_input: 'call.input_required',
} as const satisfies Record<SeenVerdict['state'], EventName>
