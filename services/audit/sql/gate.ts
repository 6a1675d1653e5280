/**
 * Bounds how many queries of others run and wait. Each running one holds a thread of Node's pool over the embedded
 * engine (four by default), and the sink's inserts need one too.
 */
export type Gate = {
  /** Runs `work` when it is its turn; undefined when too many wait already. */
  through<T>(work: () => Promise<T>): Promise<T | undefined>
}

export function createGate({ running: mostRunning, waiting: mostWaiting }: { running: number; waiting: number }): Gate {
  let running = 0
  const queue: (() => void)[] = []

  const enter = async () => {
    if (running < mostRunning) running += 1
    else await new Promise<void>(resolve => queue.push(resolve))
  }
  // The place goes straight to the next in line, so nobody overtakes.
  const leave = () => {
    const next = queue.shift()
    if (next) next()
    else running -= 1
  }

  return {
    through: async work => {
      if (running >= mostRunning && queue.length >= mostWaiting) return undefined
      await enter()
      try {
        return await work()
      } finally {
        leave()
      }
    },
  }
}
