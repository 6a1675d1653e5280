import assert from 'node:assert/strict'
import test from 'node:test'
import { differences, nothingCarried } from '../../services/cli/proofs/explain.ts'

const should = ['a', 'b', 'c', 'd', 'e', 'f']
const told = (...is: Array<string | undefined>) => differences(should, is).found.map(({ kind, at }) => `${kind} ${at}`)

test('what was done to a sequence is told once, at the place where it was done', () => {
  assert.deepEqual(told(...should), [])
  assert.deepEqual(told('a', 'b', 'x', 'd', 'e', 'f'), ['edited 2'])
  assert.deepEqual(told('x', 'b', 'c', 'd', 'e', 'y'), ['edited 0', 'edited 5'])
  assert.deepEqual(told('a', 'b', undefined, 'd', 'e', 'f'), ['deleted 2'], 'a hole')
  assert.deepEqual(told('a', 'b', 'd', 'e', 'f'), ['deleted 2'], 'closed up')
  assert.deepEqual(told('a', 'b', 'd', 'e', 'f', 'next'), ['deleted 2'], 'closed up, with what follows in sight')
  assert.deepEqual(told('a', 'b', 'x', 'c', 'd', 'e', 'f'), ['inserted 2'])
  assert.deepEqual(told('a', 'b', 'x', 'c', 'd', 'e'), ['inserted 2'], 'with the end out of sight')
  assert.deepEqual(told('a', 'c', 'b', 'd', 'e', 'f'), ['reordered 1', 'reordered 2'])
  assert.deepEqual(told('a', 'e', 'c', 'd', 'b', 'f'), ['reordered 1', 'reordered 4'])
  assert.deepEqual(told('a', 'b', 'c', undefined, undefined, undefined), ['deleted 3', 'deleted 4', 'deleted 5'])
})

test('a shift goes on into the next stretch without being told again, wherever the stretches end', () => {
  const leaves = [...'abcdefghijklmnop']
  const inserted = leaves.toSpliced(5, 0, 'x')
  const deleted = leaves.toSpliced(5, 1)
  const swapped = leaves.with(5, 'g').with(6, 'f')
  for (let width = 1; width <= leaves.length; width += 1) {
    const toldInStretches = (is: readonly string[]) => {
      let carried = nothingCarried
      const told: string[] = []
      for (let from = 0; from < leaves.length; from += width) {
        const to = Math.min(from + width, leaves.length)
        const isLast = to === leaves.length
        const judged = differences(leaves.slice(from, to), is.slice(from, to), carried, isLast)
        told.push(...judged.found.map(({ kind, at }) => `${kind} ${from + at}`))
        carried = judged.carried
      }
      return told
    }
    assert.deepEqual(toldInStretches(inserted), ['inserted 5'], `inserted, stretches of ${width}`)
    assert.deepEqual(toldInStretches(deleted), ['deleted 5'], `deleted, stretches of ${width}`)
    assert.deepEqual(toldInStretches(leaves.with(5, 'x')), ['edited 5'], `edited, stretches of ${width}`)
    assert.deepEqual(toldInStretches(swapped).length, 2, `swapped, stretches of ${width}`)
  }
})
