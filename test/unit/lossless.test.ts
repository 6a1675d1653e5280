import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { maxDepth, parseLossless } from '../../shared/json/lossless.ts'
import { memberSlice, withMember } from '../../shared/json/slice.ts'

const problemOf = (text: string) => {
  const result = parseLossless(text)
  return result.ok ? undefined : `${result.problem} ${result.path}`
}

test('what every reader understands alike is read as JSON.parse reads it', () => {
  const texts = [
    ...['1.0', '1e2', '-0', '0.0', '0e99999', '-1.50E+3', '9007199254740992', '5e-324', '1.7976931348623157e308'],
    ...['0.1', '100000000000000000000000', '0.30000000000000004', '1E4'],
    ...['{"2":1,"1":2}', ' { "a" : [ 1 , null , true ] } ', '"\\u00e9\\/"', '"\\ud83d\\ude00"', '"😀"', '"\\\\ud800"'],
    ...['{"__proto__":1}', '{"a":{"b":1},"b":{"b":1}}', '[{"a":1},{"a":1}]', '""', 'null'],
  ]
  for (const text of texts) assert.deepEqual(parseLossless(text), { ok: true, value: JSON.parse(text) }, text)
})

test('a number that a double does not hold is refused, with the place where it stands', () => {
  const numbers = [
    ...['12345678901234567890', '1e400', '-1e400', '1e-400', '9007199254740993', '2e99999999999999999999'],
    ...['0.1000000000000000055511151231257827', '1.00000000000000000000001', '3.141592653589793238462643'],
  ]
  for (const number of numbers) {
    assert.equal(problemOf(number), 'number ')
    assert.equal(problemOf(`{"to": [{"a/b": ${number}}]}`), 'number /to/0/a~1b')
  }
})

test('a name that stands twice in one object is refused, however it is spelled', () => {
  assert.equal(problemOf('{"a":1,"a":1}'), 'duplicate /a')
  assert.equal(problemOf('{"x":[{"a":1,"\\u0061":2}]}'), 'duplicate /x/0/a')
  assert.equal(problemOf('{"__proto__":1,"__proto__":2}'), 'duplicate /__proto__')
  assert.equal(problemOf('{"":1,"":1}'), 'duplicate /')
})

test('half a surrogate pair is refused, escaped or raw, in a value or a name', () => {
  assert.equal(problemOf('["\\ud800"]'), 'surrogate /0')
  assert.equal(problemOf('["\\uDC00x"]'), 'surrogate /0')
  assert.equal(problemOf('["\\ude00\\ud83d"]'), 'surrogate /0')
  assert.equal(problemOf('{"a\\uDfff":1}'), 'surrogate /a\udfff')
  assert.equal(problemOf('"\ud800"'), 'surrogate ')
})

test('what is not JSON is a syntax problem, never an exception', () => {
  for (const text of ['', '{', '{a:1}', '[1,]', '{"a":1,}', '// c\n1', '01', '"\n"', 'NaN', '\ufeff1', '1 2', "'a'"]) {
    assert.equal(problemOf(text), 'syntax ', JSON.stringify(text))
  }
})

test('a depth bomb is refused without overflowing the stack', () => {
  const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth)
  assert.equal(problemOf(nested(maxDepth)), undefined)
  assert.equal(problemOf(` ${nested(maxDepth)}`), undefined)
  assert.equal(problemOf(nested(maxDepth + 1)), 'syntax ')
  assert.equal(problemOf('{"a":'.repeat(1_000_000)), 'syntax ')
  assert.equal(problemOf(`["${'['.repeat(1_000_000)}\\"["]`), undefined)
})

test('a million digits cost milliseconds, not seconds', () => {
  const started = performance.now()
  problemOf(`1${'0'.repeat(1_000_000)}1`)
  problemOf(`0.${'0'.repeat(1_000_000)}1`)
  assert.ok(performance.now() - started < 2000)
})

/** JSON text of a value with free spelling: white space, escapes and number forms that mean the same. */
const spelled = fc.letrec<{ value: string }>(tie => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.oneof(
      fc.constantFrom('null', 'true', '1.0', '1e2', '-0', '0.10'),
      fc.double({ noNaN: true, noDefaultInfinity: true }).map(number => JSON.stringify(number)),
      fc.string({ unit: 'binary' }).map(text => JSON.stringify(text)),
      fc
        .string()
        .map(text => `"${[...text].map(unit => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`).join('')}"`),
    ),
    fc.array(tie('value'), { maxLength: 4 }).map(items => `[ ${items.join(' ,')}]`),
    fc
      .uniqueArray(fc.tuple(fc.string({ unit: 'binary', maxLength: 4 }), tie('value')), {
        maxLength: 4,
        selector: ([name]) => name,
      })
      .map(entries => `{${entries.map(([name, value]) => `\n${JSON.stringify(name)} : ${value}`).join(',')} }`),
  ),
})).value

