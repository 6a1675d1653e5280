/**
 * The relay from the outbox table into the journal. Paced rather than woken: a commit of its own for every commit of the
 * broker would cost half of its throughput. Any number of relays, in any number of processes, may run.
 *
 * When the database is away the rows stay where they are; the next drain finds them. Killed anywhere: a row is either in
 * the outbox or in the journal, never in both or neither.
 */
import type { Log } from '../../postgres/log.ts'
import type { PostgresJournal } from './journal.ts'

export type OutboxRelay = {
  start(): void
  /** Drains what is there and stops. Gives up, leaving the rows for the next relay, when the database does not answer. */
  stop(): Promise<void>
  /** Moves one batch now; returns how many rows. */
  drainOnce(): Promise<number>
}

type Options = {
  readonly journal: Pick<PostgresJournal, 'drainOutbox'>
  readonly log: Log
  /** From the start of one drain to the next. Default 20. */
  readonly intervalMs?: number
  /** The same after a second without rows. Default 100. */
  readonly idleIntervalMs?: number
  readonly maxRows?: number
}

const calmAfterMs = 1_000

export function createOutboxRelay({
  journal,
  log,
  intervalMs = 20,
  idleIntervalMs = 100,
  maxRows = 500,
}: Options): OutboxRelay {
  const stopping = new AbortController()
  let running: Promise<void> | undefined
  let endWait = () => {}

  const drainOnce = () => journal.drainOutbox(maxRows)

  const run = async () => {
    let lastRowsAt = performance.now()
    while (!stopping.signal.aborted) {
      const startedAt = performance.now()
      try {
        if ((await drainOnce()) > 0) lastRowsAt = startedAt
      } catch (error) {
        log.warn({ error: String(error) }, 'the outbox could not be drained; its rows wait')
        await waitUntil(startedAt + 250)
      }
      await waitUntil(startedAt + (startedAt - lastRowsAt > calmAfterMs ? idleIntervalMs : intervalMs))
    }
  }

  const waitUntil = (time: number) =>
    new Promise<void>(resolve => {
      const timer = setTimeout(resolve, time - performance.now())
      endWait = () => {
        clearTimeout(timer)
        resolve()
      }
      if (stopping.signal.aborted) endWait()
    })

  return {
    start: () => void (running ??= run()),
    async stop() {
      stopping.abort()
      endWait()
      await running
      try {
        while ((await drainOnce()) > 0);
      } catch (error) {
        log.warn(
          { error: String(error) },
          'the outbox could not be drained before the end; its rows wait for the next start',
        )
      }
    },
    drainOnce,
  }
}
