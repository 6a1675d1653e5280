import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { type KeyInput, keyMeta, keyOf } from '../../services/front/key.ts'

const open = { type: 'object', properties: { amount: { type: 'number' } } }
const declaring = { type: 'object', properties: { idempotency_key: { type: 'string' } }, additionalProperties: false }

const find = (input: Partial<KeyInput>) =>
  keyOf({ params: {}, headers: {}, args: {}, inputSchema: open, batch: false, ...input })

/** Source and key of a call, or the code of its refusal. */
const found = (input: Partial<KeyInput>): string => {
  const result = find(input)
  return result.ok ? `${result.source} ${result.key}` : result.code
}

test('each carrier is read alone', () => {
  assert.equal(found({ params: { _meta: { [keyMeta]: 'k 1' } } }), 'meta k 1')
  assert.equal(found({ params: { idempotencyKey: 'k1' } }), 'param k1')
  assert.equal(found({ headers: { 'idempotency-key': 'k1' } }), 'header k1')
  assert.equal(found({ args: { idempotency_key: 'k1' } }), 'argument k1')
})

test('what carries the key for Holdfast does not reach the upstream server', () => {
  const result = find({
    params: { _meta: { [keyMeta]: 'k', traceparent: 't' }, idempotencyKey: 'k' },
    args: { amount: 1, idempotency_key: 'k' },
  })
  assert.deepEqual(result, { ok: true, key: 'k', source: 'meta', args: { amount: 1 }, meta: { traceparent: 't' } })
  const alone = find({ params: { _meta: { [keyMeta]: 'k' } } })
  assert.ok(alone.ok && alone.meta === undefined)
})

test('the call as it came is not changed', () => {
  const input = Object.freeze({
    params: { _meta: Object.freeze({ [keyMeta]: 'k' }) },
    args: Object.freeze({ idempotency_key: 'k' }),
  })
  assert.equal(found(input), 'meta k')
})

test('two carriers that disagree are refused, and the message names both', () => {
  const result = find({ params: { _meta: { [keyMeta]: 'a' } }, args: { idempotency_key: 'b' } })
  assert.ok(!result.ok && result.code === 'idempotency_key_disagrees')
  assert.match(result.message, /_meta.*argument idempotency_key/)
  assert.equal(
    found({ params: { idempotencyKey: 'a' }, headers: { 'idempotency-key': '"b"' } }),
    'idempotency_key_disagrees',
  )
  assert.equal(found({ params: { idempotencyKey: 'a' }, headers: { 'idempotency-key': '"a"' } }), 'param a')
})

test('a header is taken quoted or bare; what could be two keys is refused', () => {
  const header = (value: string | string[]) => found({ headers: { 'idempotency-key': value } })
  assert.equal(header('"invoice-1042"'), 'header invoice-1042')
  assert.equal(header(' invoice-1042 '), 'header invoice-1042')
  assert.equal(header('"say \\"hi\\" \\\\o"'), 'header say "hi" \\o')
  assert.equal(header('"a, b"'), 'header a, b')
  assert.equal(header('pay;after=01ARZ3NDEKTSV4RRFFQ69G5FAV'), 'header pay;after=01ARZ3NDEKTSV4RRFFQ69G5FAV')
  for (const bad of ['', '""', '"a', 'a"', '"a", "b"', 'a, b', '"a";p=1', '"a\\n"', 'schlüssel', 'x'.repeat(256)]) {
    assert.equal(header(bad), 'idempotency_key_invalid', bad)
  }
  assert.equal(header(['a', 'b']), 'idempotency_key_invalid')
})

test('in a batch the header belongs to no single call', () => {
  const headers = { 'idempotency-key': 'k' }
  const refused = find({ headers, batch: true })
  assert.ok(!refused.ok && refused.code === 'idempotency_key_required')
  assert.match(refused.message, /not read in a batch/)
  assert.equal(found({ headers, batch: true, args: { idempotency_key: 'other' } }), 'argument other')
})