test('property: well-formed text of any spelling is taken with the value of JSON.parse', () => {
  fc.assert(fc.property(spelled, text => assert.deepEqual(parseLossless(text), { ok: true, value: JSON.parse(text) })))
})

test('property: a decimal number is taken exactly when its double prints as the same number', () => {
  const digits = fc.stringMatching(/^[0-9]{1,25}$/)
  fc.assert(
    fc.property(digits, digits, fc.integer({ min: -340, max: 340 }), (whole, fraction, exponent) => {
      const literal = `${BigInt(whole)}.${fraction}e${exponent}`
      const double = Number(literal)
      const taken = parseLossless(literal).ok
      if (!Number.isFinite(double)) return assert.equal(taken, false)
      assert.equal(taken, isSameNumber(literal, String(double)))
    }),
    { numRuns: 500 },
  )
})

/** An oracle of its own: both as integers over the smallest power of ten in play. */
function isSameNumber(left: string, right: string): boolean {
  const scaled = (literal: string) => {
    const [mantissa = '', exponent = '0'] = literal.split('e')
    const [whole = '', fraction = ''] = mantissa.split('.')
    return BigInt(whole + fraction) * 10n ** BigInt(800 + Number(exponent) - fraction.length)
  }
  return scaled(left) === scaled(right)
}

test('property: doubling any member of any object is found', () => {
  const withMembers = fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 2 }), { minKeys: 1, maxKeys: 5 })
  fc.assert(
    fc.property(withMembers, fc.nat(), (object, pick) => {
      const names = Object.keys(object)
      const name = names[pick % names.length] as string
      const text = `[${JSON.stringify(object).slice(0, -1)}, ${JSON.stringify(name)}:0}]`
      const result = parseLossless(text)
      assert.ok(!result.ok && result.problem === 'duplicate')
    }),
  )
})

test('a member is cut out byte for byte', () => {
  const text = '{"jsonrpc":"2.0", "result" : { "n": 1.0, "n": 1e2, "s":"a}\\"b" } ,"id":1}'
  assert.equal(memberSlice(text, ['result']), '{ "n": 1.0, "n": 1e2, "s":"a}\\"b" }')
  assert.equal(memberSlice(text, ['result', 's']), '"a}\\"b"')
  assert.equal(memberSlice(text, ['result', 'n']), '1e2', 'the last one counts, as in JSON.parse')
  assert.equal(memberSlice(text, ['id']), '1')
  assert.equal(memberSlice(text, ['absent']), undefined)
  assert.equal(memberSlice(text, ['id', 'x']), undefined)
  assert.equal(memberSlice('[{"a":1}]', ['a']), undefined)
  assert.equal(memberSlice('{"r\\u0065sult":-1.5e3}', ['result']), '-1.5e3')
  assert.equal(memberSlice(`{"a":${'['.repeat(100_000)}${']'.repeat(100_000)},"b":2}`, ['b']), '2')
})

test('a member is set without touching the other bytes', () => {
  assert.equal(withMember('{}', 'a', '1'), '{"a":1}')
  assert.equal(withMember('{ }', 'a', '1'), '{"a":1 }')
  assert.equal(withMember(' {"x": 1.0 } ', 'a', '{"b":2}'), ' {"x": 1.0,"a":{"b":2} } ')
  assert.equal(withMember('{"a": [1, 2] ,"x":1e2}', 'a', 'null'), '{"a": null ,"x":1e2}')
  assert.equal(withMember('{"a":1,"a":2}', 'a', '3'), '{"a":1,"a":3}')
  assert.throws(() => withMember('[]', 'a', '1'), { name: 'InvariantError' })
})

test('property: a set member reads back and the others read as before', () => {
  fc.assert(
    fc.property(spelled, fc.string({ unit: 'binary' }), spelled, (text, name, value) => {
      const object = `{"x":${text}, "y" :0}`
      const result = withMember(object, name, value)
      assert.equal(memberSlice(result, [name]), value.trim())
      assert.deepEqual(JSON.parse(result), { ...JSON.parse(object), [name]: JSON.parse(value) })
      if (name !== 'x') assert.equal(memberSlice(result, ['x']), text)
    }),
  )
})
