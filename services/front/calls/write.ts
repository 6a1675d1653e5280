/**
 * A write: key, arguments, size and limits are checked, the command is made durable, and the caller waits for the reply.
 * Once the append was begun nothing here may call the write refused: the wait ends, the write does not.
 */
import { commandRecord, type SubmitCommand } from '../../../shared/call/command.ts'
import { afterCall } from '../../../shared/call/key.ts'
import { fingerprint } from '../../../shared/call/fingerprint.ts'
import { AppendRefused, type NewRecord } from '../../../shared/journal/port.ts'
import { crashPoint } from '../../../shared/process/crash-point.ts'
import { stateTold } from '../answers/state-told.ts'
import { answerWrite, type WriteReply } from '../answers/write.ts'
import type { Front } from '../deps.ts'
import { keyOf } from '../key.ts'
import { serverInfo } from '../mcp/identity.ts'
import { isObject } from '../schema/declares.ts'
import { argumentProblem } from './arguments.ts'
import type { Personal } from '../../../shared/events/arguments.ts'
import { awaitReply } from './await-reply.ts'
import { canAnswer, forwardedMeta, inputsOf } from './incoming.ts'
import { personalOf } from './personal.ts'
import type { CallFacts } from './records.ts'
import { recordRefusal, type Refusal, toldOf } from './refuse.ts'
import type { RawAnswer, SettledCall } from './settled.ts'

type TimedRefusal = Refusal & { readonly retryAfterMs?: number }
type Prepared = { readonly submit: SubmitCommand; readonly record: NewRecord; readonly facts: CallFacts }

/** A call may be sent as long as its caller waits, and this long where callers hardly wait at all: they ask later. */
const leastDispatchMs = 10_000

/** A caller that is told to come back should not come back at once. */
const retryAfterMs = 1000

export async function callWrite(deps: Front, call: SettledCall): Promise<RawAnswer> {
  const { incoming, known, callId } = call
  const keyed = keyOf({
    params: incoming.params,
    headers: incoming.headers,
    args: call.args,
    inputSchema: isObject(known.tool.inputSchema) ? known.tool.inputSchema : {},
    keySetting: deps.settings.keyArgument(known.server, known.name),
    batch: incoming.batch,
  })
  const key = keyed.ok ? keyed.key : undefined
  const keySource = keyed.ok ? keyed.source : undefined
  const scopeServer = deps.settings.scopeName(known.server)
  const answer = (reply: WriteReply): RawAnswer => ({
    kind: 'result',
    told: toldOf(call.facts, stateTold(reply)),
    raw: answerWrite(reply, {
      era: incoming.era,
      server: known.server,
      key,
      keySource,
      now: deps.clock.now(),
      outputSchema: known.tool.outputSchema,
      canAnswer: rawQuestion => canAnswer(incoming, rawQuestion),
      serverInfo,
    }),
  })
  const refuse = (facts: CallFacts, refusal: TimedRefusal): RawAnswer => {
    recordRefusal(deps, facts, refusal)
    return answer({ kind: 'not_accepted', callId, ...refusal })
  }

  if (!keyed.ok)
    return refuse({ ...call.facts, arguments: JSON.stringify(call.args) }, { code: keyed.code, detail: keyed.message })
  const personal = await personalOf(deps, call, JSON.stringify(keyed.args))
  const prepared = prepare(deps, call, { ...keyed, scopeServer, personal })
  const refusal = refusalOf(deps, call, prepared, keyed.args)
  if (refusal !== undefined) return refuse(prepared.facts, refusal)
  const reply = await submitAndWait(deps, call, prepared.submit)
  crashPoint('front.answer.before')
  return answer(reply)
}