test('a write without a key is refused, and the message says what to add', () => {
  const refused = find({ args: { amount: 1 } })
  assert.ok(!refused.ok && refused.code === 'idempotency_key_required')
  assert.match(refused.message, /idempotency_key/)
})

test('a carrier that holds no valid key is refused even when another one is valid', () => {
  for (const bad of [1, null, {}, '', 'x'.repeat(256), 'tab\t', 'é']) {
    assert.equal(
      found({ params: { _meta: { [keyMeta]: bad } }, args: { idempotency_key: 'k' } }),
      'idempotency_key_invalid',
    )
    assert.equal(found({ args: { idempotency_key: bad } }), 'idempotency_key_invalid')
  }
})

test('an argument that upstream declares is read as the key and stays in the call', () => {
  const args = { idempotency_key: 'k' }
  const schemas = [
    declaring,
    { type: 'object', allOf: [{ properties: { idempotency_key: {} } }] },
    { type: 'object', $ref: '#/$defs/a', $defs: { a: { oneOf: [declaring, { $ref: '#/$defs/a' }] } } },
    { type: 'object', required: ['idempotency_key'] },
  ]
  for (const inputSchema of schemas) {
    const result = find({ args, inputSchema })
    assert.deepEqual(result, { ok: true, key: 'k', source: 'upstream_argument', args, meta: undefined })
  }
  assert.equal(
    found({ args, inputSchema: declaring, params: { idempotencyKey: 'other' } }),
    'idempotency_key_disagrees',
  )
  assert.equal(found({ args: {}, inputSchema: declaring, params: { idempotencyKey: 'k' } }), 'param k')
})

test('an argument of the same name deeper in the schema is not upstream`s own', () => {
  const inputSchema = { type: 'object', properties: { order: declaring } }
  const result = find({ args: { idempotency_key: 'k', order: { idempotency_key: 'inner' } }, inputSchema })
  assert.ok(result.ok && result.source === 'argument')
  assert.deepEqual(result.args, { order: { idempotency_key: 'inner' } })
})

test('the setting reads another argument of upstream`s, which stays in the call', () => {
  const keySetting = { argument: 'payment.reference' }
  const args = { payment: { reference: 'INV-1' } }
  const result = find({ args, keySetting })
  assert.deepEqual(result, { ok: true, key: 'INV-1', source: 'upstream_argument', args, meta: undefined })
  assert.equal(found({ args: { payment: { reference: 1042 } }, keySetting }), 'upstream_argument 1042')
  assert.equal(found({ args: { payment: {} }, keySetting }), 'idempotency_key_required')
  assert.equal(found({ args: {}, keySetting: { argument: 'constructor.name' } }), 'idempotency_key_required')
  assert.equal(found({ args: { ...args, idempotency_key: 'x' }, keySetting }), 'idempotency_key_disagrees')
})

test('property: with the same valid key in any set of carriers the call is taken, and nothing of it is left for upstream', () => {
  const key = fc.string({ unit: fc.constantFrom(...'abcXYZ0189 -_;=.'), minLength: 1, maxLength: 40 })
  const carriers = fc.record({ meta: fc.boolean(), param: fc.boolean(), header: fc.boolean(), argument: fc.boolean() })
  fc.assert(
    fc.property(key, carriers, (text, on) => {
      const result = find({
        params: { ...(on.meta && { _meta: { [keyMeta]: text } }), ...(on.param && { idempotencyKey: text }) },
        headers: on.header ? { 'idempotency-key': `"${text}"` } : {},
        args: { amount: 1, ...(on.argument && { idempotency_key: text }) },
      })
      if (!Object.values(on).includes(true)) return assert.ok(!result.ok && result.code === 'idempotency_key_required')
      assert.ok(result.ok && result.key === text)
      assert.deepEqual([result.args, result.meta], [{ amount: 1 }, undefined])
    }),
  )
})
