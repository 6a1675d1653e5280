/** Resolves at the first Ctrl-C or SIGTERM. A second one ends the process at once: the next start cleans up. */
export function untilSignal(): Promise<void> {
  return new Promise(resolve => {
    let asked = false
    const ask = () => {
      if (asked) process.exit(130)
      asked = true
      resolve()
    }
    process.on('SIGINT', ask)
    process.on('SIGTERM', ask)
  })
}
