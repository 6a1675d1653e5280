import assert from 'node:assert/strict'
import test from 'node:test'
import { answerWrite, type WriteContext, type WriteReply } from '../../services/front/answers/write.ts'
import { instructions, maxInstructionBytes } from '../../services/front/mcp/instructions.ts'
import { ownTools } from '../../services/front/outcome/tools.ts'
import { keyDescription } from '../../services/front/words.ts'
import { codes, type OutcomeCode } from '../../shared/call/codes.ts'
import type { Operation } from '../../shared/call/operation.ts'
import type { OutcomeRecord, UpstreamAnswer } from '../../shared/call/record.ts'

const callId = '01K9ZZZZZZZZZZZZZZZZZZZZZA'
const first = '01K9ZZZZZZZZZZZZZZZZZZZZZ0'
const at = Date.parse('2026-11-21T10:00:00.000Z')

const context: WriteContext = {
  era: 'legacy',
  server: 'bank',
  key: 'invoice-1042',
  keySource: 'argument',
  now: at + 1_000,
  outputSchema: undefined,
  canAnswer: () => false,
  serverInfo: { name: 'holdfast', version: '1' },
}

type Ends = { [S in Operation['state']]: Omit<Extract<Operation, { state: S }>, keyof Common> }[Operation['state']]
type Common = Pick<
  Operation,
  'operationId' | 'callId' | 'fingerprint' | 'epoch' | 'round' | 'sequence' | 'attempts' | 'firstSeenAt'
>
const common: Common = {
  operationId: first,
  callId,
  fingerprint: 'f',
  epoch: 1,
  round: 1,
  sequence: 2,
  attempts: 1,
  firstSeenAt: at,
}

const recordOf = (end: Ends, answer?: UpstreamAnswer): OutcomeRecord => ({
  operation: { ...common, ...end } as Operation,
  tenant: 't',
  keyspace: 'a',
  agent: 'a',
  conversation: undefined,
  server: 'bank',
  tool: 'transfer',
  key: 'invoice-1042',
  expiresAt: at + 86_400_000,
  expired: false,
  answer,
})
const outcome = (end: Ends, answer?: UpstreamAnswer, how: 'own' | 'replayed' | 'attached' = 'own'): WriteReply => ({
  kind: 'outcome',
  callId,
  how,
  record: recordOf(end, answer),
})

type Result = {
  content: Array<{ type: string; text: string }>
  isError?: boolean
  structuredContent?: unknown
  _meta: { 'dev.holdfast/outcome': Record<string, unknown> }
}
const say = (reply: WriteReply, more: Partial<WriteContext> = {}): Result =>
  JSON.parse(answerWrite(reply, { ...context, ...more }))
const textOf = (result: Result) => result.content.map(({ text }) => text).join('\n')
const metaOf = (result: Result) => result._meta['dev.holdfast/outcome']

const succeeded = { state: 'succeeded', finishedAt: at, evidence: 'upstream' } as const
const ok: UpstreamAnswer = {
  kind: 'result',
  raw: '{"content":[{"type":"text","text":"sent"}],"structuredContent":{"id":1},"isError":false}',
}

test('a running write is said to be running, never failed, and names the call to ask about', () => {
  const result = say(outcome({ state: 'executing', owner: 'o', dispatchedAt: at }))
  assert.equal(
    textOf(result),
    `STILL RUNNING, not failed. Do not send this under another key. Next: holdfast_outcome {"callId":"${callId}","waitMs":30000}.`,
  )
  assert.equal(metaOf(result).state, 'pending')
})

test('silence is pending: nothing heard is no failure', () => {
  const result = say({ kind: 'silent', callId })
  assert.match(textOf(result), /^STILL RUNNING, not failed\./)
  assert.equal(metaOf(result).state, 'pending')
})

test('an unknown outcome is said to be possible and forbids both a new key and a report', () => {
  const result = say(outcome({ state: 'unknown', code: 'timeout', owner: 'o' }))
  const text = textOf(result)
  assert.match(text, /^MAY HAVE HAPPENED\./)
  assert.match(text, /Do not send it again under a new key, and do not report success or failure\./)
  assert.ok(
    text.includes(
      `Next: holdfast_outcome {"callId":"${callId}","waitMs":30000}; if still unknown, tell the user that this is unconfirmed.`,
    ),
  )
})

