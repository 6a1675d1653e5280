/**
 * An entry of the root log: how far the trees of the journal's partitions had grown at one time. Its leaf is RFC 8785
 * JSON. Only what grew since the entry before stands in it; an entry without heads says that nothing happened.
 */
import { hashText, type Hash, leafHash, readHash } from './hash.ts'

/** The tree of one partition: so many records, this root. */
export type Head = { readonly partition: number; readonly size: number; readonly root: Hash }

export type Entry = {
  /** Its place in the root log, from 0. */
  readonly index: number
  /** ISO 8601, the database's clock; never before that of the entry before. */
  readonly time: string
  /** In the order of their partitions. */
  readonly heads: readonly Head[]
}

/** Names in the order that RFC 8785 gives them. */
export function entryText({ index, time, heads }: Entry): string {
  const told = heads.map(({ partition, size, root }) => ({ partition, root: hashText(root), size }))
  return JSON.stringify({ heads: told, index, time })
}

export const entryLeaf = (text: string): Hash => leafHash(text)

/** @returns undefined for what is not an entry written as `entryText` writes it */
export function readEntry(text: string): Entry | undefined {
  const entry = entryOf(parse(text))
  return entry && entryText(entry) === text ? entry : undefined
}

/** The same from its JSON. */
export function entryOf(value: unknown): Entry | undefined {
  const { heads, index, time } = (value ?? {}) as Record<string, unknown>
  if (!isCount(index) || typeof time !== 'string' || Number.isNaN(Date.parse(time)) || !Array.isArray(heads))
    return undefined
  const read = heads.map(headOf)
  const isOrdered = read.every(
    (head, at) => head !== undefined && (at === 0 || read[at - 1]!.partition < head.partition),
  )
  return isOrdered ? { index, time, heads: read as Head[] } : undefined
}

function headOf(value: unknown): Head | undefined {
  const { partition, size, root } = (value ?? {}) as Record<string, unknown>
  const hash = readHash(root)
  return isCount(partition) && isCount(size) && hash ? { partition, size, root: hash } : undefined
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
