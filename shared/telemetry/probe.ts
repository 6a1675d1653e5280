/**
 * Numbers that need a question to a store, read when somebody scrapes and never otherwise. Scrapes within `freshMs` share
 * an answer, a store that does not answer within `withinMs` costs a scrape no more than that, and one question is under
 * way at a time.
 */
export type Probe<Value> = () => Promise<Value | undefined>

type Options = { readonly now: () => number; readonly freshMs?: number; readonly withinMs?: number }

/** @returns the value, or undefined while it cannot be told */
export function createProbe<Value>(
  read: () => Promise<Value>,
  { now, freshMs = 5_000, withinMs = 1_500 }: Options,
): Probe<Value> {
  let latest: { readonly at: number; readonly value: Value } | undefined
  let asking: Promise<Value | undefined> | undefined

  const ask = async () => {
    try {
      const value = await read()
      latest = { at: now(), value }
      return value
    } catch {
      return undefined
    } finally {
      asking = undefined
    }
  }

  return () => {
    if (latest !== undefined && now() - latest.at < freshMs) return Promise.resolve(latest.value)
    return within((asking ??= ask()), withinMs)
  }
}

async function within<Value>(work: Promise<Value | undefined>, ms: number): Promise<Value | undefined> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<undefined>(resolve => {
    timer = setTimeout(resolve, ms, undefined)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}
