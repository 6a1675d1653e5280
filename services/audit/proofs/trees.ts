/** The trees of the journal's partitions and of the root log, as far as they are signed: read back, and grown. */
import { setImmediate } from 'node:timers/promises'
import { CorruptionError } from '../../../shared/errors.ts'
import type { Journal } from '../../../shared/journal/port.ts'
import { topics } from '../../../shared/journal/topics.ts'
import { type Checkpoint, readCheckpoint } from '../../../shared/proof/checkpoint.ts'
import type { Head } from '../../../shared/proof/entry.ts'
import type { Hash } from '../../../shared/proof/hash.ts'
import { leafOf } from '../../../shared/proof/leaf.ts'
import { append, emptyFrontier, type Frontier, rootOf, subtreesOf } from '../../../shared/proof/tree.ts'
import {
  type KeptNode,
  nodeLevel,
  type Queryable,
  readCheckpoints,
  readFrontiers,
  readHeads,
  rootLog,
  type Tip,
} from './sql.ts'

export type Trees = { readonly log: Frontier; readonly partitions: ReadonlyMap<number, Frontier> }

export const noTrees: Trees = { log: emptyFrontier, partitions: new Map() }

type Deps = { readonly db: Queryable; readonly journal: Pick<Journal, 'read' | 'ends'> }

/**
 * The trees as the newest checkpoint signed them. Kept frontiers are believed only as far as they have the signed roots;
 * any other is made again from the journal.
 * @throws CorruptionError when the journal or the checkpoints are not what was signed
 */
export async function loadTrees(deps: Deps, tip: Tip | undefined): Promise<Trees> {
  if (tip === undefined) return noTrees
  const log = await loadLog(deps.db, tip)
  const frontiers = await readFrontiers(deps.db)
  const partitions = new Map<number, Frontier>()
  for (const [partition, head] of await readHeads(deps.db))
    partitions.set(partition, await treeOf(deps, head, frontiers.get(partition)))
  return { log, partitions }
}

/** The root log as its newest checkpoint signed it. */
export async function loadLog(db: Queryable, tip: Tip | undefined): Promise<Frontier> {
  if (tip === undefined) return emptyFrontier
  const signed = readCheckpoint(tip.note)
  if (signed?.size !== tip.size)
    throw new CorruptionError(`checkpoint ${tip.size} in the database cannot be read: it was changed behind Holdfast`)
  return logOf(db, signed, (await readFrontiers(db)).get(rootLog))
}

const has = (frontier: Frontier | undefined, size: number, root: Hash): frontier is Frontier =>
  frontier !== undefined &&
  frontier.size === size &&
  frontier.hashes.length === subtreesOf(size) &&
  rootOf(frontier).equals(root)

const page = 1_000

async function logOf(db: Queryable, signed: Checkpoint, kept: Frontier | undefined): Promise<Frontier> {
  if (has(kept, signed.size, signed.root)) return kept
  let log = emptyFrontier
  while (log.size < signed.size) {
    const found = await readCheckpoints(db, { after: log.size, limit: page })
    const leaves = found.map(({ size, note }, index) => {
      const checkpoint = readCheckpoint(note)
      if (checkpoint === undefined || checkpoint.size !== size || size !== log.size + index + 1)
        throw new CorruptionError(`checkpoint ${log.size + index + 1} in the database is missing or was changed`)
      return checkpoint.leaf
    })
    if (leaves.length === 0) throw new CorruptionError(`checkpoint ${log.size + 1} in the database is missing`)
    log = append(log, leaves)
  }
  if (!has(log, signed.size, signed.root))
    throw new CorruptionError('the checkpoints in the database are not those that were signed')
  return log
}

async function treeOf(deps: Deps, { partition, size, root }: Head, kept: Frontier | undefined): Promise<Frontier> {
  if (has(kept, size, root)) return kept
  const made = await growTree(deps.journal, { partition, tree: emptyFrontier, to: size })
  if (!has(made.tree, size, root))
    throw new CorruptionError(
      `the first ${size} records of ${topics.events.name}/${partition} are not those that were signed`,
    )
  return made.tree
}

/**
 * A tree with the leaves of more records.
 * @param to the size it shall have
 * @throws CorruptionError when the journal does not have one of them
 */
export async function growTree(
  journal: Pick<Journal, 'read'>,
  { partition, tree, to }: { partition: number; tree: Frontier; to: number },
): Promise<{ tree: Frontier; nodes: KeptNode[] }> {
  const nodes: KeptNode[] = []
  let leaves: Hash[] = []
  let grown = tree
  const flush = () => {
    grown = append(grown, leaves, ({ level, index, hash }) => {
      if (level === nodeLevel) nodes.push({ partition, index, hash })
    })
    leaves = []
  }
  if (tree.size >= to) return { tree, nodes }
  for await (const record of journal.read({
    topic: topics.events.name,
    partition,
    fromOffset: tree.size,
    toOffset: to,
  })) {
    if (record.offset !== grown.size + leaves.length) break
    leaves.push(leafOf(record))
    // Hashing takes a few microseconds each: others get their turn in between.
    if (leaves.length === page) {
      flush()
      await setImmediate()
    }
  }
  flush()
  if (grown.size < to)
    throw new CorruptionError(`the journal does not have offset ${grown.size} of ${topics.events.name}/${partition}`)
  return { tree: grown, nodes }
}

export const headOf = (partition: number, tree: Frontier): Head => ({ partition, size: tree.size, root: rootOf(tree) })
