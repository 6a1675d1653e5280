/**
 * What a service needs before it can do its work. The order in which processes start does not matter: each waits for its
 * needs, says so once in its log and now and then again, and names what is missing at `/readyz`.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { ConfigError, InvariantError, UnavailableError } from '../errors.ts'

/** `missing`: why work cannot be done. `degraded`: what is worse than usual while it is. By name, with the reason. */
export type Readiness = {
  readonly ready: boolean
  readonly missing: Readonly<Record<string, string>>
  readonly degraded: Readonly<Record<string, string>>
}

export type Needs = {
  /**
   * Tries until it succeeds, for as long as it takes. Ends early only with a `ConfigError`, which waiting does not mend,
   * or once stopped.
   */
  until<T>(name: string, attempt: () => Promise<T>): Promise<T>
  /** Waits for what happens by itself. Rejects once stopped. */
  wait<T>(name: string, happens: Promise<T>): Promise<T>
  /** From now on it is there as far as this says, asked at every `/readyz`; its rejection is the reason. */
  check(name: string, check: () => Promise<unknown>): void
  /** The same for what the service can do without for a while. */
  checkDegraded(name: string, check: () => Promise<unknown>): void
  /** Not ready any more, whatever else is there; ends every wait. */
  stop(): void
  readonly stopped: AbortSignal
  readiness(): Promise<Readiness>
  /** @throws UnavailableError naming what is missing */
  ready(): Promise<void>
}

/** The part of a pino logger that is used here and by whoever opens a port. */
export type Log = Readonly<Record<'info' | 'warn' | 'error', (fields: object, message: string) => void>>
type Check = { readonly degrades: boolean; readonly run: () => Promise<unknown> }
export type NeedsTimes = { readonly pauseMs: number; readonly sayAgainMs: number; readonly checkMs: number }

const defaultTimes: NeedsTimes = { pauseMs: 500, sayAgainMs: 30_000, checkMs: 2_000 }

/** Thrown out of a wait that was ended by `stop`. */
export class Stopped extends Error {
  override readonly name = 'Stopped'
}

/** @param names everything that must be there before the service is ready; each is missing until it was seen */
export function createNeeds(
  { log }: { readonly log: Log },
  names: readonly string[],
  times: Partial<NeedsTimes> = {},
): Needs {
  const { pauseMs, sayAgainMs, checkMs } = { ...defaultTimes, ...times }
  const reasons = new Map(names.map(name => [name, 'not reached yet']))
  const checks = new Map<string, Check>()
  const stopping = new AbortController()

  const until = async <T>(name: string, attempt: () => Promise<T>): Promise<T> => {
    if (!reasons.has(name)) throw new InvariantError(`${name} is not among the needs that were named`)
    let saidAt = Number.NEGATIVE_INFINITY
    for (;;) {
      if (stopping.signal.aborted) throw new Stopped(`stopped while waiting for ${name}`)
      try {
        const result = await attempt()
        if (Number.isFinite(saidAt)) log.info({ need: name }, `${name} is there`)
        reasons.delete(name)
        return result
      } catch (error) {
        if (error instanceof ConfigError) throw error
        reasons.set(name, reasonOf(error))
        if (performance.now() - saidAt >= sayAgainMs) {
          log.warn({ need: name, reason: reasonOf(error) }, `waiting for ${name}`)
          saidAt = performance.now()
        }
        await sleep(pauseMs, undefined, { signal: stopping.signal }).catch(() => {})
      }
    }
  }

  const wait = async <T>(name: string, happens: Promise<T>): Promise<T> => {
    const stopped = new Promise<never>((_, reject) => {
      const stop = () => reject(new Stopped(`stopped while waiting for ${name}`))
      if (stopping.signal.aborted) stop()
      stopping.signal.addEventListener('abort', stop, { once: true })
    })
    const result = await Promise.race([happens, stopped])
    reasons.delete(name)
    return result
  }

  const readiness = async (): Promise<Readiness> => {
    const missing: Record<string, string> = Object.fromEntries(reasons)
    const degraded: Record<string, string> = {}
    const failing = await Promise.all(
      [...checks].map(async ([name, check]) => ({ name, check, reason: await failureOf(check.run, checkMs) })),
    )
    for (const { name, check, reason } of failing) {
      if (reason !== undefined) (check.degrades ? degraded : missing)[name] = reason
    }
    if (stopping.signal.aborted) missing['process'] = 'it is stopping'
    return { ready: Object.keys(missing).length === 0, missing, degraded }
  }

  return {
    until,
    wait,
    check(name, run) {
      reasons.delete(name)
      checks.set(name, { degrades: false, run })
    },
    checkDegraded: (name, run) => void checks.set(name, { degrades: true, run }),
    stop: () => stopping.abort(),
    stopped: stopping.signal,
    readiness,
    async ready() {
      const missing = Object.entries((await readiness()).missing)
      if (missing.length === 0) return
      throw new UnavailableError(
        missing[0]?.[0] ?? '',
        missing.map(([name, reason]) => `${name}: ${reason}`).join('; '),
      )
    },
  }
}

async function failureOf(check: () => Promise<unknown>, withinMs: number): Promise<string | undefined> {
  const timer = new AbortController()
  const late = sleep(withinMs, `no answer within ${withinMs} ms`, { signal: timer.signal }).catch(() => undefined)
  try {
    return await Promise.race([check().then(() => undefined, reasonOf), late])
  } finally {
    timer.abort()
  }
}

/** An AggregateError of several addresses has no message of its own. */
function reasonOf(error: unknown): string {
  const { message, code } = error as { message?: string; code?: string }
  return message || code || String(error)
}
