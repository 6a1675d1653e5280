/** Every row of the table "what the dispatcher saw decides" (design section 3). */
import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { codes } from '../../shared/call/codes.ts'
import { classify, type LostWhy, type NotSentWhy, type Seen } from '../../shared/call/seen.ts'

const errorText = (text: string): Seen => ({
  kind: 'result',
  raw: JSON.stringify({ content: [{ type: 'text', text }], isError: true }),
  isError: true,
})
const rpcError = (rpcCode: number, message: string, http?: number): Seen => ({
  kind: 'error',
  raw: JSON.stringify({ code: rpcCode, message }),
  rpcCode,
  message,
  http,
})
const http = (status: number, session = false): Seen => ({ kind: 'http', status, session, excerpt: '' })

test('a result without isError is succeeded, whatever its words', () => {
  const raw = JSON.stringify({ content: [{ type: 'text', text: 'HTTP 503 timeout ECONNRESET' }] })
  assert.deepEqual(classify({ kind: 'result', raw, isError: false }, { ambiguous: () => true }), { state: 'succeeded' })
})

test('a result with isError, and an error in upstream`s body, are failed', () => {
  assert.deepEqual(classify(errorText('no such account')), { state: 'failed', code: 'upstream_error' })
  for (const status of [undefined, 200, 400, 404, 422]) {
    assert.deepEqual(classify(rpcError(-32602, 'bad arguments', status)), { state: 'failed', code: 'upstream_error' })
  }
})

test('the tool`s own rule makes an error unknown, and sees it exactly as sent', () => {
  const seen = errorText('please check later')
  const rules = { ambiguous: (raw: string) => seen.kind === 'result' && raw === seen.raw }
  assert.deepEqual(classify(seen, rules), { state: 'unknown', code: 'ambiguous_error' })
  assert.deepEqual(classify(errorText('other'), rules), { state: 'failed', code: 'upstream_error' })
})

const doubtful = [
  'MCP error -32602: Output validation error: Invalid structured content for tool transfer',
  'Tool transfer has an output schema but no structured content was provided',
  'Request timed out',
  'timeout of 1000ms exceeded',
  'context deadline exceeded',
  'connect ETIMEDOUT 10.0.0.1:443',
  'read ECONNRESET',
  'write EPIPE',
  'socket hang up',
  'the connection was closed before the answer',
  'unexpected end of JSON input',
  'Request failed with status code 503',
  'HTTP 502',
  'HTTP/1.1 503',
  'HTTP error! status: 500',
  'upstream said {"statusCode":504}',
  'upstream said {"code": 500}',
  'status_code=521',
  'Response code: 500',
  'Error: 503.',
  'error 522: origin not reached',
  '520 Server Error for url',
  '500 Internal Server Error',
  '502: Bad Gateway',
  'the service is overloaded: Service Unavailable',
]
const definite = [
  'insufficient funds: balance 512',
  'Error: balance 512 is too low',
  'Error: 500 EUR exceeds your limit',
  'error: 550 units requested, 20 in stock',
  'order status: pending, 500 pieces missing',
  'promo code 512 is not valid',
  'invoice 503 is already paid',
  'error 5030: unknown account',
  'status: 512.50 is not an integer',
  'the amount must be at most 599',
  'the invoice is overdue',
  'HTTP 404',
  'Request failed with status code 422',
  'account not found',
]

test('an error that says "I do not know myself" is unknown, in a result and in a JSON-RPC error', () => {
  for (const text of doubtful) {
    assert.deepEqual(classify(errorText(text)), { state: 'unknown', code: 'ambiguous_error' }, text)
    assert.deepEqual(classify(rpcError(-32603, text, 200)), { state: 'unknown', code: 'ambiguous_error' }, text)
  }
})

test('an error that only holds a number or a word like it is failed', () => {
  for (const text of definite) {
    assert.deepEqual(classify(errorText(text)), { state: 'failed', code: 'upstream_error' }, text)
    assert.deepEqual(classify(rpcError(-32000, text, 200)), { state: 'failed', code: 'upstream_error' }, text)
  }
})

test('a question is a question, with its state', () => {
  const seen: Seen = { kind: 'input_required', raw: '{}', requestState: 's' }
  assert.deepEqual(classify(seen), { state: 'awaiting_input', requestState: 's' })
})

