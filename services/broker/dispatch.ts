/**
 * One attempt: sent at most once, after its intent is committed (I1, I6), and followed to its end. The request is never
 * cancelled and never repeated; what was seen decides (design section 3).
 */
import { type AttemptId, isAnswerable } from '../../shared/call/decide.ts'
import type { UpstreamAnswer } from '../../shared/call/record.ts'
import { classify, type Seen } from '../../shared/call/seen.ts'
import { crashPoint } from '../../shared/process/crash-point.ts'
import type { Broker, ToolRules } from './deps.ts'
import { lateRecord } from './events.ts'
import { type Held, letGo, recordOfHeld } from './held.ts'
import { keep } from './kept.ts'
import { move } from './move.ts'
import { numbered } from './numbered.ts'
import { tellFromRecord } from './outcomes.ts'
import { patiently } from './patience.ts'
import { rememberEvents } from './sql/events.ts'

/** Which attempt, since when, and whether it is one of recovery. */
type About = { readonly id: AttemptId; readonly startedAt: number; readonly isReplay: boolean }

/** Follows one attempt from its first byte to its record. Never rejects. */
export async function dispatch(broker: Broker, held: Held): Promise<void> {
  const { server, tool } = held.command
  const rules = broker.settings.tool(server, tool)
  // Taken now: what is held may be a later version when the attempt ends.
  const { epoch, round, attempts } = held.operation
  const isReplay = held.operation.state === 'executing' && held.operation.recovery !== undefined
  const about: About = { id: { epoch, round, attempt: attempts }, startedAt: broker.clock.now(), isReplay }
  const attempt = send(broker, held, rules)
  try {
    const inTime = await withinTimeout(attempt, rules.timeoutMs)
    if (inTime !== undefined) return await conclude(broker, held, rules, { ...about, seen: inTime })
    await timeOut(broker, held, about.id)
    if (broker.lanes.tryMoveToLate(server)) return followLate(broker, held, rules, { ...about, attempt })
    await awaitLate(broker, held, rules, { ...about, attempt })
  } catch (error) {
    // Only a stop that outlasted its database gets here: the sweep will say `unknown`.
    broker.log.error({ err: error, operation: held.operation.operationId }, 'an attempt could not be recorded')
  }
  finish(broker, held)
}

/** Never rejects: whatever went wrong on the way, bytes may have been sent. */
async function send(broker: Broker, held: Held, rules: ToolRules): Promise<Seen> {
  const { command, operation } = held
  const owner = operation.state === 'executing' ? operation.owner : ''
  const untilDispatchBy = broker.monotonic() + (command.dispatchBy - broker.clock.now())
  const request = {
    server: broker.settings.serverOf(command.server),
    tool: command.tool,
    ...requestOf(broker, held),
    ...(command.inputs && { inputs: inputsOf(command.inputs) }),
    caller: {
      agent: command.caller.agent,
      ...(command.caller.conversation && { conversation: command.caller.conversation }),
    },
    deadline: Math.min(broker.owner.deadline(owner), untilDispatchBy),
    // Only after its late window is a request given up: until then the connection stays open for an answer.
    timeoutMs: rules.timeoutMs + rules.lateWindowMs,
  }
  try {
    crashPoint('broker.dispatch.before')
    return await broker.upstreams.dispatch(request)
  } catch (error) {
    broker.log.error({ err: error, operation: operation.operationId }, 'an attempt ended with an error of our own')
    return { kind: 'lost', why: 'sdk', message: String(error) }
  }
}

/** Every attempt of a round is the same request: a replay sends what was kept of the first one. */
function requestOf(broker: Broker, { command, operation, request }: Held) {
  const { argumentsJson, meta, headers } = request ??
    keep(broker, command, operation)?.request ?? { argumentsJson: command.arguments, meta: command.meta }
  return { argumentsJson, ...(meta && { meta }), ...(headers && { headers }) }
}

const inputsOf = ({
  requestState,
  inputResponses,
}: {
  requestState?: string | undefined
  inputResponses?: unknown
}) => ({
  ...(requestState !== undefined && { requestState }),
  ...(inputResponses !== undefined && { inputResponses }),
})

/** What the attempt came to, or undefined once the time is over. The attempt itself goes on. */
function withinTimeout(attempt: Promise<Seen>, timeoutMs: number): Promise<Seen | undefined> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, timeoutMs, undefined)
    attempt.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}

