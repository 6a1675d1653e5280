/** Which answer each call was given, and when. Pure. */
import type { EventFact } from '../check/facts.ts'
import { isTransition } from '../check/streams.ts'
import { type Step, type Story, stateIn, textOf } from './story.ts'
import { toldOf } from './timeline.ts'

export type AnswerGiven = {
  readonly callId: string
  readonly story: string
  readonly agent: string
  /** When the call was received, milliseconds; undefined where that is not in what was read. */
  readonly askedAt: number | undefined
  /** What it was told last of those answers that are on record. */
  readonly told: string
  /** When; undefined while it waits. */
  readonly at: number | undefined
  /** The call had waited longer than a front lets anybody wait, so it was told before that it still runs. */
  readonly wasToldPending: boolean
}

/** The longest `wait` that the configuration allows. */
const longestWaitMs = 50_000

export function answersOf({ id, kind, steps }: Story): AnswerGiven[] {
  const received = new Map<string, EventFact>()
  for (const { event } of steps) {
    const callId = textOf(event.fields['callId'])
    if (callId !== '' && !received.has(callId) && isHow(event)) received.set(callId, event)
  }
  return [...received].flatMap(([callId, event]) => {
    const answer = answerTo(steps, event, callId)
    if (answer === undefined) return []
    const receivedAt = Date.parse(textOf(event.fields['receivedAt']))
    const askedAt = Number.isNaN(receivedAt) ? undefined : receivedAt
    const waitedMs = (answer.at ?? steps.at(-1)?.event.at ?? 0) - (askedAt ?? event.at)
    const agent = textOf(event.fields['agent'])
    const wasToldPending = kind === 'write' && waitedMs > longestWaitMs && !immediate.has(event.type)
    return [{ callId, story: id, agent, askedAt, ...answer, wasToldPending }]
  })
}

const immediate = new Set(['call.replayed', 'call.conflicted', 'call.denied', 'call.not_accepted'])
const others = new Set(['call.answered_late', 'call.probed', 'call.resolved', 'call.outcome_queried'])

/** The event that says how the call stands to its operation. */
const isHow = (event: EventFact) => event.type.startsWith('call.') && !others.has(event.type)

function answerTo(
  steps: readonly Step[],
  event: EventFact,
  callId: string,
): { told: string; at: number | undefined } | undefined {
  if (event.type === 'call.denied' || event.type === 'call.not_accepted') return { told: 'NOT ACCEPTED', at: event.at }
  if (event.type === 'call.conflicted')
    return { told: `NOTHING WAS SENT (${textOf(event.fields['code'])})`, at: event.at }
  if (event.type === 'call.replayed') return { told: toldOf[stateIn(event) ?? 'unknown'], at: event.at }
  const later = steps.filter(step => step.event.at >= event.at && answers.has(step.event.type))
  const own =
    event.type === 'call.attached' ? later : later.filter(step => textOf(step.event.fields['callId']) === callId)
  const [first] = own.filter(step => isTransition(step.event) || textOf(step.event.fields['effect']) === 'read')
  if (first === undefined) return { told: 'nothing yet: it waits, or was told STILL RUNNING', at: undefined }
  const state = first.operation?.state ?? stateIn(first.event) ?? 'unknown'
  return { told: toldOf[state], at: first.event.at }
}

const answers = new Set(['succeeded', 'failed', 'not_executed', 'lost', 'input_required'].map(name => `call.${name}`))
