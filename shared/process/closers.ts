/** What a process has opened, and how it ends: each closer is added on the line after its resource opened. */

export type Closers = {
  add(close: () => unknown): void
  /** Runs them backwards, each to its end. One that fails is logged and holds nothing up. Safe to call twice. */
  readonly close: () => Promise<void>
}

export function createClosers(log: { error(fields: object, message: string): void }): Closers {
  const closers: Array<() => unknown> = []
  let closing: Promise<void> | undefined
  const close = async () => {
    for (let closer = closers.pop(); closer !== undefined; closer = closers.pop()) {
      try {
        await closer()
      } catch (error) {
        log.error({ err: error }, 'something did not close')
      }
    }
  }
  return { add: closer => void closers.push(closer), close: () => (closing ??= close()) }
}
