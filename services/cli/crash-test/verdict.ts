/** What a caller was told, against what happened. Pure. */
import type { Heard } from './post.ts'

/** `done`: it happened. `error`: it did not, or failed. `unknown`: nothing definite. */
export type Told = 'done' | 'error' | 'unknown'

export const verdicts = ['once', 'twice+', 'lost', 'told wrongly', 'honest unknown', 'not done, as told'] as const
export type Verdict = (typeof verdicts)[number]

/** Verdicts that no caller should meet. */
export const bad: ReadonlySet<Verdict> = new Set(['twice+', 'lost', 'told wrongly'])

/** @param effects of one intended change, as counted */
export function judge(told: Told, effects: number): Verdict {
  if (effects > 1) return 'twice+'
  if (told === 'unknown') return 'honest unknown'
  if (told === 'done') return effects === 1 ? 'once' : 'lost'
  return effects === 1 ? 'told wrongly' : 'not done, as told'
}

/** Statuses after which the call may have run or still runs: 409 is "the first one is in flight". */
const doubtful = (status: number) => status === 408 || status === 409 || status === 499 || status >= 500

/** States in which a server says itself that the change is not settled. */
const unsettled = new Set(['unknown', 'pending', 'conflict', 'awaiting_approval', 'awaiting_input'])

export function toldBy(heard: Heard): Told {
  if (heard.kind !== 'answer') return 'unknown'
  const { status, message } = heard
  if (message?.result !== undefined) {
    const { isError, _meta } = message.result as { isError?: unknown; _meta?: Record<string, { state?: string }> }
    if (unsettled.has(_meta?.['dev.holdfast/outcome']?.state ?? '')) return 'unknown'
    return isError === true ? 'error' : 'done'
  }
  return doubtful(status) || (status < 400 && message?.error === undefined) ? 'unknown' : 'error'
}

/** Of two callers of one change the one who was told most. */
export function toldTogether(told: readonly Told[]): Told {
  return told.includes('done') ? 'done' : told.includes('unknown') ? 'unknown' : 'error'
}
