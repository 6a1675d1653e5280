import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { createLineReader } from '../../shared/upstream/lines.ts'
import { headerDeclarations, headerValue, paramHeaders } from '../../shared/upstream/param-headers.ts'
import { elementTexts, memberText } from '../../shared/upstream/raw-json.ts'
import { createSseParser, type SseEvent } from '../../shared/upstream/sse.ts'

/** JSON text with room between the parts, and numbers spelt in ways that JavaScript would not keep. */
const jsonText: fc.Arbitrary<string> = fc.letrec<{ value: string }>(tie => ({
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.constantFrom('1.0', '12345678901234567890', '-0', '1E5', 'true', 'null', '"\\u0041\\\\"', '"}]{["', '"\\""'),
    fc.string().map(text => JSON.stringify(text)),
    fc.array(tie('value'), { maxLength: 3 }).map(items => `[ ${items.join(' ,')}]`),
    fc
      .array(fc.tuple(fc.string(), tie('value')), { maxLength: 3 })
      .map(members => `{${members.map(([name, value]) => `${JSON.stringify(name)}\n:\t${value} `).join(',')}}`),
  ),
})).value

test('a member is cut out of a message with exactly its own bytes', () => {
  fc.assert(
    fc.property(jsonText, jsonText, fc.constantFrom('result', 'error', 're\\u0073ult'), (value, other, name) => {
      const text = ` {"id": ${other} , "${name}" :${value}\n, "x":"\\"${name}\\":1"}`
      assert.equal(memberText(text, JSON.parse(`"${name}"`)), value)
      assert.equal(memberText(text, 'absent'), undefined)
      assert.deepEqual(elementTexts(`[${value} , ${other}]`), [value, other])
    }),
  )
  assert.equal(memberText('{"result":1,"result":2}', 'result'), '2')
  assert.deepEqual(elementTexts(' [ ] '), [])
})

test('an event stream reads the same however it is cut into pieces and whichever line ends it uses', () => {
  const line = fc.string().map(text => text.replace(/[\r\n]/g, ' '))
  const pieces = fc.tuple(
    fc.array(fc.tuple(line, line), { minLength: 1 }),
    fc.constantFrom('\n', '\r\n', '\r'),
    fc.infiniteStream(fc.integer({ min: 1, max: 7 })),
  )
  fc.assert(
    fc.property(pieces, ([events, end, sizes]) => {
      const text = events
        .map(([a, b]) => `: note${end}event: message${end}data: ${a}${end}data: ${b}${end}${end}`)
        .join('')
      const read: SseEvent[] = []
      const parser = createSseParser(event => read.push(event), 10_000)
      for (let at = 0; at < text.length; ) {
        const size = sizes.next().value as number
        assert.equal(parser.push(text.slice(at, at + size)), true)
        at += size
      }
      // A carriage return alone at the very end could still become a pair.
      parser.push(end === '\r' ? ':' : '')
      assert.deepEqual(
        read.map(({ data }) => data),
        events.map(([a, b]) => `${a}\n${b}`),
      )
    }),
  )
})

test('an event larger than allowed is refused whether it comes at once or slowly', () => {
  const read: SseEvent[] = []
  const atOnce = createSseParser(event => read.push(event), 10)
  assert.equal(atOnce.push('data: 12345678901\n\n'), false)
  const slowly = createSseParser(event => read.push(event), 10)
  assert.equal(
    Array.from('data: 12345678901').every(char => slowly.push(char)),
    false,
  )
  assert.deepEqual(read, [])
})

test('lines are put together from any pieces of their bytes', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.string({ unit: 'grapheme' }).map(text => text.replace(/\n/g, '')),
        { minLength: 1 },
      ),
      fc.integer({ min: 1, max: 5 }),
      (lines, size) => {
        const bytes = Buffer.from(lines.map(text => `${text}\n`).join(''))
        const read: string[] = []
        const reader = createLineReader(text => read.push(text), 10_000)
        for (let at = 0; at < bytes.length; at += size) reader.push(bytes.subarray(at, at + size))
        assert.deepEqual(read, lines)
      },
    ),
  )
})

test('arguments become the headers that the specification wants', () => {
  const schema = {
    properties: {
      region: { type: 'string', 'x-mcp-header': 'Region' },
      deep: { properties: { n: { 'x-mcp-header': 'N' } } },
      plain: {},
    },
  }
  const declarations = headerDeclarations(schema)
  assert.deepEqual(paramHeaders(declarations, { region: 'eu', deep: { n: 3 }, plain: 1 }), {
    'mcp-param-region': 'eu',
    'mcp-param-n': '3',
  })
  assert.deepEqual(paramHeaders(declarations, { region: null, deep: 1 }), {})
  assert.equal(headerValue('Zürich'), `=?base64?${Buffer.from('Zürich').toString('base64')}?=`)
  assert.equal(headerValue(' x'), '=?base64?IHg=?=')
  assert.equal(headerValue('=?base64?eA==?='), '=?base64?PT9iYXNlNjQ/ZUE9PT89?=')
})
