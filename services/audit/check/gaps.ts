/**
 * Events that were lost before the journal: numbers of a process which never came, were not told void, and of which the
 * process itself knew what became of them (docs/events.md, "Gaps"). What was under way when a process ended is not held
 * against anybody.
 */
import { gapsIn } from '../../../shared/events/number-ranges.ts'
import type { Facts, Finding, Numbered } from './facts.ts'

/** Where the beginning of a process is not among what was read, its first events may have neighbours before: so many numbers, at most. */
const mostOutOfOrder = 2_000

/** An event's time is taken before it is committed: so long before, at most, on a machine that has other things to do. */
const commitMs = 10_000

export function checkGaps({ events, readAt }: Pick<Facts, 'events' | 'readAt'>): Finding[] {
  const producers = new Map<string, Numbered[]>()
  for (const { numbered: told, at } of events) {
    // What was committed after the outbox had been read may speak of events that were not looked for.
    const numbered = told && at > readAt - commitMs ? { ...told, settled: 0 } : told
    if (numbered === undefined) continue
    const known = producers.get(numbered.producer)
    if (known === undefined) producers.set(numbered.producer, [numbered])
    else known.push(numbered)
  }
  return [...producers].flatMap(([producer, numbers]) => gapsOf(producer, numbers))
}

function gapsOf(producer: string, numbers: readonly Numbered[]): Finding[] {
  const first = numbers.reduce((least, { number }) => Math.min(least, number), Infinity)
  const settled = numbers.reduce((most, each) => Math.max(most, each.settled), 0)
  const ranges = numbers.flatMap(({ number, told }) => [{ from: number, to: number }, ...told])
  const after = first === 1 ? 0 : first + mostOutOfOrder
  return gapsIn(ranges, { after, until: settled }).map(({ from, to }) => ({
    invariant: 'I8',
    what: `${from === to ? 'an event' : `${to - from + 1} events`} of a process ${from === to ? 'was' : 'were'} lost before the journal`,
    evidence: { producer, from, to, settled },
  }))
}
