/**
 * What is proved of `injectKey`, for generated schemas and for schemas as servers really send them:
 *
 *   for all arguments A without `idempotency_key` and every key K,
 *     A fits the schema before   <=>   { ...A, idempotency_key: K } fits the injected schema
 *   and A alone does not fit the injected schema (the argument is required).
 *
 * So nothing that was valid breaks, and nothing that was invalid slips through.
 */
import assert from 'node:assert/strict'
import test from 'node:test'
import { Ajv, type ValidateFunction } from 'ajv'
import { Ajv2020 } from 'ajv/dist/2020.js'
import fc from 'fast-check'
import { injectKey, keyArgument } from '../../services/front/schema/inject.ts'
import type { Json, JsonObject } from '../../shared/call/fingerprint.ts'

const description = 'A name for this one intended change.'
const options = { strict: false, allErrors: false, logger: false, validateFormats: false, ownProperties: true } as const
const drafts = {
  'draft-07': (schema: JsonObject) => new Ajv(options).compile(schema),
  '2020-12': (schema: JsonObject) => new Ajv2020(options).compile(schema),
}

const inject = (schema: JsonObject): JsonObject => {
  const result = injectKey(schema, { description })
  assert.ok(result.injected, result.injected ? '' : result.reason)
  return result.schema
}
const reasonOf = (schema: JsonObject): string => {
  const result = injectKey(schema, { description })
  assert.ok(!result.injected, 'the schema should have been left alone')
  return result.reason
}

/** The promise above for one schema; returns how many of the arguments fitted it, so that a test can see that some did. */
function holds(schema: JsonObject, argumentsList: readonly JsonObject[], key = 'invoice-1042'): number {
  const injected = inject(schema)
  let fitting = 0
  for (const [draft, compile] of Object.entries(drafts)) {
    const [before, after] = [compile(schema), compile(injected)]
    for (const args of argumentsList) {
      const fits = judged(before, args)
      const shown = () => `${draft}: ${JSON.stringify({ schema, injected, args })}`
      const fitsWithKey = judged(after, { ...args, [keyArgument]: key })
      if (fits === undefined || fitsWithKey === undefined) continue
      assert.equal(fitsWithKey, fits, shown())
      assert.notEqual(judged(after, args), true, `required: ${shown()}`)
      fitting += Number(fits)
    }
  }
  return fitting
}

/** Undefined where ajv trips over its own code: patterns beside a branch `true`, in 2020-12, throw a TypeError. */
function judged(validate: ValidateFunction, args: JsonObject): boolean | undefined {
  try {
    return validate(args)
  } catch (error) {
    if (error instanceof TypeError) return undefined
    throw error
  }
}

test('the argument is a plain described string, listed as required', () => {
  assert.deepEqual(inject({ type: 'object', properties: { a: { type: 'number' } }, required: ['a'] }), {
    type: 'object',
    properties: { a: { type: 'number' }, idempotency_key: { type: 'string', description } },
    required: ['a', 'idempotency_key'],
  })
  assert.deepEqual(inject({ type: 'object' }), {
    type: 'object',
    properties: { idempotency_key: { type: 'string', description } },
    required: ['idempotency_key'],
  })
})

const closed = (properties: JsonObject, required: string[] = []) => ({
  type: 'object',
  properties,
  required,
  additionalProperties: false,
})
const text = { type: 'string' }

