/**
 * An incident as a timeline: what each party knew, and when. Pure; the words for each event stand in one table.
 *
 * Of the agent the journal knows what it asked and which answer Holdfast had for it. Whether the connection still stood
 * is not in the journal, so an answer is "given", never "received". Of the server it knows when bytes may have been sent
 * and what came back.
 */
import type { OperationState } from '../../../shared/call/operation.ts'
import type { EventFact } from '../check/facts.ts'
import { isTransition } from '../check/streams.ts'
import { stateIn, type Step, type Story, textOf } from './story.ts'

export type Party = 'agent' | 'holdfast' | 'server'

export type Moment = {
  /** Milliseconds, database time. */
  readonly at: number
  readonly story: string
  readonly party: Party
  readonly says: string
  /** The event it is told from. */
  readonly event: string
  readonly callId: string
  /** State of the operation after it. */
  readonly state?: OperationState | undefined
}

type Said = readonly [party: Party, says: string]

/** In the order of time; what happens at one time, in the order in which it must have happened. */
export function momentsOf(stories: readonly Story[]): Moment[] {
  return stories.flatMap(story => story.steps.flatMap(step => momentsOfStep(story, step))).sort((a, b) => a.at - b.at)
}

function momentsOfStep(story: Story, { event, operation }: Step): Moment[] {
  const callId = textOf(event.fields['callId'])
  const common = { story: story.id, event: event.id, callId }
  const asked = asking(event, story)
  const state = operation?.state ?? (isTransition(event) ? stateIn(event) : undefined)
  return [
    ...(asked ? [{ ...common, at: asked.at, party: 'agent' as const, says: asked.says }] : []),
    ...saidOf(story, event).map(([party, says]) => ({
      ...common,
      at: event.at,
      party,
      says,
      ...(party === 'holdfast' && state !== undefined && { state }),
    })),
  ]
}

/** The first event of each call says when it was received. */
function asking({ type, fields, at }: EventFact, story: Story): { at: number; says: string } | undefined {
  const received = Date.parse(textOf(fields['receivedAt']))
  if (Number.isNaN(received) || !asks.has(type)) return undefined
  const key = textOf(fields['key'])
  const tool = [textOf(fields['server']), textOf(fields['tool'])].filter(part => part !== '').join(':')
  const callId = textOf(fields['callId'])
  const call = callId === '' || callId === story.id ? '' : `, call ${callId}`
  return {
    at: Math.min(received, at),
    says: `asks for ${tool || 'a tool'}${key === '' ? '' : ` with key ${key}`}${call}`,
  }
}

const asks = new Set(
  ['accepted', 'approval_requested', 'dispatched', 'not_executed', 'lost', 'requested', 'denied', 'not_accepted']
    .concat(['replayed', 'attached', 'conflicted'])
    .map(name => `call.${name}`),
)

const codeOf = ({ fields }: EventFact) => (textOf(fields['code']) === '' ? '' : ` (${textOf(fields['code'])})`)
const reasonOf = ({ fields }: EventFact) => (textOf(fields['reason']) === '' ? '' : `: ${textOf(fields['reason'])}`)
const bytesOf = ({ fields }: EventFact) =>
  typeof fields['resultBytes'] === 'number' ? `, ${fields['resultBytes']} bytes` : ''

/** What an agent is told of a state, in the words that begin its answer. */
export const toldOf = {
  accepted: 'STILL RUNNING',
  awaiting_approval: 'STILL RUNNING',
  executing: 'STILL RUNNING',
  awaiting_input: "the server's question",
  succeeded: "the server's answer (success)",
  failed: "the server's answer (error)",
  not_executed: 'NOTHING WAS SENT',
  unknown: 'MAY HAVE HAPPENED',
} as const satisfies Record<OperationState, string>

function saidOf(story: Story, event: EventFact): readonly Said[] {
  const tell = table[event.type]
  if (tell === undefined) return [['holdfast', `${event.type}${codeOf(event)}${reasonOf(event)}`]]
  return tell(event, story)
}

