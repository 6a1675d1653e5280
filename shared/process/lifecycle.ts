/** Starts and stops are on record: a gap in the history is then either a stop, or it is not. */
import { type EventName, eventRecord } from '../events/event.ts'
import type { Journal } from '../journal/port.ts'
import { release } from './release.ts'

const runtime = `node ${process.version} ${process.platform} ${process.arch}`

type Deps = { readonly journal: Journal; readonly clock: { now(): number } }

/**
 * Records the start of one process under the configuration's version.
 * @param service `single`, `front`, `broker` or `audit`
 * @param run a new id at every start; repeated with the same one, it is one start
 * @returns records the stop
 */
export async function recordStart(
  { journal, clock }: Deps,
  { service, run, policyVersion }: { service: string; run: string; policyVersion: string },
): Promise<() => Promise<void>> {
  const record = async (type: EventName, sequence: number) => {
    const time = new Date(clock.now()).toISOString()
    await journal.append([
      eventRecord({
        type,
        stream: `service/${run}`,
        sequence,
        time,
        source: `holdfast/${service}`,
        tenant: '',
        clock: 'database',
        policyVersion,
        ...(type === 'service.started' && { release, runtime }),
      }),
    ])
  }
  await record('service.started', 1)
  return () => record('service.stopped', 2)
}
