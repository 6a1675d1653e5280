/**
 * Numbers the events of one process, so that one which is lost before the journal leaves a gap (docs/events.md, "Gaps").
 *
 * An event gets its number when it is written down, and that is before it is known whether it goes on record: a claim may
 * be lost, a commit may stay unconfirmed. So every number ends as one of three: on record, void (its event was not put on
 * record), or doubtful (nobody knows). Later events carry what became of those before: `ce_void` the void and doubtful ones,
 * `ce_settled` up to which number all ended. What such a report was written on may itself not go on record; then the next
 * event repeats it. All in memory: what a process does not come to tell any more was under way when it ended.
 */
import type { NewRecord } from '../journal/port.ts'
import type { NumberRange } from './number-ranges.ts'
import { writeRanges } from './number-ranges.ts'

export type End = 'recorded' | 'void' | 'doubtful'

export type Numbering = {
  /** This process, by a new id at every start. */
  readonly producer: string
  /** Gives the event its number, in its headers; a new one each time it is tried. Returns the same record. */
  stamp(record: NewRecord): NewRecord
  /** What became of it. */
  end(record: NewRecord, end: End): void
}

/** Every so many numbers an event says up to where all is settled. */
const tellEvery = 32
/** Of one report: what is left is told by the next event. */
const mostTold = 200

export function createNumbering(producer: string): Numbering {
  let last = 0
  /** Every number up to this one has ended. */
  let settled = 0
  const ended = new Set<number>()
  let untold: NumberRange[] = []
  /** What was told on an event of which it is not known yet whether it goes on record. */
  const telling = new Map<number, NumberRange[]>()

  /** What is still to be told, or is told on an event that may not go on record, is not settled for who reads. */
  const settledWithout = (teller: number) => {
    const owed = [...telling].flatMap(([number, ranges]) => (number === teller ? [] : ranges))
    return Math.min(settled, ...[...owed, ...untold].map(({ from }) => from - 1))
  }

  return {
    producer,
    stamp(record) {
      last += 1
      const headers = record.headers as Record<string, string>
      headers['ce_producer'] = producer
      headers['ce_sequence'] = String(last)
      delete headers['ce_void']
      if (untold.length > 0) {
        const told = untold.slice(0, mostTold)
        untold = untold.slice(mostTold)
        telling.set(last, told)
        headers['ce_void'] = writeRanges(told)
      }
      if (
        last % tellEvery === 0 ||
        untold.length > 0 ||
        telling.has(last) ||
        record.headers['ce_type']?.includes('service.')
      )
        headers['ce_settled'] = String(settledWithout(last))
      else delete headers['ce_settled']
      return record
    },
    end(record, end) {
      const number = Number(record.headers['ce_sequence'])
      if (record.headers['ce_producer'] !== producer || number <= settled || ended.has(number)) return
      const told = telling.get(number)
      if (told !== undefined) {
        telling.delete(number)
        if (end !== 'recorded') untold.push(...told)
      }
      if (end !== 'recorded') untold.push({ from: number, to: number, doubtful: end === 'doubtful' })
      ended.add(number)
      while (ended.delete(settled + 1)) settled += 1
    },
  }
}
