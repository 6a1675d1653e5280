/**
 * Holds the journal and the history against what is signed, one partition after the other, in stretches from one signed
 * head to the next: whichever of the two has the signed root is right, and the other one's differences are told.
 */
import type { EventRow } from '../../../shared/clickhouse/events.ts'
import { columnIndex, eventColumns } from '../../../shared/clickhouse/events.ts'
import type { Journal, JournalRecord } from '../../../shared/journal/port.ts'
import { topics } from '../../../shared/journal/topics.ts'
import { type Hash, hashText, leafHash } from '../../../shared/proof/hash.ts'
import { leafText } from '../../../shared/proof/leaf.ts'
import { append, emptyFrontier, type Frontier, rootOf } from '../../../shared/proof/tree.ts'
import { textOfColumns, textOfRow } from '../../audit/sink/original.ts'
import { rowFor } from '../../audit/sink/rejected.ts'
import { type Carried, differences, nothingCarried } from './explain.ts'
import type { Finding } from './finding.ts'
import type { SignedHead } from './verify-checkpoints.ts'

export type HistoryRows = (range: { partition: number; from: number; to: number }) => Promise<EventRow[]>

export type RecordDeps = {
  readonly journal: Pick<Journal, 'read'>
  readonly rows: HistoryRows | undefined
  /** Rows of other tenants cannot be seen with an API key. */
  readonly sees: (tenant: string) => boolean
  readonly find: (finding: Finding) => void
  /** Told of every stretch. */
  readonly progress: (records: number) => void
}

export type PartitionInput = {
  readonly partition: number
  readonly heads: readonly SignedHead[]
  /** Next offset of the journal. */
  readonly end: number
  /** Everything below is in the history. */
  readonly written: number
}

/** Offsets that are looked at in one go; a stretch that is longer is held in memory as leaves alone. */
const page = 2_000
const topic = topics.events.name

export async function verifyPartition(deps: RecordDeps, input: PartitionInput): Promise<void> {
  const { partition, heads, end } = input
  const signed = heads.at(-1)
  if (signed !== undefined && end < signed.size)
    deps.find({
      kind: 'rolled_back',
      where: 'journal',
      partition,
      offset: end,
      checkpoint: signed.checkpoint,
      what: `The journal's partition ${partition} ends at ${end}, and checkpoint ${signed.checkpoint} signs ${signed.size} records of it: it was cut, or is an older copy`,
    })
  let tree: Frontier | undefined = emptyFrontier
  const carried: Shifts = { journal: nothingCarried, history: nothingCarried }
  let from = 0
  for (const head of heads) {
    const stretch: Stretch = await readStretch(deps, input, from, head.size)
    tree = judgeStretch(deps, { partition, head, stretch, tree, carried })
    from = head.size
  }
  // Not signed yet: the history still has to be what the journal says.
  const rest = Math.max(from, Math.min(end, input.written))
  if (rest > from) judgeUnsigned(deps, { partition, carried, stretch: await readStretch(deps, input, from, rest) })
  const nothing = await readStretch(deps, input, rest, rest)
  for (const where of ['journal', 'history'] as const)
    tellDifferences(deps.find, { where, partition, should: [], stretch: nothing, carried, isLast: true })
}

/** Of each store, what stands too far on or too far back. */
type Shifts = { journal: Carried; history: Carried }

type Stretch = {
  readonly from: number
  readonly to: number
  /** Leaves as texts, by their offset from `from`. */
  readonly journal: Array<string | undefined>
  readonly history: Array<string | undefined>
  /** Rows that are right by their leaf and wrong in a column, rows that stand twice: told where the journal is right. */
  readonly faults: Finding[]
  /** Offsets that the history need not have, or cannot show. */
  readonly excused: ReadonlySet<number>
  readonly hasRows: boolean
}

