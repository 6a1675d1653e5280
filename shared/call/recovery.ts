/**
 * Recovery of an `unknown`: when to look next, and what follows from what was seen. Pure, like everything here: `decide`
 * and `evolve` carry what stands in this file's types, and the broker stores it beside the operation it belongs to.
 *
 * Two ways lead to evidence. A **replay** sends the very request again to a server that is declared to honour keys. A
 * **probe** reads on the server whether the change is there. Neither is asked of a tool that does not declare it.
 */
import type { OutcomeCode } from './codes.ts'

export type RecoveryStep = 'replay' | 'probe'

/** What the configuration says of a tool, in milliseconds. */
export type RecoveryPlan = {
  /** The server honours keys, and keeps each for this long. The pause before the first replay doubles. */
  readonly replay?: { readonly keepsMs: number; readonly pauseMs: number } | undefined
  readonly probe?:
    | {
        /** The quiet time before a look: after it became unknown, and after the last request of ours can have ended. */
        readonly afterMs: number
        /** The pause after the first look; it doubles. */
        readonly everyMs: number
        /** A look that does not find the change proves that it is not there. */
        readonly consistent: boolean
      }
    | undefined
  /** Most replays, and most looks. */
  readonly attempts: number
  /** How long, from the moment it became unknown, a next step is planned. */
  readonly timeMs: number
  readonly timeoutMs: number
  readonly lateWindowMs: number
}

/** How an attempt with an intent ended. `lost`: without a definite answer; absent: nothing is on record yet. */
export type TryEnd = 'failed' | 'not_executed' | 'lost'
export type Try = { readonly attempt: number; readonly at: number; readonly ended?: TryEnd }

export type Recovery = {
  /** Why the outcome is unknown: what came of the first attempt. */
  readonly code: OutcomeCode
  /** When it became unknown, database time. */
  readonly since: number
  /** Attempts of this epoch and round, the first one too. */
  readonly tries: readonly Try[]
  /** When the last of them was given up. */
  readonly triedAt: number
  /** From here on no request of ours is under way: its late window is over. */
  readonly quietFrom: number
  readonly probes: number
  readonly probedAt?: number
  /** Looks in a row that did not find the change, begun when nothing was under way any more. */
  readonly notLanded: number
  /** Steps that turned out to be impossible for this call. */
  readonly without?: readonly RecoveryStep[]
  /** Absent: nothing more happens by itself. */
  readonly next?: { readonly step: RecoveryStep; readonly at: number }
  /** Why nothing more happens by itself. */
  readonly over?: 'budget' | 'unavailable'
}

/** A single look may meet a replica that is behind, or a request that is just being carried out. */
export const leastLooks = 2

const longestReplayPauseMs = 5 * 60_000
const longestLookPauseMs = 60 * 60_000

const backoff = (firstMs: number, times: number, mostMs: number) => Math.min(firstMs * 2 ** times, mostMs)

/** The first attempt ended without a definite answer. @param open its request may still be answered late */
export function beginRecovery(
  plan: RecoveryPlan,
  lost: { attempt: number; dispatchedAt: number; at: number; code: OutcomeCode; open: boolean },
): Recovery {
  const { attempt, dispatchedAt, at, code, open } = lost
  return schedule(
    plan,
    {
      code,
      since: at,
      tries: [{ attempt, at: dispatchedAt, ...(!open && { ended: 'lost' as const }) }],
      triedAt: at,
      quietFrom: quietAfter(plan, at, open),
      probes: 0,
      notLanded: 0,
    },
    at,
  )
}

const quietAfter = ({ lateWindowMs }: RecoveryPlan, at: number, open: boolean) => (open ? at + lateWindowMs : at)

/** The intent of a replay: whatever was not found before it may come of it. */
export const withReplay = (recovery: Recovery, { attempt, at }: { attempt: number; at: number }): Recovery => ({
  ...withoutNext(recovery),
  tries: [...recovery.tries, { attempt, at }],
  notLanded: 0,
})

/** An attempt came to its end; what is next does not change by it. */
export const withEnd = (recovery: Recovery, attempt: number, ended: TryEnd): Recovery => ({
  ...recovery,
  tries: recovery.tries.map(each => (each.attempt === attempt ? { ...each, ended } : each)),
})

/** A replay was given up: what is next is planned anew. Without a plan (the configuration has none any more) nothing is. */
export function afterReplay(
  plan: RecoveryPlan | undefined,
  recovery: Recovery,
  { at, open }: { at: number; open: boolean },
): Recovery {
  if (plan === undefined) return { ...withoutNext(recovery), triedAt: at, over: 'unavailable' }
  const quietFrom = Math.max(recovery.quietFrom, quietAfter(plan, at, open))
  return schedule(plan, { ...recovery, triedAt: at, quietFrom }, at)
}

/** What one look said. `neither`: it failed, or what it found could not be judged. */
export type Look = 'landed' | 'not_landed' | 'neither'

