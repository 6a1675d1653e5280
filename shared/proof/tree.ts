/**
 * The Merkle tree of RFC 9162, section 2.1: what is kept of one that only grows, its root, and proofs of inclusion and
 * of consistency. Pure. Sizes and indexes are safe integers; nothing here shifts bits, which JavaScript does in 32.
 */
import { emptyRoot, type Hash, nodeHash } from './hash.ts'

/**
 * All that is needed to append: the roots of the complete subtrees that the tree consists of, largest first. Their sizes
 * are the powers of two that add up to `size`.
 */
export type Frontier = { readonly size: number; readonly hashes: readonly Hash[] }

export const emptyFrontier: Frontier = { size: 0, hashes: [] }

/** A complete subtree of `2^level` leaves, the `index`-th of its level. */
export type Node = { readonly level: number; readonly index: number; readonly hash: Hash }

/**
 * The tree with more leaves.
 * @param completed told of every subtree of two leaves or more that becomes complete, from small to large
 */
export function append(frontier: Frontier, leaves: readonly Hash[], completed?: (node: Node) => void): Frontier {
  const hashes = [...frontier.hashes]
  let size = frontier.size
  for (const leaf of leaves) {
    hashes.push(leaf)
    size += 1
    for (let count = size, level = 1; count % 2 === 0; count /= 2, level += 1) {
      const right = hashes.pop() as Hash
      const hash = nodeHash(hashes.pop() as Hash, right)
      hashes.push(hash)
      completed?.({ level, index: count / 2 - 1, hash })
    }
  }
  return { size, hashes }
}

export function rootOf({ hashes }: Frontier): Hash {
  const [last, ...larger] = hashes.toReversed()
  return last === undefined ? emptyRoot() : larger.reduce((right, left) => nodeHash(left, right), last)
}

/** How many subtrees a tree of this size consists of: a frontier with another number of hashes is not one. */
export function subtreesOf(size: number): number {
  let count = 0
  for (let rest = size; rest > 0; rest = Math.floor(rest / 2)) count += rest % 2
  return count
}

/** The root over the leaves from `from` to `to` (exclusive), which is what a proof is made of. */
export type RangeRoot = (from: number, to: number) => Promise<Hash>

/** The largest power of two below a number of leaves: where a tree of that size splits. */
const splitOf = (size: number): number => {
  let split = 1
  while (split * 2 < size) split *= 2
  return split
}

/**
 * RFC 9162, section 2.1.3.1: the hashes that lead from a leaf to the root of the tree of the first `size` leaves.
 * @param index below `size`
 */
export async function inclusionPath(range: RangeRoot, index: number, size: number): Promise<Hash[]> {
  const path: Hash[] = []
  let [from, to] = [0, size]
  while (to - from > 1) {
    const middle = from + splitOf(to - from)
    if (index < middle) {
      path.push(await range(middle, to))
      to = middle
    } else {
      path.push(await range(from, middle))
      from = middle
    }
  }
  return path.toReversed()
}

/**
 * RFC 9162, section 2.1.3.2: whether a leaf stands at `index` of the tree of `size` leaves with this root.
 */
export function includes(claim: {
  leaf: Hash
  index: number
  size: number
  path: readonly Hash[]
  root: Hash
}): boolean {
  const { leaf, index, size, path, root } = claim
  if (!Number.isSafeInteger(index) || !Number.isSafeInteger(size) || index < 0 || index >= size) return false
  let [at, last] = [index, size - 1]
  let hash = leaf
  for (const sibling of path) {
    if (last === 0) return false
    if (at % 2 === 1 || at === last) {
      hash = nodeHash(sibling, hash)
      while (at % 2 === 0 && at !== 0) {
        at = Math.floor(at / 2)
        last = Math.floor(last / 2)
      }
    } else {
      hash = nodeHash(hash, sibling)
    }
    at = Math.floor(at / 2)
    last = Math.floor(last / 2)
  }
  return last === 0 && hash.equals(root)
}

/**
 * RFC 9162, section 2.1.4.1: the hashes that show that the tree of `older` leaves is a beginning of the tree of `newer`.
 * @param older from 1 to `newer`
 */
export async function consistencyPath(range: RangeRoot, older: number, newer: number): Promise<Hash[]> {
  const path: Hash[] = []
  let [from, to, whole] = [0, newer, true]
  while (older !== to) {
    const middle = from + splitOf(to - from)
    if (older <= middle) {
      path.push(await range(middle, to))
      to = middle
    } else {
      path.push(await range(from, middle))
      from = middle
      whole = false
    }
  }
  if (!whole) path.push(await range(from, to))
  return path.toReversed()
}

/** RFC 9162, section 2.1.4.2: whether the older tree is a beginning of the newer one. */
export function isConsistent(claim: {
  older: number
  newer: number
  olderRoot: Hash
  newerRoot: Hash
  path: readonly Hash[]
}): boolean {
  const { older, newer, olderRoot, newerRoot } = claim
  if (!Number.isSafeInteger(older) || !Number.isSafeInteger(newer) || older < 1 || older > newer) return false
  if (older === newer) return claim.path.length === 0 && olderRoot.equals(newerRoot)
  const path = isPowerOfTwo(older) ? [olderRoot, ...claim.path] : [...claim.path]
  const [first, ...rest] = path
  if (first === undefined || claim.path.length === 0) return false
  let [at, last] = [older - 1, newer - 1]
  while (at % 2 === 1) {
    at = Math.floor(at / 2)
    last = Math.floor(last / 2)
  }
  let [was, is] = [first, first]
  for (const sibling of rest) {
    if (last === 0) return false
    if (at % 2 === 1 || at === last) {
      was = nodeHash(sibling, was)
      is = nodeHash(sibling, is)
      while (at % 2 === 0 && at !== 0) {
        at = Math.floor(at / 2)
        last = Math.floor(last / 2)
      }
    } else {
      is = nodeHash(is, sibling)
    }
    at = Math.floor(at / 2)
    last = Math.floor(last / 2)
  }
  return last === 0 && was.equals(olderRoot) && is.equals(newerRoot)
}

const isPowerOfTwo = (size: number) => subtreesOf(size) === 1