/** Shapes that would refuse an added argument, each with arguments that fit and arguments that do not. */
const shapes: Record<string, { schema: JsonObject; fit: JsonObject[]; unfit: JsonObject[] }> = {
  'a closed root': { schema: closed({ a: text }), fit: [{}, { a: 'x' }], unfit: [{ b: 1 }, { a: 1 }] },
  'a root closed by what is unevaluated': {
    schema: { type: 'object', allOf: [{ properties: { a: text } }], unevaluatedProperties: false },
    fit: [{ a: 'x' }],
    unfit: [{ a: 1 }],
  },
  'a root whose other properties have a type': {
    schema: { type: 'object', additionalProperties: { type: 'number' } },
    fit: [{ a: 1 }],
    unfit: [{ a: 'x' }],
  },
  'closed branches': {
    schema: {
      type: 'object',
      oneOf: [closed({ kind: { const: 'a' }, x: text }, ['kind']), closed({ kind: { const: 'b' } }, ['kind'])],
    },
    fit: [{ kind: 'a', x: 'y' }, { kind: 'b' }],
    unfit: [{ kind: 'b', x: 'y' }, {}],
  },
  'closed branches of anyOf in allOf': {
    schema: { type: 'object', allOf: [{ anyOf: [closed({ a: text }, ['a']), closed({ b: text }, ['b'])] }] },
    fit: [{ a: 'x' }, { b: 'x' }],
    unfit: [{ a: 'x', b: 'x' }, { c: 1 }],
  },
  'a closed root behind a reference': {
    schema: {
      type: 'object',
      $ref: '#/$defs/Input',
      $defs: { Input: closed({ a: text, inner: { $ref: '#/$defs/Input' } }) },
    },
    fit: [{ a: 'x' }, { inner: { inner: { a: 'x' } } }],
    unfit: [{ inner: { idempotency_key: 'only the root takes it' } }, { b: 1 }],
  },
  'a reference in draft-07`s place, to a schema of its own kind': {
    schema: {
      type: 'object',
      allOf: [{ $ref: '#/definitions/Node' }],
      definitions: {
        Node: { ...closed({ next: { $ref: '#/definitions/Node' } }), allOf: [{ $ref: '#/definitions/Named' }] },
        Named: { maxProperties: 1 },
      },
    },
    fit: [{ next: { next: {} } }, {}],
    unfit: [{ next: { x: 1 } }],
  },
  'rules for names': {
    schema: { type: 'object', propertyNames: { maxLength: 3 } },
    fit: [{ abc: 1 }],
    unfit: [{ abcd: 1 }],
  },
  'a number of properties': {
    schema: { type: 'object', minProperties: 1, maxProperties: 2 },
    fit: [{ a: 1 }, { a: 1, b: 1 }],
    unfit: [{}, { a: 1, b: 1, c: 1 }],
  },
  'no property at all': { schema: { type: 'object', maxProperties: 0 }, fit: [{}], unfit: [{ a: 1 }] },
  'patterns that match the name': {
    schema: {
      type: 'object',
      patternProperties: { '^id': { type: 'number' }, _key: false },
      additionalProperties: false,
    },
    fit: [{ id: 1, idx: 2 }],
    unfit: [{ id: 'x' }, { a_key: 1 }, { other: 1 }],
  },
  conditions: {
    schema: {
      type: 'object',
      properties: { a: {}, b: {} },
      if: closed({ a: {} }, ['a']),
      // biome-ignore lint/suspicious/noThenProperty: a JSON Schema keyword
      then: { required: ['a'] },
      else: { required: ['b'] },
    },
    fit: [{ a: 1 }, { b: 1 }, { a: 1, b: 1 }],
    unfit: [{}],
  },
  'a negation of a closed schema': {
    schema: { type: 'object', not: closed({ a: {} }) },
    fit: [{ b: 1 }],
    unfit: [{ a: 1 }, {}],
  },
  'what one argument asks of the whole': {
    schema: { type: 'object', dependencies: { a: closed({ a: {}, b: {} }, ['b']), c: ['d'] } },
    fit: [{ a: 1, b: 1 }, { c: 1, d: 1 }, { x: 1 }],
    unfit: [{ a: 1 }, { a: 1, b: 1, x: 1 }, { c: 1 }],
  },
}

for (const [name, { schema, fit, unfit }] of Object.entries(shapes)) {
  test(`${name}: the same arguments fit, with the key`, () => {
    assert.equal(holds(schema, fit), fit.length * 2, 'all of these should fit')
    assert.equal(
      holds(
        schema,
        unfit.filter(args => !Object.hasOwn(args, keyArgument)),
      ),
      0,
      'none of these should fit',
    )
  })
}

/** Input schemas in the form in which published servers send them, written down by hand. */
const fromServers: Record<string, { schema: JsonObject; fit: JsonObject }> = {
  'filesystem edit_file': {
    schema: {
      type: 'object',
      properties: {
        path: text,
        edits: {
          type: 'array',
          items: closed({ oldText: { ...text, description: 'Text to search for' }, newText: text }, [
            'oldText',
            'newText',
          ]),
        },
        dryRun: { type: 'boolean', default: false },
      },
      required: ['path', 'edits'],
      additionalProperties: false,
      $schema: 'http://json-schema.org/draft-07/schema#',
    },
    fit: { path: '/a', edits: [{ oldText: 'a', newText: 'b' }] },
  },
  'filesystem move_file': {
    schema: {
      $schema: 'http://json-schema.org/draft-07/schema#',
      ...closed({ source: text, destination: text }, ['source', 'destination']),
    },
    fit: { source: '/a', destination: '/b' },
  },
  'memory create_entities': {
    schema: {
      type: 'object',
      properties: {
        entities: {
          type: 'array',
          items: {
            type: 'object',
            properties: { name: text, observations: { type: 'array', items: text } },
            required: ['name'],
          },
        },
      },
      required: ['entities'],
    },
    fit: { entities: [{ name: 'x' }] },
  },
  'sqlite create_record': {
    schema: closed({ table: text, data: { type: 'object', additionalProperties: {}, propertyNames: text } }, [
      'table',
      'data',
    ]),
    fit: { table: 't', data: { a: 1 } },
  },
  'a Python server with nested models': {
    schema: {
      $defs: {
        Line: {
          properties: {
            sku: { title: 'Sku', type: 'string' },
            parent: { anyOf: [{ $ref: '#/$defs/Line' }, { type: 'null' }], default: null },
          },
          required: ['sku'],
          title: 'Line',
          type: 'object',
        },
      },
      properties: { lines: { items: { $ref: '#/$defs/Line' }, title: 'Lines', type: 'array' } },
      required: ['lines'],
      title: 'orderArguments',
      type: 'object',
    },
    fit: { lines: [{ sku: 'a', parent: { sku: 'b' } }] },
  },
}