test('an ambiguous error comes with the words of the server', () => {
  const raw = '{"content":[{"type":"text","text":"gateway timeout"}],"isError":true}'
  const text = textOf(say(outcome({ state: 'unknown', code: 'ambiguous_error', owner: 'o' }, { kind: 'result', raw })))
  assert.match(text, /^MAY HAVE HAPPENED\./)
  assert.match(text, /gateway timeout/)
})

test('a write that was never sent may be repeated with the same key', () => {
  const text = textOf(
    say(
      outcome({
        state: 'not_executed',
        finishedAt: at,
        evidence: 'no_intent',
        code: 'deadline_passed',
        reopenable: true,
      }),
    ),
  )
  assert.match(text, /^NOTHING WAS SENT\./)
  assert.match(text, /Safe to repeat with the same key\.$/)
})

test('"nothing was sent" is not said of a request that the server turned away: it was sent', () => {
  const text = textOf(
    say(
      outcome({
        state: 'not_executed',
        finishedAt: at,
        evidence: 'dispatcher',
        code: 'refused_by_upstream',
        reopenable: true,
      }),
    ),
  )
  assert.doesNotMatch(text, /NOTHING WAS SENT/)
  assert.match(text, /^NOT EXECUTED\..*Safe to repeat with the same key/)
})

test('a closed key is not offered for repetition', () => {
  const text = textOf(
    say(
      outcome({
        state: 'not_executed',
        finishedAt: at,
        evidence: 'person',
        code: 'settled_not_executed',
        reopenable: false,
      }),
    ),
  )
  assert.match(text, /^NOT EXECUTED\./)
  assert.doesNotMatch(text, /Safe to repeat/)
  assert.match(text, /Use a new key/)
})

test("a failure is the server's own words, and final for its key", () => {
  const raw = '{"content":[{"type":"text","text":"insufficient funds"}],"isError":true}'
  const result = say(
    outcome({ state: 'failed', finishedAt: at, evidence: 'upstream', code: 'upstream_error' }, { kind: 'result', raw }),
  )
  assert.deepEqual(result.content[0], { type: 'text', text: 'insufficient funds' })
  assert.match(result.content[1]?.text ?? '', /final for this key; a corrected call is a new change: use a new key\.$/)
  assert.equal(result.isError, true)
})

test('a JSON-RPC error of the server is quoted and final', () => {
  const text = textOf(
    say(
      outcome(
        { state: 'failed', finishedAt: at, evidence: 'upstream', code: 'upstream_error' },
        { kind: 'error', raw: '{"code":-32602,"message":"no such account"}' },
      ),
    ),
  )
  assert.match(text, /no such account/)
  assert.match(text, /use a new key\.$/)
})

test("a success is the server's own result and nothing besides", () => {
  const result = say(outcome(succeeded, ok))
  assert.deepEqual(result.content, [{ type: 'text', text: 'sent' }])
  assert.deepEqual(result.structuredContent, { id: 1 })
  assert.deepEqual(metaOf(result), {
    state: 'succeeded',
    callId,
    key: 'invoice-1042',
    epoch: 1,
    firstSeenAt: '2026-11-21T10:00:00.000Z',
    attempts: 1,
    expiresAt: '2026-11-22T10:00:00.000Z',
    replayed: false,
  })
})

test('a replay of a key that the model chose says that it was not done again, once it is older than two minutes', () => {
  const replay = outcome(succeeded, ok, 'replayed')
  const notice = (more: Partial<WriteContext>) => say(replay, more).content[1]?.text
  assert.equal(
    notice({ now: at + 120_001 }),
    'Not done again: already done at 2026-11-21T10:00:00.000Z; for another one use a new key.',
  )
  assert.equal(notice({ now: at + 120_000 }), undefined, 'a young replay is a retry')
  assert.equal(notice({ now: at + 120_001, keySource: 'header' }), undefined, 'a host means it')
  assert.equal(say(outcome(succeeded, ok), { now: at + 120_001 }).content.length, 1, 'the first answer is no replay')
  assert.equal(metaOf(say(replay)).replayed, true)
  assert.equal(metaOf(say(outcome(succeeded, ok, 'attached'))).replayed, true, 'it was not done for this call')
  assert.equal(
    metaOf(say(outcome({ state: 'executing', owner: 'o', dispatchedAt: at }, undefined, 'attached'))).replayed,
    false,
  )
})

