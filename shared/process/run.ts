/** The life of a service's process: start, wait for a signal, stop. What `main.ts` of each service calls. */
import pino, { type Logger } from 'pino'
import { explainFailure } from './failure.ts'
import type { Replica } from './replica.ts'
import { untilSignal } from './signals.ts'

/** Logs JSON lines to standard output; HOLDFAST_LOG=debug says more. Ends the process: 0 after a signal, 1 when it did not start. */
export async function run(service: string, start: (log: Logger) => Promise<Replica>): Promise<never> {
  const signal = untilSignal()
  const log = pino({ level: process.env['HOLDFAST_LOG'] ?? 'info', base: { service, pid: process.pid } })
  try {
    await using replica = await start(log)
    log.info({ url: replica.url }, 'listening')
    const ready = replica.ready.then(() => log.info({ url: replica.url }, 'ready'))
    await Promise.race([signal, ready.then(() => signal)])
    log.info('stopping')
  } catch (error) {
    process.stderr.write(`${explainFailure(error)}\n`)
    process.exit(1)
  }
  log.info('stopped')
  process.exit(0)
}