for (const [name, { schema, fit }] of Object.entries(fromServers)) {
  test(`the schema of ${name} takes the argument and keeps its parts`, () => {
    const withoutDraft = { ...schema, $schema: undefined } as unknown as JsonObject
    const plain = JSON.parse(JSON.stringify(withoutDraft)) as JsonObject
    assert.equal(
      holds(plain, [fit, {}, { ...fit, stray: 1 }]),
      name.startsWith('memory') || name.startsWith('a Python') ? 4 : 2,
    )
    assert.equal((inject(schema).properties as JsonObject).path, (schema.properties as JsonObject).path)
    assert.equal(inject(schema).$schema, schema.$schema)
  })
}

test('a schema that cannot take the argument safely is left alone, with the reason', () => {
  assert.match(reasonOf(closed({ idempotency_key: text })), /of its own/)
  assert.match(reasonOf({ type: 'object', anyOf: [{ required: ['idempotency_key'] }] }), /of its own/)
  assert.match(reasonOf({ type: 'array' }), /not describe an object/)
  assert.match(reasonOf({ type: 'object', enum: [{ a: 1 }] }), /"enum"/)
  assert.match(reasonOf({ type: 'object', oneOf: [{ const: { a: 1 } }] }), /"const"/)
  assert.match(reasonOf({ type: 'object', properties: { child: { $ref: '#' } } }), /its own root/)
  assert.match(
    reasonOf({ type: 'object', allOf: [{ maxProperties: 2 }], properties: { a: { $ref: '#/allOf/0' } } }),
    /would change/,
  )
  assert.match(reasonOf({ type: 'object', $ref: 'https://example.com/schema' }), /refers to https/)
  assert.match(reasonOf({ type: 'object', properties: { a: { $ref: '#anchor' } } }), /refers to #anchor/)
  assert.match(reasonOf({ type: 'object', $ref: '#/$defs/%E0%A4%A', $defs: {} }), /refers to/)
  assert.match(reasonOf({ type: 'object', properties: { a: { $dynamicRef: '#n' } } }), /\$dynamicRef/)
  assert.match(reasonOf({ type: 'object', $defs: { a: { $id: 'https://example.com/a' } } }), /identifier/)
  assert.match(reasonOf({ type: 'object', patternProperties: { '(': {} } }), /pattern/)
  assert.match(reasonOf({ type: 'object', required: true }), /"required"/)
  assert.match(reasonOf({ type: 'object', properties: [] }), /"properties"/)
})

test('an argument named like a keyword, or like a member of every object, is only an argument', () => {
  const properties = { $ref: text, $id: text, enum: text, constructor: text, required: text }
  assert.equal(holds(closed(properties), [{ $ref: 'x', enum: 'y' }, { toString: 1 }]), 2)
})

// Generated schemas: every keyword that looks at the whole object, nested in every way, over few names.

const names = ['a', 'b', 'id', 'my_key'] as const
const name = fc.constantFrom(...names)
const valueSchema = fc.constantFrom<Json>(
  {},
  { type: 'string' },
  { type: 'number' },
  { const: 1 },
  true,
  false,
  { $ref: '#/$defs/leaf' },
  { $ref: '#/$defs/node' },
)
const keyword = (name: string, value: fc.Arbitrary<unknown>) => fc.tuple(fc.constant(name), value as fc.Arbitrary<Json>)
const patterns = fc.dictionary(
  fc.constantFrom('^id', 'key$', '^.*$', '(a|_)(?=b|k)', '^b', '[^a]', '(e|y){1}$'),
  valueSchema,
  { minKeys: 1, maxKeys: 2 },
)
const wholeSchema = fc.letrec<{ whole: Json; keyword: [string, Json] }>(tie => ({
  whole: fc.oneof(
    { maxDepth: 3 },
    fc.constantFrom<Json>(true, false, {}, { $ref: '#/$defs/node' }, { $ref: '#/$defs/leaf' }),
    fc
      .uniqueArray(tie('keyword'), { maxLength: 3, selector: ([keyword]) => keyword })
      .map(entries => Object.fromEntries(entries)),
  ),
  keyword: fc.oneof(
    keyword('properties', fc.dictionary(name, valueSchema, { maxKeys: 3 })),
    keyword('required', fc.uniqueArray(name, { maxLength: 1 })),
    keyword('additionalProperties', fc.constantFrom<Json>(false, true, { type: 'number' }, {})),
    keyword('unevaluatedProperties', fc.constantFrom<Json>(false, { type: 'string' })),
    keyword('patternProperties', patterns),
    keyword(
      'propertyNames',
      fc.constantFrom<Json>({ maxLength: 2 }, { pattern: '^[ab]' }, { enum: ['a', 'my_key'] }, true, {
        not: { const: 'b' },
      }),
    ),
    keyword('maxProperties', fc.nat(2)),
    keyword('minProperties', fc.nat(2)),
    fc.tuple(fc.constantFrom('allOf', 'anyOf', 'oneOf'), fc.array(tie('whole'), { minLength: 1, maxLength: 2 })),
    fc.tuple(fc.constantFrom('not', 'if', 'then', 'else'), tie('whole')),
    keyword(
      'dependencies',
      fc.dictionary(name, fc.oneof(tie('whole'), fc.uniqueArray(name, { maxLength: 1 })), { maxKeys: 1 }),
    ),
  ),
})).whole

const generated = fc
  .tuple(
    wholeSchema.filter(schema => typeof schema === 'object'),
    wholeSchema,
    wholeSchema,
  )
  .map(([root, node, leaf]) => ({
    type: 'object',
    ...(root as JsonObject),
    $defs: { node: acyclic(node), leaf: grounded(leaf) },
  }))

/** `node` may refer to itself inside its properties and to `leaf` anywhere; a reference to itself in place never ends. */
const acyclic = (schema: Json): Json => {
  const { properties, ...rest } = (typeof schema === 'object' ? schema : { not: schema }) as { [name: string]: Json }
  const straight = JSON.parse(JSON.stringify(rest).replaceAll('#/$defs/node', '#/$defs/leaf')) as JsonObject
  return properties === undefined ? straight : { ...straight, properties }
}
const grounded = (schema: Json): Json =>
  JSON.parse(JSON.stringify(schema).replaceAll(/\{"\$ref":"[^"]*"\}/g, '{"maxProperties":1}'))

const someArguments = fc.dictionary(
  fc.constantFrom(...names, 'other'),
  fc.constantFrom<Json>(1, 2, 'x', null, {}, { a: 1 }, { a: { a: 1 }, b: 'x' }, { idempotency_key: 'k' }),
  { maxKeys: 3, noNullPrototype: true },
)

test('property: arguments fit a generated schema exactly when they fit the injected one with the key', {
  timeout: 60_000,
}, () => {
  const seen = { injected: 0, fitting: 0, unfitting: 0 }
  fc.assert(
    fc.property(
      generated,
      fc.array(someArguments, { minLength: 4, maxLength: 8 }),
      fc.stringMatching(/^[ -~]{1,12}$/),
      (schema, list, key) => {
        if (!injectKey(schema, { description }).injected) return
        const fitting = holds(schema, list, key)
        seen.injected += 1
        seen.fitting += fitting
        seen.unfitting += 2 * list.length - fitting
      },
    ),
    { numRuns: 300 },
  )
  // The property would hold of nothing if the generator made nothing, or nothing that fits.
  assert.ok(seen.injected > 150 && seen.fitting > 150 && seen.unfitting > 150, JSON.stringify(seen))
})

test('property: the schema given is never changed, and the root gains no branch', () => {
  fc.assert(
    fc.property(generated, schema => {
      const before = JSON.stringify(schema)
      const result = injectKey(freeze(schema) as JsonObject, { description })
      assert.equal(JSON.stringify(schema), before)
      if (!result.injected) return
      const gained = Object.keys(result.schema).filter(keyword => !Object.hasOwn(schema, keyword))
      assert.deepEqual(
        gained.filter(keyword => keyword !== 'properties' && keyword !== 'required'),
        [],
      )
    }),
    { numRuns: 200 },
  )
})

function freeze(value: unknown): unknown {
  if (typeof value === 'object' && value !== null) Object.values(value).forEach(freeze)
  return Object.freeze(value)
}
