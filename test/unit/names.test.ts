import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { maxNameLength, namesOfAll, namesOfServer } from '../../services/front/names.ts'

test('a short plain name is shown as server__tool and found again', () => {
  const table = namesOfAll([{ server: 'bank-1', tool: 'transfer' }])
  assert.equal(table.nameOf({ server: 'bank-1', tool: 'transfer' }), 'bank-1__transfer')
  assert.deepEqual(table.toolOf('bank-1__transfer'), { server: 'bank-1', tool: 'transfer' })
  assert.equal(table.toolOf('bank-1__other'), undefined)
  assert.equal(table.nameOf({ server: 'bank-1', tool: 'other' }), undefined)
})

test('a long name is cut and ends in six digits of its hash', () => {
  const table = namesOfAll([
    { server: 'files', tool: `${'a'.repeat(60)}1` },
    { server: 'files', tool: `${'a'.repeat(60)}2` },
    { server: 'files', tool: 'b'.repeat(maxNameLength - 'files__'.length) },
  ])
  const names = table.entries.map(({ name }) => name)
  assert.equal(new Set(names).size, 3)
  assert.match(names[0] as string, /^files__a{33}_[0-9a-f]{6}$/)
  assert.equal(names[2], `files__${'b'.repeat(40)}`)
})

test('characters that APIs refuse are replaced, and the hash keeps changed names apart', () => {
  const table = namesOfAll([
    { server: 's', tool: 'a.b' },
    { server: 's', tool: 'a/b' },
    { server: 's', tool: 'a_b' },
  ])
  assert.deepEqual(table.entries.map(({ tool, name }) => [tool, name.replace(/_[0-9a-f]{6}$/, '_#')]).sort(), [
    ['a.b', 's__a_b_#'],
    ['a/b', 's__a_b_#'],
    ['a_b', 's__a_b'],
  ])
})

test('a tool that is really called like another one`s changed name keeps its name', () => {
  const changed = namesOfAll([{ server: 's', tool: 'a.b' }]).nameOf({ server: 's', tool: 'a.b' }) as string
  const squatter = { server: 's', tool: changed.slice('s__'.length) }
  const table = namesOfAll([{ server: 's', tool: 'a.b' }, squatter])
  assert.equal(table.nameOf(squatter), changed)
  assert.notEqual(table.nameOf({ server: 's', tool: 'a.b' }), changed)
  assert.deepEqual(table.toolOf(table.nameOf({ server: 's', tool: 'a.b' }) as string), { server: 's', tool: 'a.b' })
})

test('on its own route a server keeps its names, and gives way where they are Holdfast`s', () => {
  const table = namesOfServer('bank', ['transfer', 'holdfast_outcome', 'a.b', 'bank__holdfast_outcome'])
  assert.equal(table.nameOf({ server: 'bank', tool: 'transfer' }), 'transfer')
  assert.equal(table.nameOf({ server: 'bank', tool: 'a.b' }), 'a.b')
  assert.equal(table.toolOf('holdfast_outcome'), undefined)
  assert.deepEqual(table.toolOf('bank__holdfast_outcome'), { server: 'bank', tool: 'bank__holdfast_outcome' })
  const moved = table.nameOf({ server: 'bank', tool: 'holdfast_outcome' }) as string
  assert.match(moved, /^bank__holdfast_outcome_[0-9a-f]{6}$/)
  assert.deepEqual(table.toolOf(moved), { server: 'bank', tool: 'holdfast_outcome' })
})

const server = fc.stringMatching(/^[a-z0-9-]{1,16}$/)
const tool = fc.oneof(
  fc.string({ unit: fc.constantFrom('a', 'b', '_', '.', '/'), minLength: 1, maxLength: 5 }),
  fc.string({ unit: fc.constantFrom('a', '_', 'é'), minLength: 25, maxLength: 60 }),
  fc.string({ minLength: 1, maxLength: 80 }),
)
// Objects of one kind: a null prototype is not what a strict comparison is about here.
const ref = fc.record({ server: fc.oneof(fc.constantFrom('a', 'b'), server), tool }, { noNullPrototype: true })
const tools = fc.array(ref, { maxLength: 40 })

test('property: every name is one that APIs accept, stands for one tool, and leads back to it', () => {
  fc.assert(
    fc.property(tools, list => {
      const table = namesOfAll(list)
      assert.equal(table.entries.length, new Set(list.map(ref => JSON.stringify([ref.server, ref.tool]))).size)
      for (const ref of list) {
        const name = table.nameOf(ref) as string
        assert.match(name, /^[a-zA-Z0-9_-]{1,47}$/)
        assert.deepEqual(table.toolOf(name), ref)
      }
    }),
  )
})

test('property: the names do not depend on the order in which servers list their tools', () => {
  fc.assert(
    fc.property(tools, list => assert.deepEqual(namesOfAll(list.toReversed()).entries, namesOfAll(list).entries)),
  )
})
