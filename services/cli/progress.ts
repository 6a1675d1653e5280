import type { Shell } from './command.ts'

/** Tells how far long work is, on standard error: at most once a second, to a terminal on one line. */
export function createProgress(shell: Shell, now: () => number = () => performance.now()) {
  const onTerminal = shell.terminal?.err === true
  const everyMs = onTerminal ? 500 : 10_000
  let next = now() + everyMs
  let shown = false
  return {
    say(text: () => string) {
      if (now() < next) return
      next = now() + everyMs
      shown = onTerminal
      shell.err(onTerminal ? `\r\u001b[K${text()}` : `${text()}\n`)
    },
    /** Clears the line. */
    end() {
      if (shown) shell.err('\r\u001b[K')
      shown = false
    },
  }
}
