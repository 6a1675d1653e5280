/**
 * A read: recorded and dispatched side by side, answered when both its records are acknowledged. Upstream's answer goes
 * on as it came.
 */
import type { Code } from '../../../shared/call/codes.ts'
import { classify, type Seen } from '../../../shared/call/seen.ts'
import { crashPoint } from '../../../shared/process/crash-point.ts'
import { callMetaName } from '../answers/outcome-meta.ts'
import { editResult } from '../answers/raw.ts'
import { eraMeta, ownResult, resultTypeOf } from '../answers/write.ts'
import type { Front } from '../deps.ts'
import { serverInfo } from '../mcp/identity.ts'
import { words } from '../words.ts'
import { argumentProblem } from './arguments.ts'
import { canAnswer, forwardedMeta, inputsOf } from './incoming.ts'
import { personalOf } from './personal.ts'
import { finishedRecord, requestedRecord } from './records.ts'
import { recordContext, refuseCall, toldOf } from './refuse.ts'
import type { RawAnswer, SettledCall } from './settled.ts'

export async function callRead(deps: Front, call: SettledCall): Promise<RawAnswer> {
  const { incoming, known, args } = call
  const argumentsJson = JSON.stringify(args)
  const personal = await personalOf(deps, call, argumentsJson)
  const facts = { ...call.facts, arguments: argumentsJson, personal }
  const problem = argumentProblem(known.tool.inputSchema, args)
  if (problem !== undefined)
    return refuseCall(deps, incoming, facts, { code: 'invalid_arguments', detail: `${problem}.` })

  const context = recordContext(deps)
  const required = deps.settings.audit(known.server, known.name) === 'required'
  const startedAt = performance.now()
  const requested = settle(deps.journal.append([requestedRecord(context, facts, deps.clock.now())]))
  const seen = await dispatchRead(deps, call, argumentsJson, startedAt)
  crashPoint('front.read.dispatched')
  const verdict = classify(seen)
  const durationMs = performance.now() - startedAt
  const finished = settle(
    deps.journal.append([finishedRecord(context, { facts, seen, verdict, at: deps.clock.now(), durationMs })]),
  )

  const acknowledged = Promise.all([requested, finished]).then(outcomes => {
    const error = outcomes.find(outcome => outcome !== undefined)
    if (error !== undefined) throw error
  })
  if (!required) {
    deps.background('record of a read', acknowledged)
    return { ...answerRead(call, seen), told: toldOf(facts, verdict) }
  }
  try {
    await acknowledged
    crashPoint('front.read.recorded')
    return { ...answerRead(call, seen), told: toldOf(facts, verdict) }
  } catch (error) {
    deps.log.warn(
      { err: error, callId: call.callId },
      'a read was withheld because the journal did not acknowledge its records',
    )
    const told = toldOf(facts, { state: 'withheld', code: 'journal_unavailable' })
    return { ...ownAnswer(call, 'journal_unavailable'), told }
  }
}

/** The error of an append, as a value: the dispatch beside it must be able to end first. */
const settle = (append: Promise<unknown>): Promise<unknown> =>
  append.then(
    () => undefined,
    error => error ?? new Error('append failed'),
  )

function dispatchRead(
  deps: Front,
  { incoming, known, facts }: SettledCall,
  argumentsJson: string,
  startedAt: number,
): Promise<Seen> {
  const timeoutMs = deps.settings.readTimeoutMs(known.server, known.name)
  const meta = forwardedMeta(incoming)
  const inputs = inputsOf(incoming)
  return deps.upstreams.dispatch({
    server: known.server,
    tool: known.name,
    argumentsJson,
    ...(meta !== undefined && { meta }),
    ...(inputs !== undefined && { inputs }),
    caller: { agent: facts.caller.agent, conversation: facts.caller.conversation },
    deadline: startedAt + timeoutMs,
    timeoutMs,
    onProgress: ({ message }) => incoming.progress(message ?? 'working'),
  })
}

function answerRead(call: SettledCall, seen: Seen): RawAnswer {
  const { era } = call.incoming
  const meta = { ...eraMeta({ era, serverInfo }), [callMetaName]: { callId: call.callId } }
  switch (seen.kind) {
    case 'result':
      return { kind: 'result', raw: editResult(seen.raw, { meta, resultType: resultTypeOf({ era, serverInfo }) }) }
    case 'input_required':
      return canAnswer(call.incoming, seen.raw)
        ? { kind: 'result', raw: editResult(seen.raw, { meta }) }
        : {
            kind: 'result',
            raw: ownResult(
              'THE SERVER ASKS BEFORE IT ANSWERS, and this client cannot answer such questions. Tell the user.',
              meta,
              { era, serverInfo },
            ),
          }
    case 'error':
      return { kind: 'error', raw: seen.raw }
    case 'http':
      return ownAnswer(call, codeOfHttp(seen.status), `HTTP ${seen.status} ${seen.excerpt}`)
    case 'not_sent':
      return ownAnswer(call, 'server_unavailable')
    case 'lost':
      return ownAnswer(call, seen.why === 'timeout' ? 'timeout' : 'connection_lost')
  }
}

const codeOfHttp = (status: number): Code => (status >= 500 ? 'upstream_5xx' : 'upstream_rejected')

function ownAnswer({ callId, incoming }: SettledCall, code: Code, upstream?: string): RawAnswer {
  const meta = { [callMetaName]: { callId, code } }
  return { kind: 'result', raw: ownResult(words.readFailed(code, upstream), meta, { era: incoming.era, serverInfo }) }
}
