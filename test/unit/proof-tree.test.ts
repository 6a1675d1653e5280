import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { emptyRoot, type Hash, leafHash, nodeHash } from '../../shared/proof/hash.ts'
import {
  append,
  consistencyPath,
  emptyFrontier,
  includes,
  inclusionPath,
  isConsistent,
  type Node,
  rootOf,
  subtreesOf,
} from '../../shared/proof/tree.ts'

/** RFC 9162, section 2.1.1, word by word. */
function naiveRoot(leaves: readonly Hash[]): Hash {
  const [only] = leaves
  if (only === undefined) return emptyRoot()
  if (leaves.length === 1) return only
  let split = 1
  while (split * 2 < leaves.length) split *= 2
  return nodeHash(naiveRoot(leaves.slice(0, split)), naiveRoot(leaves.slice(split)))
}

const rangeOf = (leaves: readonly Hash[]) => async (from: number, to: number) => naiveRoot(leaves.slice(from, to))
const leavesOf = (count: number, salt = '') => Array.from({ length: count }, (_, n) => leafHash(`${salt}${n}`))

/** The inputs and roots that implementations of Certificate Transparency are held to. */
const inputs = ['', '00', '10', '2021', '3031', '40414243', '5051525354555657', '606162636465666768696a6b6c6d6e6f'].map(
  hex => leafHash(Buffer.from(hex, 'hex')),
)
const roots = [
  'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
  'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
  'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
  'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
  '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
  'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
  '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
]
const path = (...hashes: readonly string[]) => hashes.map(hash => Buffer.from(hash, 'hex'))

test('roots, inclusion and consistency paths are those of Certificate Transparency', async () => {
  for (const [size, root] of roots.entries()) {
    const tree = append(emptyFrontier, inputs.slice(0, size))
    assert.equal(rootOf(tree).toString('hex'), root, `root of ${size}`)
  }
  // The worked examples: leaf 0 of 8, leaf 5 of 8, leaf 2 of 3; trees of 1 and 6 in 8.
  const range = rangeOf(inputs)
  assert.deepEqual(
    await inclusionPath(range, 0, 8),
    path(
      '96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7',
      '5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e',
      '6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4',
    ),
  )
  assert.deepEqual(
    await inclusionPath(range, 5, 8),
    path(
      'bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b',
      'ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0',
      'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
    ),
  )
  assert.deepEqual(await inclusionPath(range, 2, 3), path(roots[2] as string))
  assert.deepEqual(
    await consistencyPath(range, 1, 8),
    path(
      '96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7',
      '5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e',
      '6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4',
    ),
  )
  assert.deepEqual(
    await consistencyPath(range, 6, 8),
    path(
      '0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a',
      'ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0',
      'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
    ),
  )
})

const seed = Number(process.env['SEED'] ?? Date.now() & 0x7fffffff)
const run = <Values>(t: { diagnostic(text: string): void }, property: fc.IAsyncProperty<Values>) => {
  t.diagnostic(`SEED=${seed}`)
  return fc.assert(property, { seed, numRuns: 150 })
}

test('a tree that grows in any steps has the root of one that is built at once, and its subtrees are told once', async t => {
  await run(
    t,
    fc.asyncProperty(fc.array(fc.nat(40), { maxLength: 8 }), async steps => {
      const all = leavesOf(steps.reduce((sum, step) => sum + step, 0))
      const told: Node[] = []
      let tree = emptyFrontier
      for (const step of steps) tree = append(tree, all.slice(tree.size, tree.size + step), node => told.push(node))
      assert.ok(rootOf(tree).equals(naiveRoot(all)))
      assert.equal(tree.hashes.length, subtreesOf(tree.size))
      const expected = Array.from({ length: 10 }, (_, level) => Math.floor(all.length / 2 ** (level + 1)))
      assert.equal(
        told.length,
        expected.reduce((sum, count) => sum + count, 0),
      )
      for (const { level, index, hash } of told) {
        const width = 2 ** level
        assert.ok(hash.equals(naiveRoot(all.slice(index * width, (index + 1) * width))))
      }
    }),
  )
})

test('every leaf is proved, and no other leaf, place, size, path or root passes for it', async t => {
  await run(
    t,
    fc.asyncProperty(fc.integer({ min: 1, max: 70 }), fc.nat(), fc.nat(), async (size, pick, flip) => {
      const all = leavesOf(size)
      const index = pick % size
      const root = naiveRoot(all)
      const proof = {
        leaf: all[index] as Hash,
        index,
        size,
        path: await inclusionPath(rangeOf(all), index, size),
        root,
      }
      assert.ok(includes(proof))
      assert.ok(!includes({ ...proof, leaf: leafHash('another') }))
      assert.ok(!includes({ ...proof, root: leafHash('another') }))
      for (const other of [index - 1, index + 1, index + size])
        if (other !== index) assert.ok(!includes({ ...proof, index: other }), `as leaf ${other} of ${size}`)
      assert.ok(!includes({ ...proof, path: [...proof.path, leafHash('more')] }))
      if (proof.path.length === 0) return
      assert.ok(!includes({ ...proof, path: proof.path.slice(1) }))
      const bent = proof.path.map(hash => Buffer.from(hash))
      const at = bent[flip % bent.length] as Buffer
      at[flip % 32] = (at[flip % 32] as number) ^ 1
      assert.ok(!includes({ ...proof, path: bent }))
    }),
  )
})

test('a tree is consistent with its own beginnings and with nothing else', async t => {
  await run(
    t,
    fc.asyncProperty(fc.integer({ min: 1, max: 70 }), fc.nat(), fc.nat(), async (newer, pick, change) => {
      const all = leavesOf(newer)
      const older = (pick % newer) + 1
      const proof = {
        older,
        newer,
        olderRoot: naiveRoot(all.slice(0, older)),
        newerRoot: naiveRoot(all),
        path: await consistencyPath(rangeOf(all), older, newer),
      }
      assert.ok(isConsistent(proof))
      const rewritten = all.with(change % older, leafHash('rewritten'))
      const forked = {
        ...proof,
        newerRoot: naiveRoot(rewritten),
        path: await consistencyPath(rangeOf(rewritten), older, newer),
      }
      assert.ok(!isConsistent(forked), 'a past that was rewritten')
      assert.ok(!isConsistent({ ...proof, path: [...proof.path, leafHash('more')] }))
      if (older < newer) assert.ok(!isConsistent({ ...proof, path: proof.path.slice(0, -1) }))
    }),
  )
})
