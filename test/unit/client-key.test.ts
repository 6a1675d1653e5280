import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import test from 'node:test'
import fc from 'fast-check'
import { type ChangeName, keyFor, secondAfter } from 'holdfast/client'
import { afterCall, isValidKey } from '../../shared/call/key.ts'

const date = '2026-11-21'
const name = fc.string({ minLength: 1, unit: 'grapheme' })
const part = fc.letrec<{ part: unknown }>(tie => ({
  part: fc.oneof(
    { maxDepth: 3 },
    fc.string({ unit: 'grapheme' }),
    fc.integer(),
    fc.boolean(),
    fc.constant(null),
    fc.array(tie('part'), { maxLength: 3 }),
    fc.dictionary(name, tie('part'), { maxKeys: 3 }),
  ),
})).part
const change = fc.dictionary(name, part, { minKeys: 1, maxKeys: 4 }) as fc.Arbitrary<ChangeName & object>

test('every key is one that Holdfast takes, with room for ;after= a call', () => {
  fc.assert(
    fc.property(name, change, (tool, named) => {
      const key = keyFor({ tool, change: named, date })
      assert.ok(isValidKey(key), key)
      const callId = '01K9ZZZZZZZZZZZZZZZZZZZZZA'
      const second = secondAfter(key, callId)
      assert.ok(isValidKey(second), second)
      assert.equal(afterCall(second), callId)
    }),
  )
})

test('the order of members, absent ones and the spelling of a number do not change the key', () => {
  const reversed = (value: object) => Object.fromEntries(Object.entries(value).toReversed())
  fc.assert(
    fc.property(name, change, (tool, named) => {
      const again = { ...reversed(named), never: undefined } as unknown as ChangeName
      if (Object.hasOwn(named, 'never')) return
      assert.equal(keyFor({ tool, change: named, date }), keyFor({ tool, change: again, date }))
    }),
  )
  assert.equal(keyFor({ tool: 't', change: { n: 1042 }, date }), keyFor({ tool: 't', change: { n: '1042' }, date }))
  // The same letter in two encodings.
  assert.equal(keyFor({ tool: 't', change: 'caf\u00e9', date }), keyFor({ tool: 't', change: 'cafe\u0301', date }))
})

test('another tool, another change, another date: another key', () => {
  fc.assert(
    fc.property(change, change, (a, b) => {
      // Values that spell the same are the same name; the rest must differ.
      const spell = (value: unknown): unknown =>
        value !== null && typeof value === 'object'
          ? Array.isArray(value)
            ? value.map(spell)
            : Object.fromEntries(
                Object.entries(value)
                  .sort(([x], [y]) => (x < y ? -1 : 1))
                  .map(([member, inner]) => [member, spell(inner)]),
              )
          : String(value).normalize('NFC')
      fc.pre(JSON.stringify(spell(a)) !== JSON.stringify(spell(b)))
      assert.notEqual(keyFor({ tool: 't', change: a, date }), keyFor({ tool: 't', change: b, date }))
    }),
  )
  const keys = [
    keyFor({ tool: 't', change: 'a/b', date: 'c' }),
    keyFor({ tool: 't', change: 'a', date: 'b/c' }),
    keyFor({ tool: 't/a', change: 'b', date: 'c' }),
    keyFor({ tool: 't', change: { a: 'b' }, date: 'c' }),
    keyFor({ tool: 't', change: 'a=b', date: 'c' }),
  ]
  assert.equal(new Set(keys).size, keys.length)
  const long = (end: string) => keyFor({ tool: 't', change: 'x'.repeat(500) + end, date })
  assert.notEqual(long('a'), long('b'))
})

test('a key is the same in another process', () => {
  const parts = { tool: 'bank__transfer', change: { invoice: 1042, to: 'Zoë', lines: [1, { b: 2, a: 1 }] }, date }
  const script = `import('holdfast/client').then(({ keyFor }) => console.log(keyFor(${JSON.stringify(parts)})))`
  const args = ['--import', 'tsx', '--input-type=module', '-e', script]
  const elsewhere = execFileSync(process.execPath, args, { encoding: 'utf8', env: { ...process.env, LANG: 'tr_TR' } })
  assert.equal(elsewhere.trim(), keyFor(parts))
})

test('keys do not change between versions: they must outlive an upgrade in the middle of a task', () => {
  assert.equal(keyFor({ tool: 'bank__transfer', change: { invoice: 1042 }, date }), 'transfer/invoice=1042/2026-11-21')
  assert.equal(
    keyFor({ tool: 'transfer', change: { to: 'Zoë & co', invoice: 7 }, date }),
    'transfer/invoice=7&to=Zo%C3%AB%20%26%20co/2026-11-21',
  )
  assert.equal(
    keyFor({ tool: 'write', change: { text: 'x'.repeat(300) }, date }).slice(-33),
    keyFor({ tool: 'files__write', change: { text: 'x'.repeat(300) }, date }).slice(-33),
  )
})

test('what has no fixed text is refused, and so is a key without a change', () => {
  for (const wrong of [{ n: Number.NaN }, { when: new Date() }, { f: () => 1 }, {}, ''] as unknown as ChangeName[])
    assert.throws(() => keyFor({ tool: 't', change: wrong, date }), TypeError)
  assert.throws(() => keyFor({ tool: '', change: 'x', date }), TypeError)
  assert.throws(() => keyFor({ tool: 't', change: 'x', date: '' }), TypeError)
  assert.throws(() => secondAfter('key', 'not a call'), TypeError)
})