async function timeOut(broker: Broker, held: Held, id: AttemptId): Promise<void> {
  const { operation } = await move(broker, held, () => ({ type: 'time_out', at: broker.clock.now(), ...id }))
  crashPoint('broker.timeout.committed')
  if (isAnswerable(operation)) broker.waiting.settle(recordOfHeld(held, undefined))
}

/** The late window: the lane is free for others, the request stays open. */
function followLate(broker: Broker, held: Held, rules: ToolRules, late: About & { attempt: Promise<Seen> }): void {
  broker.slotFreed(held.command.server)
  awaitLate(broker, held, rules, late)
    .catch(error =>
      broker.log.error({ err: error, operation: held.operation.operationId }, 'a late answer could not be recorded'),
    )
    .finally(() => {
      broker.lanes.releaseLate(held.command.server)
      letGo(broker.held, held)
    })
}

async function awaitLate(
  broker: Broker,
  held: Held,
  rules: ToolRules,
  { attempt, ...about }: About & { attempt: Promise<Seen> },
): Promise<void> {
  await record(broker, held, rules, { ...about, seen: await attempt })
}

/** The answer in time: record it, tell who waits, and let the next call have the slot. */
async function conclude(broker: Broker, held: Held, rules: ToolRules, ended: About & { seen: Seen }): Promise<void> {
  await record(broker, held, rules, ended)
  finish(broker, held)
}

async function record(
  broker: Broker,
  held: Held,
  rules: ToolRules,
  { seen, startedAt, id, isReplay }: About & { seen: Seen },
): Promise<void> {
  crashPoint('broker.dispatch.answered')
  if (isReplay) crashPoint('broker.replay.answered')
  const verdict = classify(seen, rules.ambiguous ? { ambiguous: rules.ambiguous } : {})
  const answer = answerOf(seen)
  const { operation, moved } = await move(
    broker,
    held,
    (current, fenced) => ({
      type: fenced || current.state !== 'executing' || current.attempts !== id.attempt ? 'answer_late' : 'complete',
      at: broker.clock.now(),
      ...id,
      verdict,
    }),
    { answer, startedAt, reason: reasonOf(seen), attempt: id.attempt },
  )
  crashPoint('broker.complete.committed')
  if (isReplay) crashPoint('broker.replay.recorded')
  if (!moved) {
    if (seen.kind !== 'lost' && seen.kind !== 'not_sent') await keepEvidence(broker, held, { seen, answer, id })
    await tellFromRecord(broker, operation.operationId)
  } else if (isAnswerable(operation)) {
    broker.waiting.settle(recordOfHeld(held, answer))
  }
}

/** Fenced, and nothing left to settle: the answer is evidence and is kept. */
async function keepEvidence(
  broker: Broker,
  held: Held,
  { seen, answer, id }: { seen: Seen; answer: UpstreamAnswer | undefined; id: AttemptId },
): Promise<void> {
  const { command, operation } = held
  const event = lateRecord(broker.events, {
    command,
    operation,
    id,
    saw: seen.kind,
    answer,
    at: broker.clock.now(),
  })
  await patiently({ log: broker.log, signal: broker.stopping, doing: 'recording a late answer' }, () =>
    numbered(broker.numbering, { event }, () => rememberEvents(broker.db, [event])),
  )
  crashPoint('broker.evidence.committed')
}

function finish(broker: Broker, held: Held): void {
  const { server } = held.command
  letGo(broker.held, held)
  broker.lanes.release(server)
  broker.slotFreed(server)
}

/** What upstream itself said, as it is recorded. */
function answerOf(seen: Seen): UpstreamAnswer | undefined {
  switch (seen.kind) {
    case 'result':
    case 'input_required':
    case 'error':
      return { kind: seen.kind, raw: seen.raw }
    case 'http':
      return { kind: 'http', raw: JSON.stringify({ status: seen.status, body: seen.excerpt }) }
    case 'not_sent':
    case 'lost':
      return undefined
  }
}

/** What this process saw where upstream said nothing: for the history, never as somebody's answer. */
const reasonOf = (seen: Seen): string | undefined =>
  seen.kind === 'not_sent' || seen.kind === 'lost' ? `${seen.why}: ${seen.message}` : undefined