test('no byte sent is not executed', () => {
  const whys: Record<NotSentWhy, string> = {
    dns: 'not_sent',
    refused: 'not_sent',
    tls: 'not_sent',
    spawn: 'not_sent',
    connect: 'not_sent',
    stopping: 'not_sent',
    deadline: 'deadline_passed',
  }
  for (const [why, code] of Object.entries(whys)) {
    const verdict = classify({ kind: 'not_sent', why: why as NotSentWhy, message: '' })
    assert.deepEqual(verdict, { state: 'not_executed', code })
  }
})

test('a status given before the call was looked at is not executed, with and without a JSON-RPC body', () => {
  for (const status of [301, 302, 303, 304, 307, 308, 401, 405, 413, 415, 429]) {
    assert.deepEqual(classify(http(status)), { state: 'not_executed', code: 'refused_by_upstream' }, `${status}`)
    const withBody = classify(rpcError(-32000, 'no', status))
    assert.deepEqual(withBody, { state: 'not_executed', code: 'refused_by_upstream' }, `${status}`)
  }
})

test('a 404 is not executed only where it answers a session id', () => {
  assert.deepEqual(classify(http(404, true)), { state: 'not_executed', code: 'refused_by_upstream' })
  assert.deepEqual(classify(http(404, false)), { state: 'failed', code: 'upstream_rejected' })
})

test('the codes of the POST itself are not executed there, and only there', () => {
  for (const code of [-32020, -32021, -32022]) {
    assert.deepEqual(classify(rpcError(code, 'no', 400)), { state: 'not_executed', code: 'refused_by_upstream' })
    // In a stream that was begun, or over stdio, the same number may come after an effect.
    assert.deepEqual(classify(rpcError(code, 'no', 200)), { state: 'failed', code: 'upstream_error' })
    assert.deepEqual(classify(rpcError(code, 'no')), { state: 'failed', code: 'upstream_error' })
  }
})

test('other 4xx are failed', () => {
  for (const status of [400, 402, 403, 406, 409, 410, 422, 451]) {
    assert.deepEqual(classify(http(status)), { state: 'failed', code: 'upstream_rejected' }, `${status}`)
  }
})

test('5xx, 408, 499 and a status that answers nothing are unknown, with and without a JSON-RPC body', () => {
  const expected = {
    408: 'timeout',
    499: 'unreadable_answer',
    500: 'upstream_5xx',
    502: 'upstream_5xx',
    503: 'upstream_5xx',
    599: 'upstream_5xx',
  }
  for (const [status, code] of Object.entries(expected)) {
    assert.deepEqual(classify(http(Number(status))), { state: 'unknown', code })
    assert.deepEqual(classify(rpcError(-32602, 'bad arguments', Number(status))), { state: 'unknown', code })
  }
  for (const status of [100, 200, 202, 204]) {
    assert.deepEqual(classify(http(status)), { state: 'unknown', code: 'unreadable_answer' }, `${status}`)
  }
})

test('no complete answer is unknown, whoever noticed it', () => {
  const whys: Record<LostWhy, string> = {
    timeout: 'timeout',
    reset: 'connection_lost',
    truncated: 'connection_lost',
    closed: 'connection_lost',
    session: 'connection_lost',
    exit: 'connection_lost',
    protocol: 'unreadable_answer',
    sdk: 'unreadable_answer',
    too_large: 'unreadable_answer',
  }
  for (const [why, code] of Object.entries(whys)) {
    assert.deepEqual(classify({ kind: 'lost', why: why as LostWhy, message: '' }), { state: 'unknown', code })
  }
})

test('property: an HTTP status is never succeeded, and says "not executed" of the listed ones alone', () => {
  const listed = new Set([401, 405, 413, 415, 429])
  fc.assert(
    fc.property(fc.integer({ min: 100, max: 599 }), fc.boolean(), (status, session) => {
      const { state } = classify(http(status, session))
      assert.notEqual(state, 'succeeded')
      const turnedAway = listed.has(status) || (status >= 300 && status < 400) || (status === 404 && session)
      assert.equal(state === 'not_executed', turnedAway)
      if (status >= 500) assert.equal(state, 'unknown')
    }),
  )
})

test('every code that a verdict can carry is an outcome in the table of codes', () => {
  const seen: Seen[] = [
    errorText('x'),
    errorText('timeout'),
    rpcError(-32020, 'x', 400),
    ...[200, 301, 400, 408, 500].map(status => http(status)),
  ]
  for (const each of seen) {
    const verdict = classify(each)
    assert.ok('code' in verdict && codes[verdict.code].kind === 'outcome')
  }
})
