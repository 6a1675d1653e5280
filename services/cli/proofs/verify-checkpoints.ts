/**
 * Holds every place's checkpoints against each other and against their own chain: each is signed, each continues the one
 * before, and no two of a size differ. What is missing in one place is taken from another.
 */
import { openCheckpoint, readCheckpoint, type Checkpoint } from '../../../shared/proof/checkpoint.ts'
import type { Head } from '../../../shared/proof/entry.ts'
import type { VerifierKey } from '../../../shared/proof/note.ts'
import { append, emptyFrontier, type Frontier, rootOf } from '../../../shared/proof/tree.ts'
import type { Kept } from '../../audit/proofs/sql.ts'
import type { Finding } from './finding.ts'

export type Source = {
  readonly name: string
  /** The one that decides which checkpoints there are. */
  readonly isDatabase?: boolean
  after(size: number, limit: number): Promise<Kept[]>
}

export type SignedHead = Head & { readonly checkpoint: number }

export type Signed = {
  /** By partition, in the order of their sizes. */
  readonly heads: ReadonlyMap<number, readonly SignedHead[]>
  readonly newest: { readonly size: number; readonly time: string } | undefined
  readonly checkpoints: number
}

type Options = {
  readonly trusted: readonly VerifierKey[]
  readonly nowMs: number
  readonly overdueMs: number
  readonly find: (finding: Finding) => void
}

const page = 1_000

export async function verifyCheckpoints(sources: readonly Source[], options: Options): Promise<Signed> {
  const readers = sources.map(source => createReader(source))
  const walk = createWalk(options)
  const lasts = new Map<string, number>()
  for (;;) {
    await Promise.all(readers.map(reader => reader.fill()))
    const size = Math.min(...readers.map(reader => reader.next()))
    if (!Number.isFinite(size)) break
    const told = readers.map(reader => ({ source: reader.source, notes: reader.take(size) }))
    for (const { source, notes } of told) {
      if (notes.length === 0) continue
      tellHole(source, lasts.get(source.name) ?? 0, size, options)
      lasts.set(source.name, size)
    }
    walk.step(size, told)
  }
  const signed = walk.end()
  for (const source of sources) tellEnd(source, lasts.get(source.name) ?? 0, signed, walk.timeOf, options)
  return signed
}

/** Notes of one source in the order of their sizes; of one size there may be several. */
function createReader(source: Source) {
  let waiting: Kept[] = []
  let after = 0
  let isOver = false
  return {
    source,
    async fill() {
      if (waiting.length > 0 || isOver) return
      waiting = await source.after(after, page)
      isOver = waiting.length < page
      // A page may end between two notes of one size: it is read to the end of the size before.
      const last = waiting.at(-1)?.size
      if (!isOver && last !== undefined && waiting[0]?.size !== last)
        waiting = waiting.filter(({ size }) => size !== last)
      after = waiting.at(-1)?.size ?? after
    },
    next: () => waiting[0]?.size ?? Number.POSITIVE_INFINITY,
    take(size: number): string[] {
      const count = waiting.findIndex(each => each.size !== size)
      return waiting.splice(0, count === -1 ? waiting.length : count).map(({ note }) => note)
    },
  }
}

type Told = ReadonlyArray<{ readonly source: Source; readonly notes: readonly string[] }>

