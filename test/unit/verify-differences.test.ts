import assert from 'node:assert/strict'
import test from 'node:test'
import { differences } from '../../services/cli/proofs/explain.ts'

const should = ['a', 'b', 'c', 'd', 'e', 'f']
const told = (...is: Array<string | undefined>) => differences(should, is).map(({ kind, at }) => `${kind} ${at}`)

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
