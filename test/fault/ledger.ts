/**
 * What an agent was told, held against what the server did. One story for each key; `violations` says which promises of
 * design section 3 it breaks.
 */
import type { Agent, Told } from './agent.ts'

export type Entry = Told & {
  readonly by: 'write' | 'ask' | 'outcome' | 'again'
  /** Effects of this key when the request was made, and when it was answered. */
  readonly before: number
  readonly after: number
}

export type Story = {
  readonly key: string
  /** Of the write beside the key: the same at every repetition. */
  readonly args: Readonly<Record<string, unknown>>
  readonly entries: Entry[]
  readonly effects: () => number
}

/** What the server did, in its own words. */
export type Ledger = {
  effects(): ReadonlyArray<{ readonly arguments: Readonly<Record<string, unknown>> }>
}

export const effectsOf = (lab: Ledger, key: string): number =>
  lab.effects().filter(effect => effect.arguments['what'] === key).length

export function startStory(lab: Ledger, key: string, args: Story['args'] = {}): Story {
  return { key, args, entries: [], effects: () => effectsOf(lab, key) }
}

/** Asks, and writes down what was told and what was true at both ends of the question. */
export async function told(story: Story, by: Entry['by'], question: Promise<Told>): Promise<Entry> {
  const before = story.effects()
  const answer = await question
  const entry = { by, before, after: story.effects(), ...answer }
  story.entries.push(entry)
  return entry
}

const settledStates = ['succeeded', 'failed', 'not_executed', 'unknown', 'not_found']
/** Said of a request whose own way into the journal is in doubt; it says nothing of the operation. */
const isDoubt = ({ code }: Told) => code === 'journal_doubtful'

/** Asks from another session until the outcome is known, or known to be unknown. */
export async function settle(story: Story, agent: Agent, withinMs = 60_000): Promise<Entry> {
  const until = performance.now() + withinMs
  for (let waitMs = 0; ; waitMs = 5_000) {
    const entry = await told(story, 'ask', agent.ask(story.key, waitMs))
    if (settledStates.includes(entry.state) || performance.now() > until) return entry
    await new Promise(resolve => setTimeout(resolve, 50))
  }
}

/**
 * The end of every story: settled, asked in the other way, and the same key again, which gives the recorded outcome or,
 * where nothing was done, does it.
 */
export async function conclude(story: Story, agent: Agent): Promise<void> {
  const settled = await settle(story, agent)
  // A cut may have been meant for a later request on the same connection: whoever gets no answer asks again.
  const outcome = await answered(() => told(story, 'outcome', agent.outcome(story.key)))
  const again = await answered(() => told(story, 'again', agent.write(story.key, story.args)))
  const isFree = settled.state === 'not_found' || (settled.state === 'not_executed' && outcome.state !== 'unknown')
  if (isFree && again.state === 'pending') await settle(story, agent)
}

async function answered(ask: () => Promise<Entry>): Promise<Entry> {
  let entry = await ask()
  for (let tries = 0; tries < 20 && (isDoubt(entry) || !isAnswer(entry.state)); tries += 1) entry = await ask()
  return entry
}

/** Without the words, which the state says too; an error has no other. */
const briefly = (entry: Entry) => ({ ...entry, text: entry.state === 'error' ? entry.text : undefined })

export function violations({ key, entries, effects }: Story): string[] {
  const broken: string[] = []
  const breaks = (promise: string) =>
    broken.push(`${key}: ${promise}: ${JSON.stringify({ effects: effects(), entries: entries.map(briefly) })}`)
  let final: Entry | undefined
  if (effects() > 1) breaks('I1, done more than once')
  for (const entry of entries.filter(each => !isDoubt(each))) {
    const { state, by, before, after } = entry
    if (state === 'succeeded' && after === 0) breaks('I3, told succeeded before it was done')
    if (state === 'not_executed' && before > 0) breaks('I3, told not executed after it was done')
    if (isClosed(entry) && effects() > 0) breaks('I3, closed as not executed, and it was done')
    if (state === 'not_found' && before > 0) breaks('I9, told not found after it was done')
    if (state === 'failed') breaks('I3, told failed by a server that never fails')
    if (state === 'error') breaks('an answer that is no answer')
    if (final !== undefined && isAnswer(state) && state !== final.state) breaks('I4, a final answer changed')
    if (by === 'again' && final !== undefined && state === 'succeeded' && entry.replayed !== true)
      breaks('a repeated key was not replayed')
    if (state === 'succeeded') final ??= entry
  }
  const settled = entries.findLast(({ by }) => by === 'ask')
  const outcome = entries.findLast(({ by }) => by === 'outcome')
  const again = entries.findLast(({ by }) => by === 'again')
  if (settled !== undefined && !settledStates.includes(settled.state)) breaks('I7, it does not come to an end')
  if (settled?.state === 'succeeded' && outcome?.state !== 'succeeded') breaks('two ways of asking disagree')
  const writes = entries.filter(({ by }) => by === 'write')
  if (writes.length > 0 && writes.every(isRefusal) && settled !== undefined && settled.state !== 'not_found')
    breaks('told not accepted, and it was')
  if (again !== undefined && settled !== undefined && !follows(settled.state, again))
    breaks(`after ${settled.state} the same key gave ${again.state}`)
  return broken
}

/** Not executed, for good: by a look at the server, or by a person. */
export const isClosed = ({ state, text }: Told) => state === 'not_executed' && /this key is closed/i.test(text)

const isRefusal = ({ state }: Told) => state === 'not_accepted'

/** Says something of the operation. */
const isAnswer = (state: string) =>
  ['succeeded', 'failed', 'not_executed', 'unknown', 'not_found', 'pending', 'conflict'].includes(state)

/** What the same key may be answered with, by what was told before. A late answer, a look or a person settles an unknown. */
function follows(before: string, after: Entry): boolean {
  if (before === 'succeeded') return after.state === 'succeeded'
  if (before === 'unknown') return after.state === 'unknown' || after.state === 'succeeded' || isClosed(after)
  return ['succeeded', 'pending', 'unknown', 'not_executed'].includes(after.state)
}