function prepare(
  deps: Front,
  { callId, incoming, known, policy, facts }: SettledCall,
  keyed: {
    key: string
    source: string
    args: SettledCall['args']
    scopeServer: string
    personal: Personal | undefined
  },
): Prepared {
  const { key, source, args, scopeServer, personal } = keyed
  const meta = forwardedMeta(incoming)
  const inputs = inputsOf(incoming)
  const argumentsJson = JSON.stringify(args)
  const parent = facts.parent ?? afterCall(key)
  const submit: SubmitCommand = {
    type: 'submit',
    callId,
    tenant: incoming.identity.tenant,
    keyspace: incoming.identity.keyspace,
    server: scopeServer,
    key,
    tool: known.name,
    toolHash: known.hash,
    effectSource: facts.effectSource ?? 'default',
    keySource: source,
    fingerprint: fingerprint(known.name, args),
    arguments: argumentsJson,
    ...(meta !== undefined && { meta }),
    // A server may ask for nothing but the call again with its `requestState`; a command always has both.
    ...(inputs !== undefined && { inputs }),
    caller: facts.caller,
    ...(personal !== undefined && { personal }),
    policyRule: policy.rule,
    policyVersion: policy.version,
    ...(parent !== undefined && { parent }),
    receivedAt: facts.receivedAt,
    dispatchBy: facts.receivedAt + Math.max(deps.settings.waitMs(known.server), leastDispatchMs),
    replyTo: deps.replyTo,
  }
  return {
    submit,
    record: commandRecord(submit),
    facts: { ...facts, parent, key, keySource: source, arguments: argumentsJson, personal },
  }
}

/** Why a call with a key cannot be accepted now, cheapest checks last to matter first to say. */
function refusalOf(
  deps: Front,
  { known }: SettledCall,
  { record }: Prepared,
  args: SettledCall['args'],
): TimedRefusal | undefined {
  const problem = argumentProblem(known.tool.inputSchema, args)
  if (problem !== undefined) return { code: 'invalid_arguments', detail: `${problem}.` }
  const bytes = sizeOf(record)
  const { maxRecordBytes } = deps.journal
  if (bytes > maxRecordBytes) return { code: 'too_large', detail: `It is ${bytes} bytes; ${maxRecordBytes} are taken.` }
  if (deps.draining.aborted) return { code: 'draining', retryAfterMs }
  if (deps.waiters.size() >= deps.settings.waiting) return { code: 'too_many_waiting', retryAfterMs }
  return undefined
}

/** Bytes of a record as the journal counts them: key, headers and value together. */
function sizeOf({ key, value, headers }: NewRecord): number {
  const texts = [key, value, ...Object.entries(headers).flat()]
  return texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0)
}

/** Less time than this is not worth another try. */
const leastTryMs = 1000

/**
 * Submits and waits. When the broker process that held the call is gone and had no intent, nothing was sent and the caller
 * still waits: the same change is submitted again, as a call of its own.
 */
async function submitAndWait(deps: Front, call: SettledCall, first: SubmitCommand): Promise<WriteReply> {
  const end = performance.now() + deps.settings.waitMs(call.known.server)
  let reply = await submitOnce(deps, call, first, end - performance.now())
  for (;;) {
    const left = end - performance.now()
    if (!isOwnerGone(reply) || left < leastTryMs || deps.draining.aborted) return reply
    crashPoint('front.resubmit.before')
    const receivedAt = deps.clock.now()
    const again: SubmitCommand = {
      ...first,
      callId: deps.ids.ulid(),
      parent: first.callId,
      receivedAt,
      dispatchBy: receivedAt + Math.floor(left),
    }
    const next = await submitOnce(deps, call, again, left)
    // The try before it was accepted and its end is known: that stays the answer.
    if (next.kind === 'not_accepted') return reply
    reply = next
  }
}

const isOwnerGone = (reply: WriteReply): boolean =>
  reply.kind === 'outcome' &&
  reply.how !== 'conflicted' &&
  reply.record.operation.state === 'not_executed' &&
  reply.record.operation.reopenable &&
  reply.record.operation.code === 'owner_gone'

async function submitOnce(
  deps: Front,
  { incoming }: SettledCall,
  submit: SubmitCommand,
  waitMs: number,
): Promise<WriteReply> {
  const { callId } = submit
  // Open before the append: the reply may be here before the acknowledgement.
  const mailbox = deps.waiters.open(callId)
  crashPoint('front.append.before')
  const appended = deps.journal.append([commandRecord(submit)])
  const ref = { agent: incoming.identity.agent, session: incoming.session?.id, requestId: incoming.requestId }
  const unregister = deps.cancels.register(ref, { submit, appended: appended.catch(() => {}) })
  try {
    await appended
    crashPoint('front.append.after')
    return await awaitReply(deps, { submit, mailbox, waitMs })
  } catch (error) {
    deps.log.warn({ err: error, callId }, 'a command was not acknowledged by the journal')
    if (!(error instanceof AppendRefused)) return { kind: 'doubtful', callId }
    return { kind: 'not_accepted', callId, code: 'journal_unavailable', retryAfterMs }
  } finally {
    unregister()
    mailbox.close()
  }
}
