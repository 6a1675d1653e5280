import type { Logger } from 'pino'

/** Runs a task again and again with a pause between the end of one run and the start of the next. */
export function repeat(
  { log, doing }: { log: Logger; doing: string },
  pauseMs: number,
  task: () => Promise<void>,
): { stop(): Promise<void> } {
  let stopped = false
  let timer: NodeJS.Timeout | undefined
  let running: Promise<void> = Promise.resolve()
  const run = () => {
    running = task()
      .catch(error => log.warn({ err: error }, `${doing} did not succeed; it will be tried again`))
      .then(() => {
        if (!stopped) timer = setTimeout(run, pauseMs)
      })
  }
  run()
  return {
    async stop() {
      stopped = true
      clearTimeout(timer)
      await running
    },
  }
}