const table: Readonly<Record<string, (event: EventFact, story: Story) => readonly Said[]>> = {
  'call.requested': () => [
    ['holdfast', 'has the read on record and sends it'],
    ['server', 'may have the request from now on'],
  ],
  'call.denied': event => [
    ['holdfast', `refuses it${codeOf(event)}${reasonOf(event)}`],
    ['agent', 'is given: NOT ACCEPTED, nothing was sent'],
  ],
  'call.not_accepted': event => [
    ['holdfast', `does not accept it${codeOf(event)}${reasonOf(event)}`],
    ['agent', 'is given: NOT ACCEPTED; earlier calls with this key may have run'],
  ],
  'call.accepted': () => [['holdfast', 'holds the key; the call waits for a slot']],
  'call.approval_requested': () => [['holdfast', 'holds the key; the call waits for a person']],
  'call.dispatched': event => [
    ['holdfast', `has the intent to send on disk, attempt ${numberOf(event, 'attempt')}`],
    ['server', 'may have the request from now on'],
  ],
  'call.input_required': event => [
    ['server', `asks a question${bytesOf(event)}`],
    ['holdfast', 'records the question'],
    ['agent', `is given: ${toldOf.awaiting_input}`],
  ],
  'call.succeeded': ended,
  'call.failed': ended,
  'call.not_executed': ended,
  'call.lost': (event, story) => [
    ['holdfast', `has no definite answer${codeOf(event)}${reasonOf(event)}`],
    story.kind === 'write' && isBeingRecovered(event)
      ? ['agent', 'waits while Holdfast finds out']
      : ['agent', story.kind === 'read' ? 'is given: no answer came' : `is given: ${toldOf.unknown}`],
  ],
  'call.replayed': event => [['agent', `is given again what is on record: ${toldIn(event)}`]],
  'call.attached': event => [['agent', `waits for call ${textOf(event.fields['of'])}, which runs`]],
  'call.conflicted': event => [
    ['holdfast', `refuses it${codeOf(event)}: ${whyConflicted(event)} call ${textOf(event.fields['of'])}`],
    ['agent', 'is given: NOTHING WAS SENT for this request'],
  ],
  'call.probed': event => [['holdfast', `looks at the server: ${textOf(event.fields['look'])}${reasonOf(event)}`]],
  'call.attempt_ended': event => [['server', `ends attempt ${numberOf(event, 'attempt')}; another one is open`]],
  'call.rescheduled': event => [['holdfast', `cannot take the planned step of recovery${reasonOf(event)}`]],
  'call.resolved': event => [
    [
      'holdfast',
      `a person (${textOf(event.fields['agent'])}) settles it as ${textOf(event.fields['state'])}${reasonOf(event)}`,
    ],
  ],
  'call.answered_late': event => [['server', `answers after all: ${textOf(event.fields['reason'])}${bytesOf(event)}`]],
  'call.outcome_queried': event => [
    ['agent', `asks what became of key ${textOf(event.fields['key'])}`],
    ['agent', `is given: ${textOf(event.fields['code']).replaceAll('_', ' ').toUpperCase()}`],
  ],
  'history.queried': event => [['holdfast', `lets ${whoOf(event)} read the history: ${shortOf(event, 'statement')}`]],
  'history.refused': event => [['holdfast', `refuses ${whoOf(event)} a read of the history${reasonOf(event)}`]],
  'configuration.changed': event => [['holdfast', `runs under another configuration: ${changesOf(event)}`]],
  'policy.changed': event => [['holdfast', `runs under another policy: ${changesOf(event)}`]],
  'key.created': event => [['holdfast', `has a new API key of ${whoOf(event)}`]],
  'key.revoked': event => [['holdfast', `revokes an API key of ${whoOf(event)}`]],
  'service.started': event => [['holdfast', `${nameOfService(event)} starts`]],
  'service.stopped': event => [['holdfast', `${nameOfService(event)} stops`]],
}

const whoOf = ({ fields }: EventFact) => textOf(fields['agent']) || 'somebody'
const shortOf = ({ fields }: EventFact, name: string) => textOf(fields[name]).replaceAll(/\s+/g, ' ').slice(0, 120)
const changesOf = ({ fields }: EventFact) =>
  Array.isArray(fields['changes']) ? fields['changes'].join(', ') : 'which settings is not said'

const whyConflicted = ({ fields }: EventFact) =>
  fields['code'] === 'possible_duplicate'
    ? 'the same change is not settled under another key, of'
    : 'the key is that of'

const nameOfService = ({ source, stream }: EventFact) =>
  `${source.replace('holdfast/', '')} (${stream.replace('service/', '')})`
const numberOf = ({ fields }: EventFact, name: string) => Number(fields[name] ?? 1)
const toldIn = (event: EventFact) => toldOf[stateIn(event) ?? 'unknown']

const isBeingRecovered = ({ fields }: EventFact) => {
  const { recovery } = fields
  return typeof recovery === 'object' && recovery !== null && 'next' in recovery
}

/** Who says so first, by evidence; then Holdfast; then the agent, who is waiting only for what came in time. */
function ended(event: EventFact, story: Story): readonly Said[] {
  const name = event.type.slice('call.'.length)
  const evidence = textOf(event.fields['evidence'])
  const source = sources[evidence === '' ? 'upstream' : evidence]
  const said = name === 'not_executed' && evidence !== 'probe' && evidence !== 'person' ? undefined : source
  const isLate = evidence === 'late_answer' || evidence === 'probe' || evidence === 'person'
  return [
    ...(said ? [[said[0], `${said[1]}${bytesOf(event)}`] as const] : []),
    ['holdfast', `records ${name}${codeOf(event)}${evidence === '' ? '' : ` by ${evidence.replaceAll('_', ' ')}`}`],
    isLate && story.kind === 'write'
      ? ['agent', `is given, if it waits or asks: ${toldIn(event)}`]
      : ['agent', `is given: ${toldIn(event)}`],
  ]
}

const sources: Readonly<Record<string, Said | undefined>> = {
  upstream: ['server', 'answers'],
  late_answer: ['server', 'answers late'],
  upstream_replay: ['server', 'answers the repeated request'],
  probe: ['server', 'shows what became of it'],
}
