/** Roots over ranges of leaves out of what is kept: whole blocks by their kept roots, the rest leaf by leaf. */
import type { Hash } from './hash.ts'
import { append, emptyFrontier, type RangeRoot, rootOf } from './tree.ts'

export type LeafSource = {
  /** Leaves that a kept root stands for; a power of two. */
  readonly width: number
  /** Kept roots of the blocks `from` to `to` (exclusive) by their index; those that are missing are made of leaves. */
  readonly nodes: (from: number, to: number) => Promise<ReadonlyMap<number, Hash>>
  readonly leaves: (from: number, to: number) => Promise<readonly Hash[]>
}

/**
 * For the ranges that proofs consist of: `from` is a multiple of every subtree in them.
 * @throws what the source throws where it lacks a leaf
 */
export function rangeRoots({ width, nodes, leaves }: LeafSource): RangeRoot {
  return async (from, to) => {
    if (from % width !== 0) return rootOf(append(emptyFrontier, await leaves(from, to)))
    const [first, end] = [from / width, Math.floor(to / width)]
    const kept = first < end ? await nodes(first, end) : new Map<number, Hash>()
    let blocks = emptyFrontier
    for (let block = first; block < end; block += 1) {
      const hash = kept.get(block) ?? rootOf(append(emptyFrontier, await leaves(block * width, (block + 1) * width)))
      blocks = append(blocks, [hash])
    }
    const rest = append(emptyFrontier, end * width < to ? await leaves(Math.max(from, end * width), to) : [])
    return rootOf({ size: to - from, hashes: [...blocks.hashes, ...rest.hashes] })
  }
}
