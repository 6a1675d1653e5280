import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { editResult, textOf } from '../../services/front/answers/raw.ts'
import { argumentProblem } from '../../services/front/calls/arguments.ts'
import type { RawAnswer } from '../../services/front/calls/settled.ts'
import { replyFrom } from '../../services/front/calls/await-reply.ts'
import { canAnswer, clientOf, forwardedMeta } from '../../services/front/calls/incoming.ts'
import { createWaiters } from '../../services/front/calls/waiters.ts'
import { withAnswers } from '../../services/front/mcp/exchange.ts'
import { createSessions } from '../../services/front/mcp/session.ts'
import type { SubmitCommand } from '../../shared/call/command.ts'
import type { Json } from '../../shared/call/fingerprint.ts'
import type { OutcomeRecord, Reply } from '../../shared/call/record.ts'

const spelled =
  '{ "content" : [ {"type":"text","text":"a\\u0041"} ], "structuredContent":{"id":12345678901234567890,"rate":1.0,"10":1,"2":2}, "isError":false, "_meta":{"kept":1.50} }'

test('an edit leaves every number and every spelling of upstream as it was (I10)', () => {
  const edited = editResult(spelled, { meta: { mine: { n: 1 } }, notice: 'seen', resultType: 'complete' })
  for (const part of ['"a\\u0041"', '{"id":12345678901234567890,"rate":1.0,"10":1,"2":2}', '"kept":1.50']) {
    assert.ok(edited.includes(part), part)
  }
  const value = JSON.parse(edited)
  assert.deepEqual(value._meta, { kept: 1.5, mine: { n: 1 } })
  assert.deepEqual(value.content[1], { type: 'text', text: 'seen' })
  assert.equal(value.resultType, 'complete')
})

test('an edit gives the same value by either path, for any result', () => {
  const results = fc.record(
    {
      content: fc.array(fc.record({ type: fc.constant('text'), text: fc.string({ unit: 'binary' }) }), {
        maxLength: 3,
      }),
      structuredContent: fc.dictionary(fc.string(), fc.jsonValue()),
      isError: fc.boolean(),
      resultType: fc.constantFrom('complete', 'input_required'),
      _meta: fc.dictionary(fc.string(), fc.jsonValue()),
    },
    { requiredKeys: ['content'] },
  )
  fc.assert(
    fc.property(results, result => {
      const edits = { meta: { 'dev.holdfast/outcome': { state: 'succeeded' } }, notice: 'n', resultType: 'complete' }
      const compact = JSON.stringify(result)
      // Indented text does not print as it was read, so it takes the other path.
      const indented = JSON.stringify(result, undefined, 2)
      assert.deepEqual(JSON.parse(editResult(indented, edits)), JSON.parse(editResult(compact, edits)))
    }),
  )
})

test('a result that is nested deeper than JSON.stringify can go is handed on all the same', () => {
  const nested = `${'['.repeat(100_000)}${']'.repeat(100_000)}`
  const edited = editResult(`{"content":[],"structuredContent":{"deep":${nested}}}`, { meta: { mine: 1 } })
  assert.ok(edited.includes(nested))
  assert.deepEqual(JSON.parse(edited)._meta, { mine: 1 })
})

test('an edit works where upstream sent neither content nor _meta', () => {
  for (const raw of ['{}', '{"content":[]}', '{ "content": [ ], "x": 1.0 }']) {
    const value = JSON.parse(editResult(raw, { meta: { a: 1 }, notice: 'n' }))
    assert.deepEqual(value._meta, { a: 1 })
    assert.deepEqual(value.content, [{ type: 'text', text: 'n' }])
  }
})

test("an answer takes the place of the SDK's result, by request id, in single bodies and in batches", () => {
  const answers = new Map<string | number, RawAnswer>([
    [1, { kind: 'result', raw: '{"n":1.0}' }],
    ['two', { kind: 'error', raw: '{"code":-1,"message":"no"}' }],
  ])
  assert.equal(
    withAnswers('{"result":{"content":[]},"jsonrpc":"2.0","id":1}', { answers }),
    '{"jsonrpc":"2.0","id":1,"result":{"n":1.0}}',
  )
  const batch = [
    { jsonrpc: '2.0', id: 'two', result: {} },
    { jsonrpc: '2.0', id: 3, result: { other: true } },
    { jsonrpc: '2.0', id: 1, error: { code: -32603, message: 'refused by the SDK' } },
  ]
  assert.equal(
    withAnswers(JSON.stringify(batch), { answers }),
    `[{"jsonrpc":"2.0","id":"two","error":{"code":-1,"message":"no"}},${JSON.stringify(batch[1])},${JSON.stringify(batch[2])}]`,
  )
})

test('the text of a result is its text blocks, whatever else it holds', () => {
  assert.equal(textOf('{"content":[{"type":"text","text":"a"},{"type":"image"},{"type":"text","text":"b"}]}'), 'a\nb')
  assert.equal(textOf('{"content":"broken"}'), '')
})

test('a session opens for the agent it was given to, on any replica, and for nobody else', () => {
  const session = {
    id: '01K9ZZZZZZZZZZZZZZZZZZZZZA',
    tenant: 't',
    agent: 'a',
    client: 'codex/1',
    version: '2025-11-25',
  }
  const sealed = createSessions('one secret').seal(session)
  assert.match(sealed, /^[\x21-\x7e]+$/)
  assert.deepEqual(createSessions('one secret').open(sealed, { tenant: 't', agent: 'a' }), session)
  assert.equal(createSessions('one secret').open(sealed, { tenant: 't', agent: 'b' }), undefined)
  assert.equal(createSessions('one secret').open(sealed, { tenant: 'u', agent: 'a' }), undefined)
  assert.equal(createSessions('another').open(sealed, { tenant: 't', agent: 'a' }), undefined)
  const changed = `${sealed.slice(0, 20)}${sealed[20] === 'A' ? 'B' : 'A'}${sealed.slice(21)}`
  assert.equal(createSessions('one secret').open(changed, { tenant: 't', agent: 'a' }), undefined)
  assert.equal(createSessions('one secret').open('not-a-session', { tenant: 't', agent: 'a' }), undefined)
  assert.ok(!sealed.includes('codex'))
})

