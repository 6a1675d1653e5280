/** Starts and stops are on record: a gap in the history is then either a stop, or it is not. */
import { type EventName, eventRecord } from '../../shared/events/event.ts'
import type { Journal } from '../../shared/journal/port.ts'

type Deps = { readonly journal: Journal; readonly clock: { now(): number }; readonly ids: { ulid(): string } }

/**
 * Records the start under the configuration's version.
 * @returns records the stop
 */
export async function recordStart({ journal, clock, ids }: Deps, policyVersion: string): Promise<() => Promise<void>> {
  const run = ids.ulid()
  const record = async (type: EventName, sequence: number) => {
    const time = new Date(clock.now()).toISOString()
    await journal.append([
      eventRecord({
        type,
        stream: `service/${run}`,
        sequence,
        time,
        source: 'holdfast/single',
        tenant: '',
        policyVersion,
      }),
    ])
  }
  await record('service.started', 1)
  return () => record('service.stopped', 2)
}
