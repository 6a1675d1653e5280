/** How long, and how often, it is worth trying to find out. */
export type Budget = {
  /** Milliseconds for everything: sending, waiting, asking. Default 60,000. */
  readonly timeMs?: number
  /** Requests to Holdfast, sent or not: the write itself and the questions about it. Default 12. */
  readonly attempts?: number
}

export type Clock = {
  /** Milliseconds that never go back. */
  readonly elapsed: () => number
  readonly sleep: (ms: number) => Promise<void>
  /** 0 to 1. */
  readonly random: () => number
}

export const systemClock: Clock = {
  elapsed: () => performance.now(),
  sleep: ms => new Promise(resolve => setTimeout(resolve, ms)),
  random: Math.random,
}

export type Purse = {
  /** Takes one attempt. @returns false when time or attempts are spent */
  take(): boolean
  /** Milliseconds left. */
  leftMs(): number
  /** Waits a while before the next attempt, twice as long each time, at least `atLeastMs`, never past the end. */
  pause(atLeastMs?: number): Promise<void>
}

const firstPauseMs = 200
const longestPauseMs = 5_000

export function openPurse(clock: Clock, { timeMs = 60_000, attempts = 12 }: Budget): Purse {
  const end = clock.elapsed() + timeMs
  let taken = 0
  let pauses = 0
  const leftMs = () => Math.max(0, end - clock.elapsed())
  return {
    take: () => {
      if (taken >= attempts || leftMs() === 0) return false
      taken += 1
      return true
    },
    leftMs,
    pause: async (atLeastMs = 0) => {
      const full = Math.min(longestPauseMs, firstPauseMs * 2 ** pauses)
      pauses += 1
      // Half of it is left to chance, so that agents that lost one Holdfast do not all come back at once.
      await clock.sleep(Math.min(leftMs(), Math.max(atLeastMs, full * (0.5 + clock.random() / 2))))
    },
  }
}