test('what a person established is said without the answer of the server, and is not to be repeated', () => {
  const result = say(outcome({ state: 'succeeded', finishedAt: at, evidence: 'person' }))
  assert.match(textOf(result), /^IT HAPPENED\..*a person.*do not send it again\.$/)
  assert.equal(result.isError, false)
  const shaped = say(outcome({ state: 'succeeded', finishedAt: at, evidence: 'probe' }), {
    outputSchema: { type: 'object' },
  })
  assert.match(textOf(shaped), /^IT HAPPENED\..*looking at the server/)
  assert.equal(shaped.isError, true, 'SDKs throw away a success without the structuredContent that the tool promises')
})

const recovery = {
  code: 'timeout',
  since: at,
  tries: [
    { attempt: 1, at },
    { attempt: 2, at },
  ],
  triedAt: at,
  quietFrom: at,
  probes: 3,
  notLanded: 0,
} as const

test('an unknown that is being found out says so, and when it is looked at next', () => {
  const next = { step: 'probe', at: at + 60_000 } as const
  const result = say(outcome({ state: 'unknown', code: 'timeout', owner: 'o', recovery: { ...recovery, next } }))
  assert.match(textOf(result), /^MAY HAVE HAPPENED\. .* Holdfast is finding out by itself\. Do not send it again/)
  assert.deepEqual(metaOf(result).recovery, {
    ...{ state: 'under_way', replays: 1, probes: 3 },
    ...{ next: 'probe', nextAt: '2026-11-21T10:01:00.000Z' },
  })
})

test('an unknown whose budget is spent says that nothing more is tried, and who can settle it', () => {
  const result = say(
    outcome({ state: 'unknown', code: 'timeout', owner: 'o', recovery: { ...recovery, over: 'budget' } }),
  )
  assert.match(textOf(result), /tries no further; a person can settle it\./)
  assert.deepEqual(metaOf(result).recovery, { state: 'over', replays: 1, probes: 3 })
})

test('a conflict names the call that holds the key, and a twin how to mean it', () => {
  const conflict = (code: 'idempotency_conflict' | 'possible_duplicate'): WriteReply => ({
    kind: 'outcome',
    callId: '01K9ZZZZZZZZZZZZZZZZZZZZZB',
    how: 'conflicted',
    code,
    record: recordOf({ state: 'executing', owner: 'o', dispatchedAt: at }),
  })
  assert.match(
    textOf(say(conflict('idempotency_conflict'))),
    new RegExp(`^NOTHING WAS SENT for this request\\..*"callId":"${callId}"`),
  )
  const twin = say(conflict('possible_duplicate'))
  assert.ok(textOf(twin).includes(`;after=${callId}`))
  assert.equal(metaOf(twin).of, callId)
  assert.equal(metaOf(twin).state, 'conflict')
})

test('a refusal says that earlier requests with the key may have run, and how to ask', () => {
  const result = say({ kind: 'not_accepted', callId, code: 'journal_unavailable', retryAfterMs: 1000 })
  const text = textOf(result)
  assert.match(text, /^NOT ACCEPTED\./)
  assert.match(text, /This request was not accepted; earlier ones with this key may have run\./)
  assert.ok(text.includes('holdfast_outcome {"server":"bank","key":"invoice-1042","waitMs":30000}'))
  assert.deepEqual(metaOf(result), {
    state: 'not_accepted',
    code: 'journal_unavailable',
    callId,
    replayed: false,
    key: 'invoice-1042',
    retryAfterMs: 1000,
  })
})

test('a doubtful append is never called a refusal', () => {
  const result = say({ kind: 'doubtful', callId })
  assert.match(textOf(result), /^MAY STILL HAPPEN\./)
  assert.doesNotMatch(textOf(result), /not accepted/i)
  assert.equal(metaOf(result).state, 'unknown')
})