function createWalk({ trusted, find }: Options) {
  const heads = new Map<number, SignedHead[]>()
  const times = new Map<number, number>()
  let log: Frontier | undefined = emptyFrontier
  let newest: Signed['newest']
  let count = 0

  const judge = (size: number, source: Source, note: string): { checkpoint: Checkpoint; note: string } | undefined => {
    const about = { where: source.name, checkpoint: size }
    const opened = openCheckpoint(note, trusted)
    if (!('refused' in opened) && opened.size === size) return { checkpoint: opened, note }
    if (!('refused' in opened))
      find({ kind: 'reordered', ...about, what: `Checkpoint ${opened.size} stands in the place of checkpoint ${size}` })
    else if (opened.refused === 'untrusted')
      find({
        kind: 'wrong_key',
        ...about,
        what: `Checkpoint ${size} is signed by ${opened.signedBy.join(' and ')}, which is not trusted`,
      })
    else if (opened.refused === 'malformed')
      find({ kind: 'edited', ...about, what: `Checkpoint ${size} is broken: it cannot be read` })
    else find({ kind: 'edited', ...about, what: `Checkpoint ${size} was changed after it was signed` })
    return undefined
  }

  const step = (size: number, told: Told) => {
    // Told for each place already; without it the roots behind cannot be made.
    if (size !== (newest?.size ?? 0) + 1) log = undefined
    const valid = told.flatMap(({ source, notes }) =>
      notes.flatMap(note => {
        const judged = judge(size, source, note)
        return judged ? [{ source, ...judged }] : []
      }),
    )
    const other = valid.find(({ checkpoint }) => !checkpoint.root.equals(valid[0]!.checkpoint.root))
    if (other)
      find({
        kind: 'forked',
        where: other.source.name,
        checkpoint: size,
        what: `Checkpoint ${size} is signed twice with different contents: in ${valid[0]!.source.name} and in ${other.source.name}`,
      })
    const chosen = valid[0]?.checkpoint ?? readAny(told)
    count += 1
    if (chosen === undefined) {
      log = undefined
      newest = { size, time: newest?.time ?? '' }
      return
    }
    accept(size, chosen, valid.length > 0 ? valid[0]!.source.name : 'every place')
  }

  const accept = (size: number, checkpoint: Checkpoint, where: string) => {
    if (log !== undefined) {
      log = append(log, [checkpoint.leaf])
      if (!rootOf(log).equals(checkpoint.root)) {
        find({
          kind: 'forked',
          where,
          checkpoint: size,
          what: `Checkpoint ${size} signs another past than the checkpoints before it`,
        })
        log = undefined
      }
    }
    if (newest !== undefined && checkpoint.entry.time < newest.time)
      find({ kind: 'edited', where, checkpoint: size, what: `Checkpoint ${size} is older than the one before it` })
    newest = { size, time: checkpoint.entry.time }
    times.set(size, Date.parse(checkpoint.entry.time))
    for (const head of checkpoint.entry.heads) {
      const known = heads.get(head.partition) ?? []
      heads.set(head.partition, known)
      const last = known.at(-1)
      if (last !== undefined && head.size <= last.size)
        find({
          kind: 'forked',
          where,
          checkpoint: size,
          what: `Checkpoint ${size} signs fewer records of partition ${head.partition} than checkpoint ${last.checkpoint}`,
        })
      else known.push({ ...head, checkpoint: size })
    }
  }

  return {
    step,
    timeOf: (size: number) => times.get(size),
    end: (): Signed => ({ heads, newest, checkpoints: count }),
  }
}

/** Where nobody's signature holds, what is said still tells which records to look at. */
const readAny = (told: Told): Checkpoint | undefined =>
  told.flatMap(({ notes }) => notes.flatMap(note => readCheckpoint(note) ?? []))[0]

function tellHole(source: Source, last: number, next: number, { find }: Options): void {
  if (next <= last + 1) return
  const [from, to] = [last + 1, next - 1]
  const what = from === to ? `Checkpoint ${from} is missing` : `Checkpoints ${from} to ${to} are missing`
  find({
    kind: 'deleted',
    where: source.name,
    checkpoint: from,
    what: `${what} in ${source.name}, which has later ones`,
  })
}

/** A place that lacks the newest is behind for a while, and then it is told. */
function tellEnd(
  source: Source,
  last: number,
  { newest }: Signed,
  timeOf: (size: number) => number | undefined,
  { nowMs, overdueMs, find }: Options,
): void {
  if (newest === undefined || last >= newest.size) return
  const missingSince = timeOf(last + 1) ?? 0
  if (source.isDatabase)
    return find({
      kind: 'rolled_back',
      where: source.name,
      checkpoint: last,
      what: `The database ends at checkpoint ${last}, and checkpoint ${newest.size} was published: it is an older copy, or checkpoints were deleted from it`,
    })
  if (nowMs - missingSince > overdueMs)
    find({
      kind: 'truncated',
      where: source.name,
      checkpoint: last,
      what: `${source.name} ends at checkpoint ${last}, and there are ${newest.size}`,
    })
}
