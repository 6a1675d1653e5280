/** Agents that go on writing while a store is broken: what they are told, key by key. */
import { type Story, startStory, told } from '../ledger.ts'
import type { Stage } from './stage.ts'

export type Load = {
  /** Stops asking for new keys; resolves with every story once the last request was answered. */
  stop(): Promise<Story[]>
  readonly stories: readonly Story[]
}

const writers = 6
const fill = 'x'.repeat(2_000)

/** Each write is a key of its own; the load itself repeats nothing, so that the end of each story can. */
export function startLoad({ lab, agent }: Pick<Stage, 'lab' | 'agent'>, prefix: string): Load {
  const stories: Story[] = []
  let stopping = false
  const work = async () => {
    while (!stopping) {
      const story = startStory(lab, `${prefix}/${stories.length}`, { fill })
      stories.push(story)
      const { state } = await told(story, 'write', agent.write(story.key, story.args))
      // What is refused at once would otherwise be asked for a thousand times a second.
      await new Promise(resolve => setTimeout(resolve, state === 'succeeded' ? 20 : 200))
    }
  }
  const working = Promise.all(Array.from({ length: writers }, work))
  return {
    stories,
    stop: async () => {
      stopping = true
      await working
      return stories
    },
  }
}
