import assert from 'node:assert/strict'
import test from 'node:test'
import canonicalize from 'canonicalize'
import fc from 'fast-check'
import { canonicalJson, canonicalWriter } from '../../shared/json/canonical.ts'

test('it is RFC 8785: the worked example of the RFC, numbers, order and escapes', () => {
  const example = String.raw`{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],"string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}`
  const canonical = String.raw`{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}`
  assert.equal(canonicalJson(JSON.parse(example)), canonical)
  const names = {
    '\u20ac': 1,
    '\r': 2,
    '\ufb33': 3,
    '1': 4,
    '\ud83d\ude00': 5,
    '\u0080': 6,
    '\u00f6': 7,
    '10': 8,
    '2': 9,
  }
  assert.equal(
    canonicalJson(names),
    '{"\\r":2,"1":4,"10":8,"2":9,"\u0080":6,"\u00f6":7,"\u20ac":1,"\ud83d\ude00":5,"\ufb33":3}',
  )
})

test('it agrees with another implementation on any JSON', t => {
  const seed = Number(process.env['SEED'] ?? Date.now() & 0x7fffffff)
  t.diagnostic(`SEED=${seed}`)
  fc.assert(
    fc.property(fc.jsonValue({ stringUnit: 'binary' }), value => {
      const plain: unknown = JSON.parse(JSON.stringify(value))
      assert.equal(canonicalJson(plain), canonicalize(plain))
    }),
    { seed, numRuns: 100 },
  )
})

test('with its names known beforehand a value is written the same', t => {
  const seed = Number(process.env['SEED'] ?? Date.now() & 0x7fffffff)
  t.diagnostic(`SEED=${seed}`)
  fc.assert(
    fc.property(fc.dictionary(fc.string({ unit: 'binary' }), fc.option(fc.jsonValue(), { nil: undefined })), value => {
      assert.equal(canonicalWriter(Object.keys(value))(value), canonicalJson(value))
    }),
    { seed, numRuns: 100 },
  )
})