test('an expired key is never run again and says so', () => {
  const reply = outcome(succeeded)
  const expired = { ...reply, record: { ...(reply as { record: OutcomeRecord }).record, expired: true } } as WriteReply
  assert.match(textOf(say(expired)), /It is never run again\. Use a new key/)
  assert.equal(metaOf(say(expired)).code, 'idempotency_key_expired')
})

test('a question goes to a client that can answer it as it is, and to others in words', () => {
  const raw = '{"resultType":"input_required","requestState":"s","inputRequests":{}}'
  const reply = outcome({ state: 'awaiting_input', requestStateHash: 'h' }, { kind: 'input_required', raw })
  const asked = JSON.parse(answerWrite(reply, { ...context, era: 'modern', canAnswer: () => true }))
  assert.equal(asked.resultType, 'input_required')
  assert.equal(asked.requestState, 's')
  assert.equal(asked.isError, undefined)
  const told = say(reply)
  assert.equal(told.isError, true)
  assert.match(textOf(told), /^THE SERVER ASKS/)
})

test('every answer of our own is an error with one text and without structured content', () => {
  const ends: Ends[] = [
    { state: 'accepted', owner: 'o', dispatchBy: at },
    { state: 'awaiting_approval', dispatchBy: at },
    { state: 'executing', owner: 'o', dispatchedAt: at },
    { state: 'awaiting_input', requestStateHash: 'h' },
    { state: 'unknown', code: 'timeout', owner: 'o' },
    { state: 'not_executed', finishedAt: at, evidence: 'no_intent', code: 'cancelled', reopenable: true },
  ]
  for (const era of ['legacy', 'modern'] as const) {
    for (const end of ends) {
      const result = say(outcome(end), { era })
      assert.equal(result.isError, true, end.state)
      assert.equal(result.content.length, 1, end.state)
      assert.equal(result.structuredContent, undefined, end.state)
      assert.equal(metaOf(result).callId, callId, end.state)
    }
  }
})

test('every code of an unknown or unsent write has words', () => {
  for (const [code, { kind }] of Object.entries(codes)) {
    if (kind === 'outcome') {
      assert.match(
        textOf(say(outcome({ state: 'unknown', code: code as OutcomeCode, owner: 'o' }))),
        /^MAY HAVE HAPPENED\. \S/,
      )
    } else {
      assert.match(
        textOf(say({ kind: 'not_accepted', callId, code: code as keyof typeof codes })),
        /^NOT ACCEPTED\. \S/,
      )
    }
  }
})

test('instructions fit into a kilobyte and name keys, states and what to do after a transport error', () => {
  for (const unread of [[], ['bank'], Array.from({ length: 100 }, (_, n) => `server-${n}`)]) {
    const text = instructions(unread)
    assert.ok(Buffer.byteLength(text) <= maxInstructionBytes, `${Buffer.byteLength(text)} bytes`)
    assert.match(text, /idempotency_key/)
    assert.match(text, /ANY transport error.*call holdfast_outcome first/)
    assert.match(text, /unknown \(may have happened/)
  }
  assert.match(instructions(['bank']), /Not reachable now.*bank/)
})

test("the key is described to models in the design's words", () => {
  assert.equal(
    keyDescription,
    'A name for this one intended change, including what and when (invoice-1042-payment-2026-11-21). Same change, same key, always.',
  )
})

test("Holdfast's own tools are read-only, with flat optional input and their own output schema", () => {
  assert.deepEqual(
    ownTools.map(({ name }) => name),
    ['holdfast_outcome', 'holdfast_report'],
  )
  for (const tool of ownTools as unknown as Array<{
    inputSchema: Record<string, unknown>
    outputSchema: object
    annotations: object
  }>) {
    assert.equal(tool.inputSchema.required, undefined)
    for (const keyword of ['oneOf', 'anyOf', 'allOf']) assert.equal(tool.inputSchema[keyword], undefined)
    assert.equal((tool.annotations as { readOnlyHint: boolean }).readOnlyHint, true)
    assert.ok(tool.outputSchema)
  }
})
