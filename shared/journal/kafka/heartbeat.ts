/**
 * Heartbeats of one session. Kafka counts a member by them and by nothing else; an answer says whether the group still
 * is as it was. One that stays unanswered for nearly the session's time means that others may hold the partitions by now.
 */
import { answerOf } from './errors.ts'
import type { Group } from './group.ts'
import type { Link } from './link.ts'
import { pause } from './pause.ts'
import { identityOf, type Session } from './session.ts'

type Deps = {
  readonly link: Link
  readonly group: Group
  readonly sessionMs: number
  /** The group does not know this session (any more), or may not. */
  readonly lost: (session: Session, why: unknown) => void
  readonly onError: (error: unknown) => void
  readonly onAnswer: () => void
}

/** A quick rebalance and a quick hand-over at a stop cost a few small requests a second. */
const intervalMs = 300
const retryMs = 100

/** The session's time runs from the moment a request was sent: the coordinator got it later, never earlier. */
export const deadlineOf = (sentAt: number, sessionMs: number): number => sentAt + sessionMs * 0.9

/** Beats until `signal` is aborted or the session is lost; also while handlers come to an end for a rebalance. */
export async function keepAlive(deps: Deps, session: Session, signal: AbortSignal): Promise<void> {
  const { sessionMs, lost } = deps
  const watch = setInterval(() => {
    if (performance.now() > session.deadline) lost(session, new Error('no heartbeat was answered in time'))
  }, 50)
  let pauseMs = intervalMs
  while (session.mayCommit && !signal.aborted) {
    await pause(pauseMs, signal)
    if (session.mayCommit && !signal.aborted) pauseMs = (await beat(deps, session)) ? intervalMs : retryMs
  }
  clearInterval(watch)

  async function beat({ link, group, onAnswer, onError }: Deps, own: Session): Promise<boolean> {
    const sentAt = performance.now()
    try {
      await link.use(async cluster => (await group.coordinator(cluster)).heartbeat(identityOf(group.id, own)))
      onAnswer()
    } catch (error) {
      const answer = answerOf(error)
      if (answer === 'UNKNOWN_MEMBER_ID' || answer === 'ILLEGAL_GENERATION') lost(own, error)
      else if (answer === 'REBALANCE_IN_PROGRESS') own.over.abort()
      else onError(error)
      if (answer !== 'REBALANCE_IN_PROGRESS') return false
    }
    own.deadline = deadlineOf(sentAt, sessionMs)
    return true
  }
}