test('arguments are checked against the schema of either draft, and a schema that cannot be used refuses nothing', () => {
  const draft2020 = {
    type: 'object',
    properties: { n: { type: 'integer' } },
    required: ['n'],
    unevaluatedProperties: false,
  }
  assert.equal(argumentProblem(draft2020, { n: 1 }), undefined)
  assert.match(argumentProblem(draft2020, { n: 'x' }) ?? '', /^n must be integer/)
  assert.match(argumentProblem(draft2020, {}) ?? '', /required property 'n'/)
  assert.match(argumentProblem(draft2020, { n: 1, extra: 1 }) ?? '', /unevaluated/)
  const draft07 = {
    $schema: 'http://json-schema.org/draft-07/schema#',
    type: 'object',
    properties: { at: { type: 'array', items: [{ type: 'string' }] } },
  }
  assert.equal(argumentProblem(draft07, { at: ['x'] }), undefined)
  assert.match(argumentProblem(draft07, { at: [1] }) ?? '', /at\/0 must be string/)
  assert.equal(argumentProblem({ type: 'object', properties: { a: { $ref: '#/nowhere' } } }, { a: 1 }), undefined)
  assert.equal(argumentProblem(undefined, {}), undefined)
  assert.equal(argumentProblem({ $id: 'same', type: 'object' }, {}), undefined)
  assert.equal(argumentProblem({ $id: 'same', type: 'object' }, {}), undefined)
})

test('_meta goes on to upstream without what speaks of this hop or to Holdfast', () => {
  const params: { [name: string]: Json } = {
    _meta: {
      progressToken: 1,
      traceparent: '00-1-2-01',
      'claudecode/toolUseId': 'x',
      'dev.holdfast/idempotency-key': 'k',
      'io.modelcontextprotocol/clientInfo': { name: 'c' },
    },
  }
  assert.deepEqual(forwardedMeta({ params } as never), { traceparent: '00-1-2-01', 'claudecode/toolUseId': 'x' })
  assert.equal(forwardedMeta({ params: {} } as never), undefined)
})

test('a client is named by its own description, and nothing but text is believed', () => {
  assert.equal(clientOf({ name: 'codex', version: '1.2' }), 'codex/1.2')
  assert.equal(clientOf({ name: 'codex' }), 'codex')
  assert.equal(clientOf({ name: 7 }), undefined)
  assert.equal(clientOf({ name: 'x'.repeat(300) }), undefined)
})

test('a client is asked only what it declared that it can answer', () => {
  const raw = JSON.stringify({ inputRequests: { q: { method: 'elicitation/create', params: { mode: 'form' } } } })
  const url = JSON.stringify({ inputRequests: { q: { method: 'elicitation/create', params: { mode: 'url' } } } })
  const able = (capabilities: Json, era: 'modern' | 'legacy' = 'modern') => ({
    era,
    params: { _meta: { 'io.modelcontextprotocol/clientCapabilities': capabilities } },
  })
  assert.equal(canAnswer(able({ elicitation: {} }), raw), true)
  assert.equal(canAnswer(able({ elicitation: {} }), url), false)
  assert.equal(canAnswer(able({ elicitation: { url: {} } }), url), true)
  assert.equal(canAnswer(able({}), raw), false)
  assert.equal(canAnswer(able({ elicitation: {} }, 'legacy'), raw), false)
})

test('a reply that comes before anybody reads it is not lost, and one for nobody is dropped', async () => {
  const waiters = createWaiters()
  const { signal } = new AbortController()
  const reply: Reply = { kind: 'not_found', callId: 'one' }
  waiters.deliver([reply])
  const mailbox = waiters.open('one')
  waiters.deliver([reply, { kind: 'not_found', callId: 'two' }])
  assert.equal(await mailbox.next(1000, signal), reply)
  assert.equal(await mailbox.next(1, signal), undefined)
  assert.equal(waiters.size(), 1)
  mailbox.close()
  mailbox.close()
  assert.equal(waiters.size(), 0)
})

test('a waiter is let go at once when the front closes', async () => {
  const closing = new AbortController()
  const mailbox = createWaiters().open('one')
  const next = mailbox.next(60_000, closing.signal)
  closing.abort()
  assert.equal(await next, undefined)
})

test('a re-read record never passes for the answer to another change (I4)', () => {
  const submit = { callId: 'mine', key: 'k', fingerprint: 'f' } as SubmitCommand
  const record = (more: object, key = 'k') =>
    ({
      key,
      operation: { callId: 'theirs', state: 'succeeded', fingerprint: 'f', ...more },
    }) as unknown as OutcomeRecord
  const how = (of: OutcomeRecord, command = submit) => {
    const reply = replyFrom(of, command)
    return reply?.kind === 'outcome' ? (reply.code ?? reply.how) : reply
  }
  assert.equal(how(record({ callId: 'mine' })), 'own')
  assert.equal(how(record({})), 'replayed')
  assert.equal(how(record({ state: 'executing' })), 'attached')
  assert.equal(how(record({ fingerprint: 'g' })), 'idempotency_conflict')
  assert.equal(how(record({}, 'other')), 'possible_duplicate')
  assert.equal(how(record({ inputsHash: 'h' }), { ...submit, inputs: { inputResponses: { a: 1 } } }), undefined)
})
