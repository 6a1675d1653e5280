/** Holds the history against the journal, a page at a time, and says where it stands so that it can be gone on with. */
import type { Journal, JournalRecord } from '../../../shared/journal/port.ts'
import { topics } from '../../../shared/journal/topics.ts'
import { sinkGroup } from '../sink/sink.ts'
import { compare, type Difference, type HistoryRow } from './compare.ts'

export type Range = { readonly partition: number; readonly from: number; readonly to: number }

export type HistoryPages = {
  /** Rows of one partition from an offset up to, not including, another; undefined when they are too many for one answer. */
  rows(range: Range): Promise<readonly HistoryRow[] | undefined>
  /** How many rows of a partition lie below an offset, and at or above another. */
  outside(range: Range): Promise<{ readonly below: number; readonly above: number }>
  sees(tenant: string): boolean
}

/** Where a comparison stands: of each partition the next offset, and what was counted. */
export type Standing = {
  readonly next: Readonly<Record<string, number>>
  readonly compared: number
  readonly counts: Readonly<Record<Difference['kind'], number>>
}

export const nothingYet: Standing = {
  next: {},
  compared: 0,
  counts: { missing: 0, extra: 0, doubled: 0, different: 0 },
}

export type DiffDeps = {
  readonly journal: Journal
  readonly history: HistoryPages
  /** Told of each page; what it throws ends the comparison. */
  readonly page: (differences: readonly Difference[], standing: Standing, of: number) => void
}

export type Compared = Standing & {
  /** Records that the sink has not committed yet: not due. */
  readonly notDue: number
  /** Rows that tell of records which retention has deleted from the journal: nothing to compare them with. */
  readonly older: number
  /** Rows at offsets that the journal does not have, or does not have any more: its end was lost, or they are forged. */
  readonly beyond: number
}

const pageOffsets = 2_000

/** @param since where an earlier comparison stood; `nothingYet` from the beginning */
export async function diff({ journal, history, page }: DiffDeps, since: Standing): Promise<Compared> {
  const lags = await journal.lag(sinkGroup, topics.events.name)
  const of = lags.reduce(
    (sum, { earliest, committed, end }) => sum + Math.max(0, Math.min(end, committed ?? 0) - earliest),
    0,
  )
  let standing = since
  let [notDue, older, beyond] = [0, 0, 0]
  for (const { partition, earliest, end, committed } of lags) {
    const due = Math.min(end, committed ?? 0)
    notDue += end - due
    for (let from = Math.max(earliest, standing.next[partition] ?? 0); from < due; ) {
      const to = Math.min(from + pageOffsets, due)
      const differences = await comparePage({ journal, history }, { partition, from, to })
      standing = after(standing, { partition, from, to }, differences)
      page(differences, standing, of)
      from = to
    }
    older += (await history.outside({ partition, from: earliest, to: end })).below
    beyond += await rowsBeyond({ journal, history }, partition)
  }
  return { ...standing, notDue, older, beyond }
}

/** Asking is itself on record: the journal grows meanwhile, and rows above an end that was just read may be in order. */
async function rowsBeyond({ journal, history }: Pick<DiffDeps, 'journal' | 'history'>, partition: number) {
  let above = 0
  for (let tries = 0; tries < 5; tries += 1) {
    const end = (await journal.ends(topics.events.name)).find(at => at.partition === partition)?.end ?? 0
    above = (await history.outside({ partition, from: end, to: end })).above
    if (above === 0) return 0
  }
  return above
}

function after(
  { next, compared, counts }: Standing,
  { partition, from, to }: Range,
  found: readonly Difference[],
): Standing {
  const counted = { ...counts }
  for (const { kind } of found) counted[kind] += 1
  return { next: { ...next, [partition]: to }, compared: compared + to - from, counts: counted }
}

/** A page whose rows are too large for one answer is asked for in halves. */
async function comparePage(deps: Pick<DiffDeps, 'journal' | 'history'>, range: Range): Promise<Difference[]> {
  const rows = await deps.history.rows(range)
  if (rows === undefined) {
    const middle = range.from + Math.ceil((range.to - range.from) / 2)
    if (middle >= range.to)
      throw new RangeError(
        `The row at offset ${range.from} of partition ${range.partition} is too large for one answer`,
      )
    return [
      ...(await comparePage(deps, { ...range, to: middle })),
      ...(await comparePage(deps, { ...range, from: middle })),
    ]
  }
  const { partition, from, to } = range
  const records: JournalRecord[] = []
  const { name: topic } = topics.events
  for await (const record of deps.journal.read({ topic, partition, fromOffset: from, toOffset: to }))
    records.push(record)
  return compare({ partition, records, rows }, tenant => deps.history.sees(tenant))
}
