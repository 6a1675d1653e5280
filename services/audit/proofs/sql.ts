/** Statements over the root log (`infra/postgres`, tables checkpoints and tree_*), one each. */
import type pg from 'pg'
import { type Hash } from '../../../shared/proof/hash.ts'
import type { Frontier } from '../../../shared/proof/tree.ts'
import type { Entry, Head } from '../../../shared/proof/entry.ts'

export type Queryable = Pick<pg.Pool, 'query'>

/** A checkpoint as it is kept and published. */
export type Kept = { readonly size: number; readonly note: string }

/** The root log's number among the trees. */
export const rootLog = -1
/** A kept node stands for `2^nodeLevel` leaves. */
export const nodeLevel = 8
export const nodeWidth = 2 ** nodeLevel

export type Tip = Kept & { readonly timeMs: number; readonly maker: string }

/** The newest checkpoint, and the database's time. */
export async function readTip(db: Queryable): Promise<{ nowMs: number; tip: Tip | undefined }> {
  const { rows } = await db.query<
    { now: number } & { size: number | null; note: string; time_ms: number; maker: string }
  >({
    name: 'checkpoint_tip',
    text: `select now_ms() as now, c.* from (select 1) one
      left join lateral (select size, note, time_ms, maker from checkpoints order by size desc limit 1) c on true`,
  })
  const [{ now, size, note, time_ms: timeMs, maker }] = rows as [(typeof rows)[0]]
  return { nowMs: now, tip: size === null ? undefined : { size, note, timeMs, maker } }
}

/** Checkpoints above a size, in order. */
export async function readCheckpoints(
  db: Queryable,
  { after, limit }: { after: number; limit: number },
): Promise<Kept[]> {
  const { rows } = await db.query<Kept>({
    name: 'checkpoints_after',
    text: 'select size, note from checkpoints where size > $1 order by size limit $2',
    values: [after, limit],
  })
  return rows
}

/** What is needed to go on, by tree. */
export async function readFrontiers(db: Queryable): Promise<Map<number, Frontier>> {
  const { rows } = await db.query<{ partition: number; size: number; hashes: Buffer }>({
    name: 'tree_frontiers',
    text: 'select partition, size, hashes from tree_frontiers',
  })
  return new Map(rows.map(({ partition, size, hashes }) => [partition, { size, hashes: split(hashes) }]))
}

/** The newest head of every tree that has one. */
export async function readHeads(db: Queryable): Promise<Map<number, Head>> {
  const { rows } = await db.query<Head>({
    name: 'tree_heads',
    text: 'select distinct on (partition) partition, size, root from tree_heads order by partition, size desc',
  })
  return new Map(rows.map(head => [head.partition, head]))
}

/** The first head over a record: its entry is the earliest that vouches for it. */
export async function readHeadOver(
  db: Queryable,
  { partition, offset }: { partition: number; offset: number },
): Promise<(Head & { entry: number }) | undefined> {
  const { rows } = await db.query<Head & { entry: number }>({
    name: 'tree_head_over',
    text: `select partition, size, root, entry from tree_heads where partition = $1 and size > $2
      order by size limit 1`,
    values: [partition, offset],
  })
  return rows[0]
}

/** Kept nodes of a tree, by their index: the roots of its subtrees of `nodeWidth` leaves. */
export async function readNodes(
  db: Queryable,
  { partition, from, to }: { partition: number; from: number; to: number },
): Promise<Map<number, Hash>> {
  const { rows } = await db.query<{ index: number; hash: Buffer }>({
    name: 'tree_nodes',
    text: 'select index, hash from tree_nodes where partition = $1 and index >= $2 and index < $3 order by index',
    values: [partition, from, to],
  })
  return new Map(rows.map(({ index, hash }) => [index, hash]))
}

export type KeptNode = { readonly partition: number; readonly index: number; readonly hash: Hash }

const enterText = `
with entered as (
  insert into checkpoints (size, note, time_ms, maker) values ($1, $2, $3, $4) on conflict do nothing returning size
), headed as (
  insert into tree_heads (partition, size, entry, root)
  select h.partition, h.size, $1 - 1, h.root from unnest($5::int[], $6::bigint[], $7::bytea[]) as h (partition, size, root)
  where exists (select from entered)
  on conflict do nothing
), grown as (
  insert into tree_frontiers as t (partition, size, hashes)
  select f.partition, f.size, f.hashes from unnest($8::int[], $9::bigint[], $10::bytea[]) as f (partition, size, hashes)
  where exists (select from entered)
  on conflict (partition) do update set size = excluded.size, hashes = excluded.hashes
), noded as (
  insert into tree_nodes (partition, index, hash)
  select n.partition, n.index, n.hash from unnest($11::int[], $12::bigint[], $13::bytea[]) as n (partition, index, hash)
  where exists (select from entered)
  on conflict do nothing
)
select size from entered`

/**
 * Enters a checkpoint with everything that goes with it.
 * @returns false when somebody else entered one of this size: then nothing was done
 */
export async function enterCheckpoint(
  db: Queryable,
  input: {
    entry: Entry
    note: string
    maker: string
    /** Trees as they are now; absent where they are made again from the journal. */
    frontiers: ReadonlyMap<number, Frontier>
    nodes: readonly KeptNode[]
  },
): Promise<boolean> {
  const { entry, note, maker, nodes } = input
  const frontiers = [...input.frontiers]
  const { rowCount } = await db.query({
    name: 'checkpoint_enter',
    text: enterText,
    values: [
      entry.index + 1,
      note,
      Date.parse(entry.time),
      maker,
      entry.heads.map(({ partition }) => partition),
      entry.heads.map(({ size }) => size),
      entry.heads.map(({ root }) => root),
      frontiers.map(([partition]) => partition),
      frontiers.map(([, { size }]) => size),
      frontiers.map(([, { hashes }]) => Buffer.concat(hashes)),
      nodes.map(({ partition }) => partition),
      nodes.map(({ index }) => index),
      nodes.map(({ hash }) => hash),
    ],
  })
  return rowCount === 1
}

const split = (bytes: Buffer): Hash[] =>
  Array.from({ length: Math.floor(bytes.length / 32) }, (_, index) => bytes.subarray(index * 32, (index + 1) * 32))
