/**
 * Makes checkpoints: at the latest every `intervalMs`, also when nothing happened, and as soon as `events` records have
 * come, at most one a tick. Any number of processes run this. The one that made the newest goes on, the others wait until it
 * is late; who is right is decided by the primary key of `checkpoints`, so two that try make one.
 *
 * What can break, and why no checkpoint contradicts another:
 * - killed before the statement: nothing was said; the next one is made of what is there then.
 * - killed after it, or its reply is lost: the checkpoint stands; whoever goes on reads it back and publishes it.
 * - another process was faster: what was signed here is thrown away and has never left this process.
 * - a place is away: it is caught up later, and named until then (`publish.ts`).
 * - the database forgot checkpoints: they are taken back from the places first (`adopt.ts`).
 * - the journal lacks or changed what was signed: nothing more is signed, and the reason is told.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { CorruptionError } from '../../../shared/errors.ts'
import type { Journal, PartitionEnds } from '../../../shared/journal/port.ts'
import { topics } from '../../../shared/journal/topics.ts'
import { crashPoint } from '../../../shared/process/crash-point.ts'
import { signCheckpoint } from '../../../shared/proof/checkpoint.ts'
import { type Entry, entryLeaf, entryText, type Head } from '../../../shared/proof/entry.ts'
import type { SigningKey } from '../../../shared/proof/note.ts'
import { append, emptyFrontier, type Frontier, rootOf } from '../../../shared/proof/tree.ts'
import type { Log } from '../log.ts'
import { adoptForgotten } from './adopt.ts'
import type { Place } from './places/place.ts'
import { createPublisher, type Publisher } from './publish.ts'
import { enterCheckpoint, type KeptNode, nodeLevel, type Queryable, readTip, rootLog, type Tip } from './sql.ts'
import { growTree, headOf, loadTrees, type Trees } from './trees.ts'

export type CheckpointerDeps = {
  readonly db: Queryable
  readonly journal: Pick<Journal, 'read' | 'ends'>
  /** The newest first: all sign. */
  readonly keys: readonly [SigningKey, ...SigningKey[]]
  readonly places: readonly Place[]
  /** This process, new at every start. */
  readonly maker: string
  readonly log: Log
}

export type CheckpointerOptions = {
  /** Longest time between two checkpoints, milliseconds. */
  readonly intervalMs: number
  /** So many records without one are enough for the next. */
  readonly events: number
  /** How often is looked; the shortest time between two checkpoints. */
  readonly tickMs: number
  /** How late the maker may be before another goes on in its place. */
  readonly lateMs: number
  /** Most records of one partition in one checkpoint: a log that begins over a large journal does so in steps. */
  readonly most: number
}

export const checkpointDefaults: CheckpointerOptions = {
  intervalMs: 10_000,
  events: 1_000,
  tickMs: 1_000,
  lateMs: 5_000,
  most: 50_000,
}

export type Checkpointer = {
  /** Why no checkpoint can be made, while none can. */
  failing(): string | undefined
  readonly publishers: readonly Publisher[]
  /** Of the newest checkpoint by any process, milliseconds; undefined before one was seen. */
  newestAt(): number | undefined
  /** Makes a last one, publishes it, ends. */
  stop(): Promise<void>
}

/** After a fault that only a person can mend, looking again is dear: trees are made anew from the journal. */
const corruptPauseMs = 60_000