async function readStretch(
  { journal, rows, sees, progress }: RecordDeps,
  { partition, written }: PartitionInput,
  from: number,
  to: number,
): Promise<Stretch> {
  const stretch = {
    from,
    to,
    journal: noLeaves(to - from),
    history: noLeaves(to - from),
    faults: [] as Finding[],
    excused: new Set<number>(),
    hasRows: rows !== undefined,
  }
  for (let begin = from; begin < to; begin += page) {
    const stop = Math.min(begin + page, to)
    const records = new Map<number, JournalRecord>()
    for await (const record of journal.read({ topic, partition, fromOffset: begin, toOffset: stop })) {
      if (record.offset < begin || record.offset >= stop) continue
      records.set(record.offset, record)
      stretch.journal[record.offset - from] = hashText(leafHash(leafText(record)))
      if (!sees(tenantOf(record))) stretch.excused.add(record.offset)
    }
    for (let offset = Math.max(begin, written); offset < stop; offset += 1) stretch.excused.add(offset)
    for (const row of rows === undefined ? [] : await rows({ partition, from: begin, to: stop })) {
      const offset = row[at.offset] as number
      const known = stretch.history[offset - from]
      if (known !== undefined) stretch.faults.push(twice(partition, offset))
      stretch.history[offset - from] ??= leafOfRow(row)
      const fault = faultOf(row, records.get(offset))
      if (fault !== undefined) stretch.faults.push({ kind: 'edited', where: 'history', partition, offset, what: fault })
    }
    progress(stop - begin)
  }
  return stretch
}

const noLeaves = (count: number): Array<string | undefined> => Array.from({ length: count })

const at = {
  offset: columnIndex('journal_offset'),
  journalTime: columnIndex('journal_time'),
  original: columnIndex('original'),
  type: columnIndex('type'),
  data: columnIndex('data'),
  eventId: columnIndex('event_id'),
}

const twice = (partition: number, offset: number): Finding => ({
  kind: 'inserted',
  where: 'history',
  partition,
  offset,
  what: `Offset ${offset} of partition ${partition} has more than one row in the history`,
})

/** The row of a record that is no event cannot give back its leaf, so it carries it. */
function leafOfRow(row: EventRow): string {
  const told = row[at.type] === 'record.rejected' ? rejectedLeaf(row[at.data] as string) : undefined
  return told ?? hashText(leafHash(readable(textOfRow, row)))
}

/** Somebody else may have written the row: what is no JSON in it is no event. */
function readable(read: (row: EventRow) => string, row: EventRow): string {
  try {
    return read(row)
  } catch {
    return ''
  }
}

function rejectedLeaf(data: string): string | undefined {
  try {
    const { leaf } = JSON.parse(data) as { leaf?: unknown }
    return typeof leaf === 'string' ? leaf : undefined
  } catch {
    return undefined
  }
}

/** @returns what is wrong in a row whose leaf says nothing of it: columns beside an original, and the journal's own */
function faultOf(row: EventRow, record: JournalRecord | undefined): string | undefined {
  if (record === undefined) return undefined
  const { row: expected } = rowFor(record)
  const [isLeaf, isColumns] = [
    leafOfRow(row) === leafOfRow(expected),
    readable(textOfColumns, row) === textOfColumns(expected),
  ]
  const isPlaced = row[at.journalTime] === expected[at.journalTime] && row[at.eventId] === expected[at.eventId]
  if (!isLeaf || (isColumns && isPlaced)) return undefined
  return `The row of ${String(expected[at.eventId])} differs from its record in ${namesOf(row, expected)}`
}

const namesOf = (row: EventRow, expected: EventRow): string =>
  eventColumns.filter((_, index) => JSON.stringify(row[index]) !== JSON.stringify(expected[index])).join(', ')

function tenantOf({ value }: JournalRecord): string {
  try {
    const { tenant } = JSON.parse(value) as { tenant?: unknown }
    return typeof tenant === 'string' ? tenant : ''
  } catch {
    return ''
  }
}

/** @returns the tree of what was signed, to go on with; undefined when neither store has it any more */
function judgeStretch(
  { find }: RecordDeps,
  input: { partition: number; head: SignedHead; stretch: Stretch; tree: Frontier | undefined; carried: Shifts },
): Frontier | undefined {
  const { partition, head, stretch, tree, carried } = input
  const journal = tree && grown(tree, stretch.journal)
  if (journal !== undefined && rootOf(journal).equals(head.root)) {
    tellDifferences(find, { where: 'history', partition, should: stretch.journal, stretch, carried })
    return journal
  }
  const history = tree && stretch.hasRows ? grown(tree, stretch.history) : undefined
  if (history !== undefined && rootOf(history).equals(head.root)) {
    tellDifferences(find, { where: 'journal', partition, should: stretch.history, stretch, carried })
    return history
  }
  if (tree !== undefined) tellContradiction(find, { partition, head, stretch })
  return undefined
}

