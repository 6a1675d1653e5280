/**
 * Agents that do everything an agent can do, over and over, through whatever happens to Holdfast meanwhile: they follow
 * the words they are told, and write down what they were told and what was true then (ledger.ts).
 */
import type { Agent, Told } from './agent.ts'
import { effectsOf, type Entry, isClosed, type Ledger, startStory, type Story, told } from './ledger.ts'

export type Cast = {
  /** Agents by the server they speak to: `lab` (4 at a time), `quick` (time-out 1 s), `narrow` (one at a time, queue 8). */
  readonly lab: Agent
  readonly quick: Agent
  readonly narrow: Agent
  /** Of a server that honours keys: recovery sends again. Time-out 1 s. */
  readonly keys: Agent
  /** Of a server that can be looked at: recovery looks. Time-out 1 s. */
  readonly looks: Agent
  /** Of `lab`, and gone after a moment. */
  readonly hasty: Agent
  /** Starts a write of `narrow` and cancels it as an MCP client does. */
  readonly cancelled: (key: string, args: Record<string, unknown>) => Promise<void>
  readonly ledger: Ledger
  /** How long a question waits for an end: less than agents wait for an answer. */
  readonly waitMs: number
}

type Scene = (cast: Cast, key: string) => Promise<Story>

const pause = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))

/** Every kind of story, each for a reason. */
export const scenes = {
  plain: (cast, key) => live(cast, cast.lab, key, { delayMs: 20 }),
  /** In flight for long enough to be there when something happens. */
  long: (cast, key) => live(cast, cast.lab, key, { delayMs: 400 }),
  duplicates: async (cast, key) => {
    const args = { delayMs: 60 }
    const extra = Array.from({ length: 2 }, () => cast.lab.write(key, args))
    const story = await live(cast, cast.lab, key, args)
    await Promise.all(extra)
    return story
  },
  twin: async (cast, key) => {
    const twin = pause(20).then(() => cast.lab.write(`${key}/twin`, { what: key, delayMs: 80 }))
    const story = await live(cast, cast.lab, key, { delayMs: 80 })
    const { code } = await twin
    // A change that was already done may be done once more under another key: then it is not this story's.
    return code === 'possible_duplicate' ? story : { ...story, effects: () => 1, entries: [] }
  },
  conflict: async (cast, key) => {
    const other = pause(10).then(() => cast.lab.write(key, { what: `${key}/other`, delayMs: 80 }))
    const story = await live(cast, cast.lab, key, { delayMs: 80 }, [key, `${key}/other`])
    await other
    return story
  },
  'reply lost': (cast, key) => live(cast, cast.lab, key, { behave: 'reset_after' }),
  'never arrived': (cast, key) => live(cast, cast.lab, key, { behave: 'reset_before' }),
  'too late': (cast, key) => live(cast, cast.quick, key, { delayMs: 1_400 }),
  'too late and no answer': (cast, key) => live(cast, cast.quick, key, { delayMs: 1_300, behave: 'http_500_after' }),
  'answered twice': (cast, key) => live(cast, cast.lab, key, { behave: 'twice' }),
  'agent left': async (cast, key) => {
    const args = { delayMs: 400 }
    const story = startStory(cast.ledger, key)
    await told(story, 'write', cast.hasty.write(key, args))
    const lived = await live(cast, cast.lab, key, args)
    return { ...lived, entries: [...story.entries, ...lived.entries] }
  },
  'busy, then not': (cast, key) => live(cast, cast.lab, key, { behave: 'busy_once' }),
  queued: async (cast, key) => {
    const before = cast.narrow.write(`${key}/before`, { delayMs: 150 })
    const story = await live(cast, cast.narrow, key, { delayMs: 50 })
    await before
    return story
  },
  cancelled: async (cast, key) => {
    const before = cast.narrow.write(`${key}/before`, { delayMs: 1_500 })
    await cast.cancelled(key, {}).catch(() => {})
    const story = await live(cast, cast.narrow, key, {})
    await before
    return story
  },
  asked: async (cast, key) => {
    const story = startStory(cast.ledger, key)
    await told(
      story,
      'ask',
      asking(() => cast.lab.ask(key)),
    )
    const lived = await live(cast, cast.lab, key, { delayMs: 20 })
    return { ...lived, entries: [...story.entries, ...lived.entries] }
  },
  'sent again': (cast, key) => live(cast, cast.keys, key, { behave: ['reset_after', 'http_409'] }),
  'looked for': (cast, key) => live(cast, cast.looks, key, { behave: 'reset_after' }),
  'looked for in vain': (cast, key) => live(cast, cast.looks, key, { behave: 'reset_before' }),
  'settled by a person': async (cast, key) => {
    const args = { behave: 'reset_after' }
    const story = await live(cast, cast.lab, key, args)
    const { state, callId } = story.entries.at(-1) as Entry
    if (state !== 'unknown' || callId === undefined) return story
    await settle(cast.lab, callId, story.effects() > 0 ? 'succeeded' : 'not_executed')
    await confirm(cast, cast.lab, story)
    return story
  },
  read: async (cast, key) => {
    await cast.lab.read('echo', { what: key })
    return startStory(cast.ledger, key)
  },
} as const satisfies Record<string, Scene>

