/** An incident out of the journal: read, rebuilt, told. The result is plain data; `render` makes text and HTML of it. */
import { answersOf, type AnswerGiven } from './answers.ts'
import { type Gap, gapsOf } from './gaps.ts'
import { type Deps, type Filters, type Material, type Question, readMaterial } from './material.ts'
import { type Standing, standingAt, storiesOf, type Story } from './story.ts'
import { type Moment, momentsOf } from './timeline.ts'

export type Told = Omit<Story, 'steps'> & {
  /** When it began and when it last moved, milliseconds. */
  readonly begins: number
  readonly ends: number
  readonly events: number
  /** State when the range begins, and at its end; undefined for what has none. */
  readonly before: Standing | undefined
  readonly after: Standing | undefined
  /** State after everything that was read, when it moved on after the range. */
  readonly later: Standing | undefined
}

export type Incident = {
  readonly from: number
  readonly to: number
  /** When the journal was read. */
  readonly readAt: number
  readonly filters: Filters
  readonly stories: readonly Told[]
  readonly moments: readonly Moment[]
  readonly answers: readonly AnswerGiven[]
  readonly gaps: readonly Gap[]
  readonly journal: Omit<Material, 'stories'>
  /** What each party knew at the moment that was asked for. */
  readonly known: { readonly at: number; readonly stories: readonly Knowledge[] } | undefined
}

/** What each party knew at a moment. */
export type Knowledge = {
  readonly story: string
  readonly standing: Standing | undefined
  /** The newest that each party had done or been told. */
  readonly agent: Moment | undefined
  readonly holdfast: Moment | undefined
  readonly server: Moment | undefined
}

/**
 * @param at a moment to tell the states and everybody's knowledge of, milliseconds
 * @throws ConfigError when too much matches, UnavailableError when the journal does not answer
 */
export async function replay(
  deps: Deps & { readonly now: () => number },
  { at, ...question }: Question & { readonly at?: number },
): Promise<Incident> {
  const readAt = deps.now()
  const { stories: events, ...journal } = await readMaterial(deps, question)
  const { range, filters } = question
  const stories = storiesOf(events)
  const moments = momentsOf(stories)
  return {
    ...range,
    readAt,
    filters,
    stories: stories.map(story => tell(story, range)),
    moments,
    answers: stories.flatMap(answersOf),
    gaps: stories.flatMap(gapsOf),
    journal,
    known: at === undefined ? undefined : { at, stories: knowledgeAt(stories, moments, at) },
  }
}

function tell(story: Story, { from, to }: Question['range']): Told {
  const { steps, ...who } = story
  const after = standingAt(story, to - 1)
  const last = standingAt(story, Number.POSITIVE_INFINITY)
  const times = steps.map(({ event }) => event.at)
  return {
    ...who,
    begins: Math.min(...times),
    ends: Math.max(...times),
    events: steps.length,
    before: standingAt(story, from - 1),
    after,
    later: last?.since === after?.since ? undefined : last,
  }
}

/** What happened at the moment itself counts as known. */
function knowledgeAt(stories: readonly Story[], moments: readonly Moment[], at: number): Knowledge[] {
  const newest = new Map<string, Partial<Record<Moment['party'], Moment>>>()
  for (const moment of moments) {
    if (moment.at > at) break
    newest.set(moment.story, { ...newest.get(moment.story), [moment.party]: moment })
  }
  return stories.flatMap(story => {
    const known = newest.get(story.id)
    if (known === undefined || story.kind === 'service') return []
    const { agent, holdfast, server } = known
    return [{ story: story.id, standing: standingAt(story, at), agent, holdfast, server }]
  })
}
