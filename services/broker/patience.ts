/** Waiting out a database that cannot be reached: nothing is decided without it, nothing is given up because of it. */
import type { Logger } from 'pino'
import { setTimeout as sleep } from 'node:timers/promises'

const firstPauseMs = 20
const longestPauseMs = 1_000

/**
 * Runs `attempt` until it succeeds. Only for statements that may safely run twice.
 * @throws what `attempt` threw last, once `signal` is aborted
 */
export async function patiently<T>(
  { log, signal, doing }: { log: Logger; signal: AbortSignal; doing: string },
  attempt: () => Promise<T>,
): Promise<T> {
  for (let pause = firstPauseMs; ; pause = Math.min(pause * 2, longestPauseMs)) {
    try {
      return await attempt()
    } catch (error) {
      if (signal.aborted) throw error
      log.warn({ err: error }, `${doing} did not succeed; trying again in ${pause} ms`)
      await sleep(pause, undefined, { signal }).catch(() => {})
    }
  }
}
