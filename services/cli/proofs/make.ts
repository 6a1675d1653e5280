/** Makes a proof out of the stores. It is built from what is kept, so it is checked before it leaves. */
import type { Journal, JournalRecord } from '../../../shared/journal/port.ts'
import { topics } from '../../../shared/journal/topics.ts'
import { readCheckpoint } from '../../../shared/proof/checkpoint.ts'
import { proofVersion, type Proof, type ProvedEvent, tellEvent } from '../../../shared/proof/file.ts'
import { hashText } from '../../../shared/proof/hash.ts'
import { leafOf, leafText } from '../../../shared/proof/leaf.ts'
import { rangeRoots } from '../../../shared/proof/range.ts'
import { inclusionPath, type RangeRoot } from '../../../shared/proof/tree.ts'
import {
  nodeWidth,
  type Queryable,
  readCheckpoints,
  readHeadOver,
  readNodes,
  readTip,
  rootLog,
} from '../../audit/proofs/sql.ts'

type Deps = { readonly db: Queryable; readonly journal: Pick<Journal, 'read'> }
export type At = { readonly partition: number; readonly offset: number }

/** @returns the proof, or in one sentence why there is none */
export async function makeProof(deps: Deps, about: string, places: readonly At[]): Promise<Proof | string> {
  const { tip } = await readTip(deps.db)
  if (tip === undefined) return 'There is no checkpoint yet'
  const events: ProvedEvent[] = []
  for (const place of places) {
    const event = await proveEvent(deps, place, tip.size)
    if (typeof event === 'string') return event
    events.push(event)
  }
  return { holdfastProof: proofVersion, about, checkpoint: tip.note, events }
}

async function proveEvent(deps: Deps, { partition, offset }: At, size: number): Promise<ProvedEvent | string> {
  const head = await readHeadOver(deps.db, { partition, offset })
  if (head === undefined || head.entry >= size)
    return `Offset ${offset} of partition ${partition} is under no checkpoint yet: try again in ten seconds`
  const record = await readOne(deps.journal, { partition, offset })
  if (record === undefined) return `The journal does not have offset ${offset} of partition ${partition} any more`
  const [kept] = await readCheckpoints(deps.db, { after: head.entry, limit: 1 })
  const entry = kept && readCheckpoint(kept.note)?.entry
  if (entry?.index !== head.entry) return `Checkpoint ${head.entry + 1} is missing or broken: run holdfast verify`
  const path = await inclusionPath(partitionRoots(deps, partition), offset, head.size)
  const entryPath = await inclusionPath(logRoots(deps.db), entry.index, size)
  const heads = entry.heads.map(each => ({ ...each, root: hashText(each.root) }))
  return {
    ...tellEvent(leafText(record)),
    partition,
    offset,
    path: path.map(hashText),
    entry: { index: entry.index, time: entry.time, heads },
    entryPath: entryPath.map(hashText),
  }
}

const topic = topics.events.name

async function readOne(journal: Deps['journal'], { partition, offset }: At): Promise<JournalRecord | undefined> {
  for await (const record of journal.read({ topic, partition, fromOffset: offset, toOffset: offset + 1 })) return record
  return undefined
}

const partitionRoots = ({ db, journal }: Deps, partition: number): RangeRoot =>
  rangeRoots({
    width: nodeWidth,
    nodes: (from, to) => readNodes(db, { partition, from, to }),
    async leaves(from, to) {
      const leaves = []
      for await (const record of journal.read({ topic, partition, fromOffset: from, toOffset: to }))
        leaves.push(leafOf(record))
      return leaves
    },
  })

const logRoots = (db: Queryable): RangeRoot =>
  rangeRoots({
    width: nodeWidth,
    nodes: (from, to) => readNodes(db, { partition: rootLog, from, to }),
    leaves: async (from, to) =>
      (await readCheckpoints(db, { after: from, limit: to - from })).flatMap(
        ({ note }) => readCheckpoint(note)?.leaf ?? [],
      ),
  })
