import { setTimeout as sleep } from 'node:timers/promises'
import type { PostgresJournal } from './journal.ts'
export function createOutboxRelay({ journal, log }: { journal: PostgresJournal; log: any }) {
  let stopped = false
  let run: Promise<void> = Promise.resolve()
  return {
    start() { run = (async () => { while (!stopped) { try { while ((await journal.drain(500)) === 500) {} } catch (e) { log.warn({ err: e }, 'relay'); await sleep(200) } await sleep(20) } })() },
    async stop() { stopped = true; await run; while ((await journal.drain(500)) > 0) {} },
    drainOnce: () => journal.drain(500),
  }
}
