/** Lets several loops wait for conditions on the same state: whoever changes it tells, whoever waits checks again. */
export type Changes = {
  readonly tell: () => void
  /** Resolves when `met` holds, checked now and at every change; at the latest after `ms`. */
  readonly until: (met: () => boolean, ms?: number) => Promise<void>
}

export function createChanges(): Changes {
  const waiting = new Set<() => void>()
  return {
    tell: () => {
      for (const check of waiting) check()
    },
    until: (met, ms) =>
      new Promise(resolve => {
        if (met()) return resolve()
        const end = () => {
          clearTimeout(timer)
          waiting.delete(check)
          resolve()
        }
        const check = () => {
          if (met()) end()
        }
        const timer = ms === undefined ? undefined : setTimeout(end, ms)
        waiting.add(check)
      }),
  }
}