export function startCheckpointer(
  deps: CheckpointerDeps,
  options: CheckpointerOptions = checkpointDefaults,
): Checkpointer {
  const { db, journal, keys, places, maker, log } = deps
  const publishers = places.map(place => createPublisher({ db, log }, place))
  const stopping = new AbortController()
  let trees: Trees | undefined
  let failure: string | undefined
  let newestAt: number | undefined

  /** @returns the pause until the next look */
  const tick = async (isLast: boolean): Promise<number> => {
    const { nowMs, tip } = await readTip(db)
    newestAt = tip?.timeMs
    const ageMs = tip === undefined ? Number.POSITIVE_INFINITY : nowMs - tip.timeMs
    if (tip !== undefined && tip.maker !== maker && ageMs < options.intervalMs + options.lateMs) {
      trees = undefined
      return options.tickMs
    }
    if (trees === undefined || trees.log.size !== (tip?.size ?? 0)) {
      if (isLast) return 0
      await adoptForgotten({ db, places, trusted: keys.map(key => key.verifier), maker, log })
      const { tip: adopted } = await readTip(db)
      trees = await loadTrees({ db, journal }, adopted)
      if (adopted?.size !== tip?.size) return 0
    }
    refuseOtherOrigin(tip, keys[0])
    const ends = await journal.ends(topics.events.name)
    const waiting = countWaiting(trees, ends)
    if (ageMs >= options.intervalMs || waiting >= options.events || (isLast && waiting > 0)) {
      const made = await makeCheckpoint(deps, { trees, ends, nowMs, tip, most: options.most })
      trees = made?.trees
      newestAt = made?.timeMs ?? newestAt
    }
    await Promise.all(publishers.map(publisher => publisher.publish()))
    return trees === undefined || countWaiting(trees, ends) >= options.events ? 0 : options.tickMs
  }

  const tryTick = async (isLast = false): Promise<number> => {
    try {
      const pauseMs = await tick(isLast)
      if (failure !== undefined) log.info('checkpoints are made again')
      failure = undefined
      return pauseMs
    } catch (error) {
      trees = undefined
      const reason = error instanceof Error ? error.message : String(error)
      const isCorrupt = error instanceof CorruptionError
      if (reason !== failure)
        log[isCorrupt ? 'error' : 'warn'](
          { err: error },
          isCorrupt
            ? 'no checkpoint is made: what was signed is not what is there'
            : 'no checkpoint could be made; trying again',
        )
      failure = reason
      return isCorrupt ? corruptPauseMs : options.tickMs
    }
  }

  const run = async () => {
    while (!stopping.signal.aborted) {
      const pauseMs = await tryTick()
      await sleep(pauseMs, undefined, { signal: stopping.signal }).catch(() => {})
    }
  }
  const running = run()
  let stopped: Promise<void> | undefined
  const stop = async () => {
    stopping.abort()
    await running
    await tryTick(true)
  }

  return {
    failing: () => failure,
    publishers,
    newestAt: () => newestAt,
    stop: () => (stopped ??= stop()),
  }
}

function countWaiting({ partitions }: Trees, ends: readonly PartitionEnds[]): number {
  let count = 0
  for (const { partition, end } of ends) {
    const size = partitions.get(partition)?.size ?? 0
    if (end < size)
      throw new CorruptionError(
        `${topics.events.name}/${partition} ends at ${end}, and ${size} records of it are signed: the journal was cut or rolled back`,
      )
    count += end - size
  }
  return count
}

/** A log is named by its key; going on under another name would leave the old one without an end. */
function refuseOtherOrigin(tip: Tip | undefined, { verifier }: SigningKey): void {
  const origin = tip?.note.split('\n', 1)[0]
  if (origin !== undefined && origin !== verifier.name)
    throw new CorruptionError(
      `the log here is ${origin}, and the signing key is of ${verifier.name}: restore the key of this log, or make a further one (holdfast signing-key create --log ${origin}) and give out its public key`,
    )
}

/** @returns what is true now; undefined when another process made this checkpoint */
async function makeCheckpoint(
  deps: CheckpointerDeps,
  now: { trees: Trees; ends: readonly PartitionEnds[]; nowMs: number; tip: Tip | undefined; most: number },
): Promise<{ trees: Trees; timeMs: number } | undefined> {
  const { db, keys, maker } = deps
  const { trees, nowMs, tip } = now
  const { partitions, nodes, heads } = await growAll(deps.journal, now)
  const timeMs = Math.max(nowMs, tip?.timeMs ?? 0)
  const entry: Entry = { index: trees.log.size, time: new Date(timeMs).toISOString(), heads }
  const log = append(trees.log, [entryLeaf(entryText(entry))], ({ level, index, hash }) => {
    if (level === nodeLevel) nodes.push({ partition: rootLog, index, hash })
  })
  const note = signCheckpoint({ root: rootOf(log), entry }, keys)
  crashPoint('checkpoint.signed')
  const frontiers = new Map([[rootLog, log], ...heads.map(head => changed(partitions, head))])
  const entered = await enterCheckpoint(db, { entry, note, maker, frontiers, nodes })
  crashPoint('checkpoint.entered')
  return entered ? { trees: { log, partitions }, timeMs } : undefined
}

const changed = (partitions: ReadonlyMap<number, Frontier>, { partition }: Head): [number, Frontier] => [
  partition,
  partitions.get(partition) ?? emptyFrontier,
]

async function growAll(
  journal: Pick<Journal, 'read'>,
  { trees, ends, most }: { trees: Trees; ends: readonly PartitionEnds[]; most: number },
): Promise<{ partitions: Map<number, Frontier>; nodes: KeptNode[]; heads: Head[] }> {
  const partitions = new Map(trees.partitions)
  const nodes: KeptNode[] = []
  const heads: Head[] = []
  for (const { partition, end } of ends.toSorted((a, b) => a.partition - b.partition)) {
    const tree = partitions.get(partition) ?? emptyFrontier
    if (end <= tree.size) continue
    const grown = await growTree(journal, { partition, tree, to: Math.min(end, tree.size + most) })
    partitions.set(partition, grown.tree)
    nodes.push(...grown.nodes)
    heads.push(headOf(partition, grown.tree))
  }
  return { partitions, nodes, heads }
}
