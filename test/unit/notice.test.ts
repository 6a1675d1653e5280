import assert from 'node:assert/strict'
import test from 'node:test'
import { Ajv2020 } from 'ajv/dist/2020.js'
import fc from 'fast-check'
import { editResult } from '../../services/front/answers/raw.ts'
import { noticeMember, withNotice } from '../../services/front/schema/notice.ts'
import type { JsonObject } from '../../shared/call/fingerprint.ts'

const member = fc.constantFrom('id', 'count', 'reason', 'deep')
const type = fc.constantFrom<JsonObject>({ type: 'string' }, { type: 'integer' }, { type: 'object' }, {})
/** Shapes as servers declare them, closed ones too. */
const shape = fc.record(
  {
    type: fc.constant('object'),
    properties: fc.dictionary(member, type),
    required: fc.uniqueArray(member, { maxLength: 2 }),
    additionalProperties: fc.oneof(fc.boolean(), type),
    unevaluatedProperties: fc.boolean(),
    minProperties: fc.nat(2),
  },
  { requiredKeys: ['type'] },
)
const value = fc.dictionary(member, fc.oneof(fc.string(), fc.integer(), fc.constant({})))

test('what fits a shape fits it with the notice, and the other way round: clients that check results throw none away', () => {
  const ajv = new Ajv2020({ strict: false, logger: false })
  let fitting = 0
  fc.assert(
    fc.property(shape, value, (schema, result) => {
      const roomy = withNotice(schema)
      assert.ok(roomy !== undefined)
      const fits = ajv.compile(schema)(result)
      const fitsRoomy = ajv.compile(roomy)
      assert.equal(fitsRoomy(result), fits)
      if (fits) assert.ok(fitsRoomy({ [noticeMember]: 'read me', ...result }))
      fitting += Number(fits)
    }),
  )
  assert.ok(fitting > 0)
})

test('a shape that judges its object as a whole, or has such a member itself, is left alone', () => {
  for (const schema of [
    { type: 'object', oneOf: [{ required: ['a'] }] },
    { type: 'object', maxProperties: 1 },
    { type: 'object', propertyNames: { pattern: '^a' } },
    { $ref: '#/$defs/a', $defs: { a: { type: 'object' } } },
    { type: 'object', properties: { [noticeMember]: { type: 'integer' } } },
    { type: 'array' },
    undefined,
  ])
    assert.equal(withNotice(schema), undefined, JSON.stringify(schema))
})

test('the notice is the first member of structuredContent, and every byte behind it is as upstream sent it', () => {
  const notice = 'FAILED: said'
  const edited = (raw: string) => editResult(raw, { meta: {}, notice, noticeInside: true })
  const exact = '{"content":[], "structuredContent":{"id":12345678901234567890,"rate":1.0}}'
  assert.ok(
    edited(exact).includes(`"structuredContent":{"${noticeMember}":"${notice}","id":12345678901234567890,"rate":1.0}`),
  )
  assert.ok(
    edited('{"content":[],  "structuredContent":{ }}').includes(`"structuredContent":{"${noticeMember}":"${notice}" }`),
  )
  const own = `{"content":[],"structuredContent":{"${noticeMember}":"the server's own"}}`
  assert.ok(edited(own).includes(`"structuredContent":{"${noticeMember}":"the server's own"}`))
  for (const raw of [
    '{"content":[],"structuredContent":[1]}',
    '{"content":[],"structuredContent":null}',
    '{"content":[]}',
  ]) {
    assert.deepEqual(JSON.parse(edited(raw)).structuredContent, JSON.parse(raw).structuredContent)
  }
})
