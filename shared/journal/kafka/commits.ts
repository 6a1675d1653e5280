/** Commits of many partitions go together, one request at a time, under the generation that they belong to. */
import { createBatcher } from '../../batch/batcher.ts'
import { answerOf } from './errors.ts'
import type { Group } from './group.ts'
import { groupBy } from './group-by.ts'
import type { Link } from './link.ts'
import { pause } from './pause.ts'
import { identityOf, placeOf, type Session } from './session.ts'

export type Commit = {
  readonly session: Session
  readonly topic: string
  readonly partition: number
  readonly next: number
}

type Deps = {
  readonly link: Link
  readonly group: Group
  readonly wireName: (topic: string) => string
  readonly stopping: AbortSignal
  /** The group does not know this session (any more). */
  readonly refused: (session: Session, error: unknown) => void
  readonly onError: (error: unknown) => void
}

const retryMs = 100
const endsSession = new Set(['UNKNOWN_MEMBER_ID', 'ILLEGAL_GENERATION', 'REBALANCE_IN_PROGRESS'])

/** @returns a function that resolves once its commit is durable: true, or false when its generation is over */
export function createCommits(deps: Deps): (commit: Commit) => Promise<boolean> {
  const batcher = createBatcher<Commit, boolean>(commits => commitHighest(deps, commits), {
    maxItems: 512,
    maxInFlight: 1,
  })

  /** A commit may be repeated, and only the generation's end makes it void. */
  return async commit => {
    const { session } = commit
    while (session.mayCommit) {
      try {
        return await batcher.add(commit)
      } catch (error) {
        const answer = answerOf(error)
        // False while the session went on would let a handler drop what is not delivered again.
        if (endsSession.has(answer ?? '')) deps.refused(session, error)
        else {
          deps.onError(error)
          // Whoever stops does not wait for a Kafka that is away: what is not committed comes again.
          if (deps.stopping.aborted) return false
          await pause(retryMs, deps.stopping)
        }
      }
    }
    return false
  }
}

/** All of one session: those of another, older one are refused without asking. */
async function commitHighest({ link, group, wireName }: Deps, commits: readonly Commit[]): Promise<boolean[]> {
  const session = commits.find(commit => commit.session.mayCommit)?.session
  if (!session) return commits.map(() => false)
  const highest = new Map<string, Commit>()
  for (const commit of commits) {
    const other = highest.get(placeOf(commit))
    if (commit.session === session && commit.next > (other?.next ?? 0)) highest.set(placeOf(commit), commit)
  }
  const topics = groupBy(highest.values(), commit => wireName(commit.topic))
  await link.use(async cluster => {
    const coordinator = await group.coordinator(cluster)
    await coordinator.offsetCommit({
      ...identityOf(group.id, session),
      topics: [...topics].map(([topic, list]) => ({
        topic,
        partitions: list.map(({ partition, next }) => ({ partition, offset: String(next) })),
      })),
    })
  })
  return commits.map(commit => commit.session === session)
}
