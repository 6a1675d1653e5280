/** Where it was not known what had happened: from the intent to send until something settled it. Pure. */
import type { EventFact } from '../check/facts.ts'
import { isTransition } from '../check/streams.ts'
import { type Story, stateIn, textOf } from './story.ts'

export type Gap = {
  readonly story: string
  readonly attempt: number
  /** From when on bytes may have been sent; undefined where the intent is not in what was read. Milliseconds. */
  readonly sentAt: number | undefined
  /** Since when the outcome is on record as unknown; undefined while only the answer is missing. */
  readonly unknownSince: number | undefined
  readonly code: string
  /** What ended it; undefined while it is open. */
  readonly settled:
    | {
        readonly at: number
        readonly as: string
        readonly evidence: string
        readonly by: string
        readonly reason: string
      }
    | undefined
}

export function gapsOf(story: Story): Gap[] {
  if (story.kind === 'read') return gapOfRead(story)
  const steps = story.steps.filter(({ event }) => isTransition(event)).map(({ event }) => event)
  const gaps: Gap[] = []
  let sent: EventFact | undefined
  let lost: EventFact | undefined
  for (const event of steps) {
    if (event.type === 'call.dispatched') sent ??= event
    else if (event.type === 'call.lost') lost ??= event
    else if (ends.has(event.type)) {
      if (lost) gaps.push({ ...gapOf(story.id, sent, lost), settled: settledBy(story, event) })
      sent = undefined
      lost = undefined
    }
  }
  return sent || lost ? [...gaps, gapOf(story.id, sent, lost)] : gaps
}

const ends = new Set(['call.succeeded', 'call.failed', 'call.not_executed', 'call.input_required'])

function gapOf(story: string, sent: EventFact | undefined, lost: EventFact | undefined): Gap {
  return {
    story,
    attempt: Number((sent ?? lost)?.fields['attempt'] ?? 0),
    sentAt: sent?.at,
    unknownSince: lost?.at,
    code: textOf(lost?.fields['code']),
    settled: undefined,
  }
}

/** A person's word stands in an event of its own beside the transition. */
function settledBy({ steps }: Story, event: EventFact): NonNullable<Gap['settled']> {
  const evidence = textOf(event.fields['evidence'])
  const word = steps.find(({ event: other }) => other.type === 'call.resolved')?.event
  const isPerson = evidence === 'person' && word !== undefined
  return {
    at: event.at,
    as: stateIn(event) ?? event.type.slice('call.'.length),
    evidence,
    by: isPerson ? textOf(word.fields['agent']) : '',
    reason: textOf((isPerson ? word : event).fields['reason']),
  }
}

/** A read that was sent and of which no end is on record. */
function gapOfRead({ id, steps }: Story): Gap[] {
  const [first] = steps
  if (
    first?.event.type !== 'call.requested' ||
    steps.some(({ event }) => event.type !== 'call.requested' && event.type !== 'call.lost')
  )
    return []
  const lost = steps.find(({ event }) => event.type === 'call.lost')?.event
  return [gapOf(id, first.event, lost)]
}
