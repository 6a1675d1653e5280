import assert from 'node:assert/strict'
import test from 'node:test'
import { ProtocolError, SdkError, SdkErrorCode, SdkHttpError } from '@modelcontextprotocol/client'
import { StreamableHTTPError } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { ErrorCode, McpError } from '@modelcontextprotocol/sdk/types.js'
import { judgeFailure } from 'holdfast/client'
import { judgeRecord } from '../../client/judge.ts'

const http = (status: number) => [
  new StreamableHTTPError(status, 'v1'),
  new SdkHttpError(SdkErrorCode.ClientHttpNotImplemented, 'v2', { status }),
]
const failed = (code: string) =>
  Object.assign(new TypeError('fetch failed'), { cause: Object.assign(new Error(code), { code }) })

const cases: Array<[string, unknown[], ReturnType<typeof judgeFailure>['certainty']]> = [
  [
    "an SDK's own time-out",
    [new McpError(ErrorCode.RequestTimeout, 'x'), new SdkError(SdkErrorCode.RequestTimeout, 'x')],
    'ambiguous',
  ],
  [
    'a closed connection',
    [
      new McpError(ErrorCode.ConnectionClosed, 'x'),
      new SdkError(SdkErrorCode.ConnectionClosed, 'x'),
      failed('ECONNRESET'),
      failed('UND_ERR_SOCKET'),
      failed('EPIPE'),
    ],
    'ambiguous',
  ],
  [
    'an answer that the SDK could not read',
    [
      new SdkError(SdkErrorCode.InvalidResult, 'x'),
      new SyntaxError('Unexpected end of JSON input'),
      new StreamableHTTPError(-1, 'content type'),
    ],
    'ambiguous',
  ],
  ['a message that may have been sent', [new SdkError(SdkErrorCode.SendFailed, 'x')], 'ambiguous'],
  ['408, 499, 500, 502, 504', [408, 499, 500, 502, 504].flatMap(http), 'ambiguous'],
  [
    'a result that an SDK refused after the effect',
    [new McpError(ErrorCode.InvalidParams, 'x'), new ProtocolError(-32600, 'x')],
    'ambiguous',
  ],
  [
    "the other side's own failure",
    [new McpError(ErrorCode.InternalError, 'x'), new ProtocolError(-32603, 'x')],
    'ambiguous',
  ],
  ['an error of an unknown kind', [new Error('?'), 'text', undefined, null, new ProtocolError(1234, 'x')], 'ambiguous'],
  [
    'a connection that was never made',
    [failed('ECONNREFUSED'), failed('ENOTFOUND'), new SdkError(SdkErrorCode.NotConnected, 'x')],
    'not_sent',
  ],
  ['401, 403, 404, 413, 429', [401, 403, 404, 413, 429].flatMap(http), 'not_sent'],
  [
    'a message that was turned away',
    [new McpError(ErrorCode.MethodNotFound, 'x'), new ProtocolError(-32601, 'x')],
    'refused',
  ],
]
for (const [what, errors, certainty] of cases) {
  test(`${what} is ${certainty}`, () => {
    for (const error of errors) assert.equal(judgeFailure(error).certainty, certainty, String(error))
  })
}

test('a wrong key is not tried again, a full server is', () => {
  const worth = (error: unknown) => {
    const failure = judgeFailure(error)
    return failure.certainty === 'not_sent' && failure.isWorthRepeating
  }
  for (const error of [...http(401), ...http(403), ...http(413)]) assert.equal(worth(error), false)
  for (const error of [...http(429), ...http(404), failed('ECONNREFUSED')]) assert.equal(worth(error), true)
  assert.equal(worth(Object.assign(new Error('x'), { code: 'NOT_CONNECTED', cause: http(401)[0] })), false)
})

test('only a record that proves that nothing happened lets a write be sent again', () => {
  const kinds = Object.fromEntries(
    (['not_found', 'not_executed', 'succeeded', 'failed', 'pending', 'unknown', 'unavailable', 'expired'] as const).map(
      state => [state, judgeRecord({ state, next: '', ...(state === 'not_executed' && { code: 'not_sent' }) })?.kind],
    ),
  )
  assert.deepEqual(kinds, {
    not_found: 'clear',
    not_executed: 'clear',
    succeeded: 'recorded',
    failed: 'recorded',
    pending: 'doubt',
    unknown: 'doubt',
    unavailable: undefined,
    expired: 'recorded',
  })
  const closed = judgeRecord({ state: 'not_executed', code: 'settled_not_executed', next: '' })
  assert.equal(closed?.kind, 'recorded')
})