export type SceneName = keyof typeof scenes
const names = Object.keys(scenes) as SceneName[]

export type Workload = {
  /** From now on every second story is of this kind. */
  favour(name: SceneName | undefined): void
  /** Ends what was begun and returns all stories. */
  finish(): Promise<readonly Story[]>
}

/** @param lanes stories at a time */
export function startWorkload(cast: Cast, { prefix, lanes }: { prefix: string; lanes: number }): Workload {
  const stories: Story[] = []
  let next = 0
  let stopping = false
  let favoured: SceneName | undefined
  const lane = async () => {
    while (!stopping) {
      const n = next
      next += 1
      const name = (n % 2 === 0 ? favoured : undefined) ?? (names[(n >> 1) % names.length] as SceneName)
      stories.push(await scenes[name](cast, `${prefix}/${n}-${name.replaceAll(/\W+/g, '-')}`))
    }
  }
  const running = Promise.all(Array.from({ length: lanes }, lane))
  running.catch(() => {})
  return {
    favour: name => void (favoured = name),
    async finish() {
      stopping = true
      await running
      return stories
    },
  }
}

/** Longer than a process takes to be back on a busy machine: without an answer nothing can be told. */
const patienceMs = 180_000
const unknownsBelieved = 3

/**
 * One change from the first call to a settled answer, and once more in every way there is to ask.
 * @param whats what the server may have done under this key, by its argument `what`
 */
async function live(
  cast: Cast,
  agent: Agent,
  key: string,
  args: Record<string, unknown>,
  whats: readonly string[] = [key],
): Promise<Story> {
  const effects = () => whats.reduce((sum, what) => sum + effectsOf(cast.ledger, what), 0)
  const story: Story = { ...startStory(cast.ledger, key, args), effects }
  const until = performance.now() + patienceMs
  const say = (by: Entry['by'], question: () => Promise<Told>) => told(story, by, asking(question))
  let entry = await say('write', () => agent.write(key, args))
  let unknowns = 0
  while (entry.state !== 'succeeded' && performance.now() < until) {
    if (entry.state === 'unknown' && (unknowns += 1) >= unknownsBelieved) break
    if (isRefusal(entry)) return story
    if (isClosed(entry)) break
    const mayRepeat = ['not_executed', 'not_found', 'not_accepted'].includes(entry.state)
    if (mayRepeat) await pause(50)
    if (entry.state === 'no_answer') await pause(150)
    entry = mayRepeat
      ? await say('write', () => agent.write(key, args))
      : await say('ask', () => agent.ask(key, cast.waitMs))
  }
  // Where the key may be another change's, its repetition rightly conflicts.
  await confirm(cast, agent, story, { again: whats.length === 1 })
  return story
}

/** The same question in every way there is. */
async function confirm(cast: Cast, agent: Agent, story: Story, { again = true } = {}): Promise<void> {
  const { key, args } = story
  const say = (by: Entry['by'], question: () => Promise<Told>) => told(story, by, asking(question))
  await insist(() => say('ask', () => agent.ask(key, cast.waitMs)))
  await insist(() => say('outcome', () => agent.outcome(key)))
  if (again) await insist(() => say('again', () => agent.write(key, args)))
}

/** Says it until it is settled, by this word or by an earlier one whose answer was lost (409). */
async function settle(agent: Agent, callId: string, as: 'succeeded' | 'not_executed'): Promise<void> {
  const until = performance.now() + patienceMs
  for (;;) {
    const status = await agent.resolve(callId, as)
    if (status === 200 || status === 409) return
    if (status !== undefined && status < 500) throw new Error(`a person's word on ${callId} was refused with ${status}`)
    // Nobody heard it: then it is as it was.
    if (performance.now() > until) return
    await pause(150)
  }
}

/** The other one of a scene was first: its story is not this one. */
const isRefusal = ({ code }: Told) => code === 'idempotency_conflict' || code === 'possible_duplicate'

/** A front that is just starting, or just ending, has nothing to say of any call. */
async function asking(question: () => Promise<Told>): Promise<Told> {
  const answer = await question()
  return answer.state === 'error' && /^(503|502|200 null)/.test(answer.text)
    ? { ...answer, state: 'no_answer' }
    : answer
}

async function insist(question: () => Promise<Entry>): Promise<void> {
  const until = performance.now() + patienceMs
  for (;;) {
    const { state, code } = await question()
    const isAnswer = !['no_answer', 'not_accepted', 'unavailable', 'pending'].includes(state)
    if ((isAnswer && code !== 'journal_doubtful') || performance.now() > until) return
    await pause(150)
  }
}