/** A look that settled nothing. @param began when it was asked: what came later it cannot have seen */
export function afterLook(
  plan: RecoveryPlan | undefined,
  recovery: Recovery,
  { look, began, at }: { look: Look; began: number; at: number },
): Recovery {
  const looked = {
    ...recovery,
    probes: recovery.probes + 1,
    probedAt: at,
    notLanded: recovery.notLanded + (look === 'not_landed' && counts(plan, recovery, began) ? 1 : 0),
  }
  return plan === undefined ? { ...withoutNext(looked), over: 'unavailable' } : schedule(plan, looked, at)
}

/** Whether "not there" means anything yet: a request under way may still land. */
const counts = (plan: RecoveryPlan | undefined, { quietFrom }: Recovery, began: number): boolean =>
  plan?.probe !== undefined && began >= quietFrom + plan.probe.afterMs

/** Whether this look, not finding the change, is the one that proves it absent. */
export const provesAbsence = (plan: RecoveryPlan | undefined, recovery: Recovery, began: number): boolean =>
  plan?.probe?.consistent === true && counts(plan, recovery, began) && recovery.notLanded + 1 >= leastLooks

/** A step turned out to be impossible for this call: plans without it. */
export function withoutStep(
  plan: RecoveryPlan | undefined,
  recovery: Recovery,
  { steps, at }: { steps: readonly RecoveryStep[]; at: number },
): Recovery {
  const without = [...new Set([...(recovery.without ?? []), ...steps])]
  return plan === undefined
    ? { ...withoutNext(recovery), without, over: 'unavailable' }
    : schedule(plan, { ...recovery, without }, at)
}

/** A replay must be answered before the server forgets the key: afterwards it would be carried out anew. */
export function mayReplay(plan: RecoveryPlan | undefined, recovery: Recovery, at: number): boolean {
  const first = recovery.tries[0]
  if (plan?.replay === undefined || first === undefined || recovery.without?.includes('replay')) return false
  return recovery.tries.length <= plan.attempts && at + plan.timeoutMs <= first.at + plan.replay.keepsMs
}

/** Until when a planned replay may be sent. */
export const replayBefore = (plan: RecoveryPlan, recovery: Recovery): number =>
  (recovery.tries[0]?.at ?? 0) + (plan.replay?.keepsMs ?? 0) - plan.timeoutMs

/**
 * The state of an operation is the join over its attempts (design section 3), here of those that did not succeed: one
 * without a definite end leaves it unknown; one that provably was not sent says nothing beside one that was.
 */
export function joinOf(tries: readonly Try[]): 'failed' | 'not_executed' | 'unknown' {
  const sent = tries.filter(({ ended }) => ended !== 'not_executed')
  if (sent.length === 0) return 'not_executed'
  return sent.every(({ ended }) => ended === 'failed') ? 'failed' : 'unknown'
}

const withoutNext = ({ next: _next, over: _over, ...rest }: Recovery): Recovery => rest

/** The next step by what has been done, or why there is none. A look comes before a replay of the same moment. */
function schedule(plan: RecoveryPlan, recovery: Recovery, at: number): Recovery {
  const steps = [nextLook(plan, recovery), nextReplay(plan, recovery)].filter(step => step !== undefined)
  const planned = steps.filter(step => step.at <= recovery.since + plan.timeMs)
  const [first] = planned.sort((a, b) => a.at - b.at)
  if (first !== undefined) return { ...withoutNext(recovery), next: { ...first, at: Math.max(first.at, at) } }
  return { ...withoutNext(recovery), over: isPossible(plan, recovery) ? 'budget' : 'unavailable' }
}

const isPossible = (plan: RecoveryPlan, { without }: Recovery): boolean =>
  (plan.replay !== undefined && !without?.includes('replay')) ||
  (plan.probe !== undefined && !without?.includes('probe'))

function nextReplay(plan: RecoveryPlan, recovery: Recovery): Recovery['next'] {
  const pauseMs = backoff(plan.replay?.pauseMs ?? 0, recovery.tries.length - 1, longestReplayPauseMs)
  const at = recovery.triedAt + pauseMs
  return mayReplay(plan, recovery, at) ? { step: 'replay', at } : undefined
}

function nextLook({ probe, attempts, timeMs }: RecoveryPlan, recovery: Recovery): Recovery['next'] {
  const { since, probes, probedAt, notLanded, quietFrom, without } = recovery
  if (probe === undefined || probes >= attempts || without?.includes('probe')) return undefined
  const at =
    probedAt === undefined ? since + probe.afterMs : probedAt + backoff(probe.everyMs, probes - 1, longestLookPauseMs)
  // The last looks are kept for when "not there" counts, if that is within the time at all.
  const countsFrom = quietFrom + probe.afterMs
  const isKept = probe.consistent && attempts - probes <= leastLooks - notLanded && countsFrom <= since + timeMs
  return { step: 'probe', at: isKept ? Math.max(at, countsFrom) : at }
}
