import assert from 'node:assert/strict'
import test from 'node:test'
import { decodeTime } from 'ulid'
import { createIds } from '../../shared/process/ids.ts'

test("an id carries the time of the clock that is given, not the process's own", () => {
  let now = 1_700_000_000_000
  const ids = createIds({ now: () => now })
  assert.equal(decodeTime(ids.ulid()), now)
  now += 5
  assert.equal(decodeTime(ids.ulid()), now)
})

test('ids sort in the order they were made, also when the clock goes back', () => {
  const times = [1000, 1000, 900, 1001, 1]
  const ids = createIds({ now: () => times.shift() ?? 1 })
  const made = Array.from({ length: 5 }, () => ids.ulid())
  assert.deepEqual(made, made.toSorted())
  assert.equal(new Set(made).size, 5)
})
