/**
 * The database's time, estimated without asking: the last sample plus what the monotonic clock counted since its reply
 * arrived. The reply is older than its arrival and drift is subtracted, so the estimate is late, never early.
 */
import { performance } from 'node:perf_hooks'
import { InvariantError } from '../errors.ts'
import { query, type Queryable } from './pool.ts'

const syncEveryMs = 30_000
/** Two undisciplined quartz clocks part by less than this. */
const driftPerMs = 0.000_2

export type DatabaseClock = {
  /** A lower bound of the database's time, milliseconds since the epoch, with fractions. Needs one `sync()` before. */
  now(): number
  /** Takes a sample. Rejects when the database does not answer; the last sample stays. */
  sync(): Promise<void>
  stop(): void
}

/** Starts sampling every 30 s; a failed sample is made up for by the next. */
export function createDatabaseClock(pool: Queryable): DatabaseClock {
  let sample: { time: number; at: number } | undefined

  const sync = async () => {
    const [row] = await query<{ time: number }>(pool, {
      text: 'select extract(epoch from clock_timestamp())::float8 * 1000 as time',
    })
    sample = { time: (row as { time: number }).time, at: performance.now() }
  }
  const timer = setInterval(() => void sync().catch(() => {}), syncEveryMs)
  timer.unref()

  return {
    now() {
      if (!sample) throw new InvariantError('The database clock was read before its first sync')
      return sample.time + (performance.now() - sample.at) * (1 - driftPerMs)
    },
    sync,
    stop: () => clearInterval(timer),
  }
}