function grown(tree: Frontier, leaves: ReadonlyArray<string | undefined>): Frontier | undefined {
  const hashes: Hash[] = []
  for (const leaf of leaves) {
    if (leaf === undefined) return undefined
    hashes.push(Buffer.from(leaf, 'base64'))
  }
  return append(tree, hashes)
}

/** @param should the leaves of the store that is right */
function tellDifferences(
  find: RecordDeps['find'],
  input: {
    where: 'journal' | 'history'
    partition: number
    should: ReadonlyArray<string | undefined>
    stretch: Stretch
    carried: Shifts
    isLast?: boolean
  },
): void {
  const { where, partition, should, stretch, carried, isLast = false } = input
  if (where === 'history') {
    if (!stretch.hasRows) return
    for (const fault of stretch.faults) find(fault)
  }
  const is = stretch[where].map((leaf, index) =>
    where === 'history' && leaf === undefined && stretch.excused.has(stretch.from + index) ? should[index] : leaf,
  )
  const { found, carried: rest } = differences(should as string[], is, carried[where], isLast)
  carried[where] = rest
  const isEnd = (index: number) => index >= 0 && is.slice(index).every(leaf => leaf === undefined)
  for (const { kind, at: index } of found) {
    const offset = stretch.from + index
    const isCut = kind === 'deleted' && where === 'journal' && isEnd(index)
    find({ kind: isCut ? 'truncated' : kind, where, partition, offset, what: sentence(kind, where, partition, offset) })
    if (isCut) return
  }
}

const sentence = (kind: string, where: string, partition: number, offset: number): string => {
  const what = where === 'journal' ? 'record' : 'row'
  const place = `offset ${offset} of partition ${partition}`
  switch (kind) {
    case 'edited':
      return `The ${what} at ${place} has other contents than what was signed`
    case 'inserted':
      return `A ${what} at ${place} was put in: everything behind it stands one place too far`
    case 'reordered':
      return `The ${what} at ${place} was signed at another place`
    default:
      return `The ${what} at ${place} is missing`
  }
}

function tellContradiction(
  find: RecordDeps['find'],
  { partition, head, stretch }: { partition: number; head: SignedHead; stretch: Stretch },
): void {
  const { from, to, journal, history, hasRows } = stretch
  const firstGap = journal.indexOf(undefined)
  if (firstGap >= 0 && journal.slice(firstGap).every(leaf => leaf === undefined))
    return find({
      kind: 'truncated',
      where: 'journal',
      partition,
      offset: from + firstGap,
      checkpoint: head.checkpoint,
      what: `The journal lacks partition ${partition} from offset ${from + firstGap} on, and checkpoint ${head.checkpoint} signs ${head.size} records of it`,
    })
  const offsets = journal.flatMap((leaf, index) =>
    leaf === undefined || (hasRows && leaf !== history[index]) ? [from + index] : [],
  )
  const where =
    offsets.length === 0 || !hasRows
      ? `offsets ${from} to ${to - 1}`
      : `offset ${offsets.slice(0, 10).join(', ')}${offsets.length > 10 ? ' and more' : ''}`
  find({
    kind: hasRows && offsets.length > 0 ? 'contradicted' : 'edited',
    where: 'journal',
    partition,
    offset: offsets[0] ?? from,
    checkpoint: head.checkpoint,
    what: `Partition ${partition} is not what checkpoint ${head.checkpoint} signed: look at ${where}${hasRows ? ', where journal and history differ from what was signed or from each other' : ' of the journal'}`,
  })
}

function judgeUnsigned(
  { find }: RecordDeps,
  { partition, stretch, carried }: { partition: number; stretch: Stretch; carried: Shifts },
): void {
  tellDifferences(find, { where: 'history', partition, should: stretch.journal, stretch, carried })
}
