import assert from 'node:assert/strict'
import test from 'node:test'
import { codes } from '../../shared/call/codes.ts'
import { AppendDoubtful, AppendRefused, type Journal } from '../../shared/journal/port.ts'
import { callBody, keys, outcomeOf, resultOf, startHarness, type WriteResult } from '../helpers/front/harness.ts'

const write = (key: string, args: object = {}, more: { id?: number | string; [param: string]: unknown } = {}) =>
  callBody('write', { ...args, idempotency_key: key }, more)
const textOf = (result: WriteResult) => result.content.map(({ text }) => text).join('\n')
const initialize = {
  jsonrpc: '2.0',
  id: 0,
  method: 'initialize',
  params: { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'raw', version: '1' } },
}

test('the same key again gives the recorded answer, from any client of either era, and no second effect', async t => {
  const { modern, legacy, lab } = await startHarness(t)
  const args = { n: 1, idempotency_key: 'same' }
  const first = await (await legacy()).callTool({ name: 'lab__write', arguments: args })
  const again = await (await modern({ path: '/mcp/lab' })).callTool({ name: 'write', arguments: args })
  assert.deepEqual(again.content, first.content)
  assert.equal(outcomeOf(first).replayed, false)
  assert.equal(outcomeOf(again).replayed, true)
  assert.equal(lab.effects().length, 1)
})

test('a replay long after says that it was not done again', async t => {
  const { post, shiftTime } = await startHarness(t)
  await post(write('old'))
  shiftTime(121_000)
  const result = await resultOf(await post(write('old')))
  assert.match(result.content.at(-1)?.text ?? '', /^Not done again: already done at \d{4}-/)
})

test('a key for another change conflicts, and a change under another key is a twin until it is settled (I5)', async t => {
  const { post, lab, broker } = await startHarness(t)
  lab.behave('late')
  const running = post(write('one', { n: 1 }))
  const call = await lab.waitForCall(1)
  assert.deepEqual(call.arguments, { n: 1 })
  assert.equal(outcomeOf(await resultOf(await post(write('one', { n: 2 })))).code, 'idempotency_conflict')
  const twin = await resultOf(await post(write('two', { n: 1 })))
  assert.equal(outcomeOf(twin).code, 'possible_duplicate')
  assert.equal(outcomeOf(twin).of, broker.row('one')?.operation.callId)
  lab.release()
  assert.equal(outcomeOf(await resultOf(await running)).state, 'succeeded')
  assert.equal(lab.effects().length, 1)
})

test("the server's numbers and spelling survive, in the first answer and in every replay (I10)", async t => {
  const { post, lab, broker } = await startHarness(t)
  lab.behave('big_numbers')
  const bodies = [await (await post(write('big'))).text(), await (await post(write('big'))).text()]
  const raw = broker.row('big')?.answer?.raw ?? ''
  assert.match(raw, /12345678901234567890/)
  const structured = /"structuredContent"\s*:\s*(\{[^}]*\})/.exec(raw)?.[1] ?? 'nothing'
  for (const body of bodies) assert.ok(body.includes(structured), body)
})

test('a slow write becomes an event stream that is kept alive, tells of progress, and ends with the answer', async t => {
  const { post, lab } = await startHarness(t, { times: { jsonWithinMs: 30, keepAliveMs: 20 } })
  lab.behave('late')
  const response = await post(write('slow', {}, { _meta: { progressToken: 'p-1' } }))
  assert.equal(response.headers.get('content-type'), 'text/event-stream')
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader()
  let text = ''
  const readUntil = async (part: RegExp) => {
    while (!part.test(text)) {
      const { done, value } = await reader.read()
      if (done) throw new Error(`the stream ended at: ${text}`)
      text += value
    }
  }
  await readUntil(/(: keep-alive\n\n[^]*){3}/)
  // On a busy machine the stream may begin before the server has the call.
  await lab.waitForCall()
  lab.release()
  await readUntil(/"result"/)
  const events = text.split('\n\n').flatMap(event => /^event: message\ndata: (.*)$/m.exec(event)?.[1] ?? [])
  const messages = events.map(
    data =>
      JSON.parse(data) as {
        method?: string
        params?: { progressToken: string; progress: number }
        id?: number
        result?: unknown
      },
  )
  const progress = messages.filter(({ method }) => method === 'notifications/progress')
  assert.ok(progress.length >= 2)
  assert.deepEqual(
    progress.map(({ params }) => params?.progress),
    progress.map((_, index) => index + 1),
  )
  assert.equal(progress[0]?.params?.progressToken, 'p-1')
  assert.equal(outcomeOf(messages.at(-1)?.result).state, 'succeeded')
  assert.equal((await reader.read()).done, true)
})

test('both SDKs read the answer of a slow write from the stream', async t => {
  const { legacy, modern, lab } = await startHarness(t, { times: { jsonWithinMs: 20, keepAliveMs: 20 } })
  for (const [index, client] of [await legacy(), await modern()].entries()) {
    lab.behave('late')
    const result = client.callTool({ name: 'lab__write', arguments: { n: index, idempotency_key: `slow-${index}` } })
    await lab.waitForCall(index + 1)
    await new Promise(resolve => setTimeout(resolve, 60))
    lab.release()
    assert.equal(outcomeOf(await result).state, 'succeeded')
  }
})

test('a lost connection is not a cancel: the write runs and its outcome can be asked for', async t => {
  const { post, lab, get, broker } = await startHarness(t)
  lab.behave('late')
  const leaving = new AbortController()
  const call = post(write('dropped'), { signal: leaving.signal })
  await lab.waitForCall()
  leaving.abort()
  await assert.rejects(call)
  lab.release()
  const { state } = (await (await get('/v1/outcomes/lab/dropped?waitMs=5000')).json()) as { state: string }
  assert.equal(state, 'succeeded')
  assert.equal(lab.effects().length, 1)
  assert.ok(broker.commands.every(({ type }) => type !== 'cancel'))
})

test("an explicit cancel of the session's own request is passed on; a client's time-out and a stranger's are not", async t => {
  const { post, lab, broker } = await startHarness(t)
  const open = async () => ({ 'mcp-session-id': (await post(initialize)).headers.get('mcp-session-id') ?? '' })
  const [mine, theirs] = [await open(), await open()]
  broker.queueing = true
  const call = post(write('cancelled', {}, { id: 7 }), { headers: mine })
  const cancel = (params: object, headers?: Record<string, string>) =>
    post(
      { jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 7, ...params } },
      headers ? { headers } : {},
    )
  await until(() => broker.row('cancelled')?.operation.state === 'accepted')
  assert.equal((await cancel({ reason: 'McpError: MCP error -32001: Request timed out' }, mine)).status, 202)
  await cancel({ reason: 'mine now' }, theirs)
  await cancel({ reason: 'no session' })
  await cancel({ requestId: 8 }, mine)
  assert.equal(broker.row('cancelled')?.operation.state, 'accepted')
  await cancel({ reason: 'the user changed their mind' }, mine)
  const result = await resultOf(await call)
  assert.equal(outcomeOf(result).code, 'cancelled')
  assert.match(textOf(result), /^NOTHING WAS SENT\./)
  assert.equal(broker.commands.filter(({ type }) => type === 'cancel').length, 1)
  assert.equal(lab.calls().length, 0)
})

test('an answer whose reply was lost is found by looking', async t => {
  const { post, broker, lab } = await startHarness(t)
  broker.silent = true
  const result = await resultOf(await post(write('unheard')))
  assert.equal(outcomeOf(result).state, 'succeeded')
  assert.equal(outcomeOf(await resultOf(await post(write('unheard', { other: 1 })))).code, 'idempotency_conflict')
  assert.equal(lab.effects().length, 1)
})

test('when the wait is over the caller is told that it still runs, and the write goes on', async t => {
  const { post, lab, get } = await startHarness(t, { server: '    wait: 200ms' })
  lab.behave('late')
  const result = await resultOf(await post(write('long')))
  assert.equal(outcomeOf(result).state, 'pending')
  assert.match(textOf(result), /^STILL RUNNING, not failed\./)
  const callId = /"callId":"([0-9A-Z]{26})"/.exec(textOf(result))?.[1]
  lab.release()
  const outcome = (await (await get(`/v1/outcomes?callId=${callId}&waitMs=5000`)).json()) as { state: string }
  assert.equal(outcome.state, 'succeeded')
})

test('pending is said even of a call that no broker has looked at yet', async t => {
  const { post, broker, lab } = await startHarness(t, { server: '    wait: 150ms' })
  const release = broker.hold()
  const result = await resultOf(await post(write('held')))
  assert.equal(outcomeOf(result).state, 'pending')
  release()
  await until(() => broker.row('held')?.operation.state === 'succeeded')
  assert.equal(lab.effects().length, 1)
})

test('a call whose broker went away before any intent is submitted again while its caller waits', async t => {
  const { post, broker, lab } = await startHarness(t)
  broker.queueing = true
  const call = post(write('orphan'))
  await until(() => broker.row('orphan')?.operation.state === 'accepted')
  broker.queueing = false
  broker.apply('orphan', { type: 'sweep', at: Date.now() })
  const result = await resultOf(await call)
  assert.equal(outcomeOf(result).state, 'succeeded')
  assert.equal(outcomeOf(result).epoch, 2)
  assert.equal(lab.effects().length, 1)
})

test('a server that asks is answered by a modern client that can, once', async t => {
  const { modern, lab } = await startHarness(t)
  const client = await modern({ path: '/mcp/lab', capabilities: { elicitation: {} } })
  client.setRequestHandler('elicitation/create', () => ({ action: 'accept' as const, content: { sure: true } }))
  const result = await client.callTool({ name: 'ask', arguments: { idempotency_key: 'asked' } })
  assert.match((result.content as Array<{ text: string }>)[0]?.text ?? '', /round 1/)
  assert.equal(outcomeOf(result).state, 'succeeded')
  assert.equal(lab.effects().length, 1)
})

test('a client that cannot be asked is told so in words, and nothing is done', async t => {
  const { legacy, lab } = await startHarness(t)
  const result = (await (
    await legacy({ path: '/mcp/lab' })
  ).callTool({ name: 'ask', arguments: { idempotency_key: 'asked' } })) as unknown as WriteResult
  assert.equal(outcomeOf(result).state, 'awaiting_input')
  assert.match(textOf(result), /^THE SERVER ASKS/)
  assert.equal(lab.effects().length, 0)
})

test('a failed write is the words of the server, final for its key', async t => {
  const { post, lab } = await startHarness(t)
  const fail = callBody('fail', { text: 'insufficient funds: balance 512', idempotency_key: 'f' })
  const [first, again] = [await resultOf(await post(fail)), await resultOf(await post(fail))]
  assert.equal(first.content[0]?.text, 'insufficient funds: balance 512')
  assert.match(first.content[1]?.text ?? '', /use a new key/)
  assert.deepEqual(again.content, first.content)
  assert.equal(lab.calls().length, 1)
})

test('a write whose connection broke is unknown, and stays so when repeated', async t => {
  const { post, lab } = await startHarness(t)
  lab.behave('reset_after')
  const first = await resultOf(await post(write('broken')))
  assert.equal(outcomeOf(first).state, 'unknown')
  assert.match(textOf(first), /^MAY HAVE HAPPENED\./)
  assert.equal(outcomeOf(await resultOf(await post(write('broken')))).state, 'unknown')
  assert.equal(lab.calls().length, 1)
})

type Case = {
  name: string
  body: object | string
  code: string
  key?: string
  headers?: Record<string, string>
  event?: string
}
const refusals: Case[] = [
  { name: 'no key', body: callBody('write', {}), code: 'idempotency_key_required' },
  { name: 'an empty key', body: write(''), code: 'idempotency_key_invalid' },
  { name: 'a key that is not ASCII', body: write('schlüssel'), code: 'idempotency_key_invalid' },
  { name: 'two keys', body: write('a'), headers: { 'idempotency-key': 'b' }, code: 'idempotency_key_disagrees' },
  { name: 'wrong arguments', body: callBody('strict', { n: 'x', idempotency_key: 'k' }), code: 'invalid_arguments' },
  {
    name: 'a number beyond precision',
    body: '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"write","arguments":{"n":12345678901234567890,"idempotency_key":"k"}}}',
    code: 'lossy_json',
  },
  {
    name: 'a name twice',
    body: '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"write","arguments":{"n":1,"n":2,"idempotency_key":"k"}}}',
    code: 'lossy_json',
  },
  { name: 'an unknown tool', body: callBody('nothing', { idempotency_key: 'k' }), code: 'unknown_tool' },
  {
    name: 'a tool that the role does not allow',
    body: write('k'),
    key: keys.other,
    code: 'denied',
    event: 'call.denied',
  },
]

test('what is refused is on record, names its code, and reaches no server', async t => {
  const strict = { type: 'object', properties: { n: { type: 'integer' } }, additionalProperties: false }
  const tools = [
    { name: 'write', inputSchema: { type: 'object' } },
    { name: 'strict', inputSchema: strict },
  ]
  const { post, lab, events, broker } = await startHarness(t, { lab: { tools } })
  for (const { name, body, code, key, headers } of refusals) {
    const result = await resultOf(await post(body, { ...(key && { key }), ...(headers && { headers }) }))
    assert.equal(outcomeOf(result).code, code, name)
    assert.equal(outcomeOf(result).state, 'not_accepted', name)
    assert.equal(result.isError, true, name)
    const means = codes[code as keyof typeof codes].means
    assert.ok(/Nothing was sent for this request|earlier ones with this key may have run/.test(means), name)
    assert.ok(textOf(result).includes(means), name)
  }
  const recorded = await events('call.not_accepted', refusals.length - 1)
  assert.deepEqual(
    recorded.map(({ code }) => code).sort(),
    refusals
      .filter(({ event }) => event === undefined)
      .map(({ code }) => code)
      .sort(),
  )
  assert.equal((await events('call.denied')).length, 1)
  assert.equal(lab.calls().length, 0)
  assert.equal(broker.commands.length, 0)
})

test('arguments are checked without the key, so that a closed schema takes it', async t => {
  const strict = {
    type: 'object',
    properties: { n: { type: 'integer' } },
    required: ['n'],
    additionalProperties: false,
  }
  const { legacy, lab } = await startHarness(t, { lab: { tools: [{ name: 'write', inputSchema: strict }] } })
  const client = await legacy({ path: '/mcp/lab' })
  await client.listTools()
  const result = await client.callTool({ name: 'write', arguments: { n: 1, idempotency_key: 'k' } })
  assert.equal(outcomeOf(result).state, 'succeeded')
  assert.deepEqual(lab.calls()[0]?.arguments, { n: 1 })
})

test('a call larger than the journal takes is refused before it claims its key', async t => {
  const { post, broker } = await startHarness(t, {
    journalForFront: journal => ({ ...journal, maxRecordBytes: 10_000 }),
  })
  const result = await resultOf(await post(write('large', { text: 'x'.repeat(20_000) })))
  assert.equal(outcomeOf(result).code, 'too_large')
  assert.equal(outcomeOf(await resultOf(await post(write('large', { text: 'x' })))).state, 'succeeded')
  assert.equal(broker.commands.length, 1)
})

test('a journal that refuses is a refusal; one that does not acknowledge is a doubt, and the outcome can be asked for', async t => {
  let fails: 'refused' | 'doubtful' | undefined
  const failing = (journal: Journal): Journal => ({
    ...journal,
    async append(records) {
      if (fails === 'refused') throw new AppendRefused('not connected')
      const positions = await journal.append(records)
      if (fails === 'doubtful') throw new AppendDoubtful('the acknowledgement is missing')
      return positions
    },
  })
  const { post, lab, get } = await startHarness(t, { journalForFront: failing })
  fails = 'refused'
  const refused = await resultOf(await post(write('r')))
  assert.equal(outcomeOf(refused).state, 'not_accepted')
  assert.equal(outcomeOf(refused).code, 'journal_unavailable')
  fails = 'doubtful'
  const doubtful = await resultOf(await post(write('d')))
  assert.equal(outcomeOf(doubtful).state, 'unknown')
  assert.equal(outcomeOf(doubtful).code, 'journal_doubtful')
  assert.match(textOf(doubtful), /^MAY STILL HAPPEN\./)
  fails = undefined
  const { state } = (await (await get('/v1/outcomes/lab/d?waitMs=5000')).json()) as { state: string }
  assert.equal(state, 'succeeded')
  assert.equal((await get('/v1/outcomes/lab/r')).status, 404)
  assert.equal(lab.effects().length, 1)
})

test('more callers than may wait are refused with a time to come back', async t => {
  const { post, lab } = await startHarness(t, { limits: '  waiting: 1' })
  lab.behave('late')
  const first = post(write('first'))
  await lab.waitForCall()
  const second = await resultOf(await post(write('second', { n: 2 })))
  assert.equal(outcomeOf(second).code, 'too_many_waiting')
  assert.ok(Number(outcomeOf(second).retryAfterMs) > 0)
  lab.release()
  assert.equal(outcomeOf(await resultOf(await first)).state, 'succeeded')
})

test('a front that stops lets its callers have their answers, refuses new writes, and says pending to the rest', async t => {
  const { post, lab, front } = await startHarness(t, { times: { drainMs: 400 } })
  lab.behave('late', 'late')
  const calls = [post(write('one', { n: 1 })), post(write('two', { n: 2 }))]
  await lab.waitForCall(2)
  const stopped = front.stop()
  const refused = await resultOf(await post(write('three', { n: 3 })))
  assert.equal(outcomeOf(refused).code, 'draining')
  for (const call of calls) assert.equal(outcomeOf(await resultOf(await call)).state, 'pending')
  await stopped
  lab.release()
  await lab.waitForEffect(2)
})

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise(resolve => setTimeout(resolve, 5))
}

test('an agent that does not want to wait is told pending at once, and its write runs', async t => {
  const { post, broker } = await startHarness(t, { server: '    wait: 0s' })
  assert.equal(outcomeOf(await resultOf(await post(write('now')))).state, 'pending')
  await until(() => broker.row('now')?.operation.state === 'succeeded')
})

test('answers with and without structured content pass the schema checks of both SDKs', async t => {
  const { legacy, modern, notes } = await startHarness(t, { notes: true })
  for (const [index, client] of [await legacy(), await modern()].entries()) {
    await client.listTools()
    const note = (text: string) =>
      client.callTool({ name: 'notes__note', arguments: { text, idempotency_key: `note-${index}` } })
    const [first, again] = [await note('a'), await note('a')]
    assert.deepEqual(first.structuredContent, again.structuredContent)
    assert.equal((first.structuredContent as { count: number }).count, index + 1)
    const conflict = await note('b')
    assert.equal(outcomeOf(conflict).code, 'idempotency_conflict')
    assert.equal(conflict.structuredContent, undefined)
  }
  assert.deepEqual(notes?.notes, ['a', 'a'])
})

test('a key that is used on two servers is asked about by server', async t => {
  const { post, get } = await startHarness(t, { notes: true })
  await post(write('both'))
  assert.equal((await get('/v1/outcomes?key=both')).status, 200)
  await post(callBody('note', { text: 'x', idempotency_key: 'both' }), { path: '/mcp/notes' })
  const response = await get('/v1/outcomes?key=both')
  assert.equal(response.status, 400)
  assert.match(await response.text(), /lab, notes/)
  assert.equal((await get('/v1/outcomes?key=both&server=notes')).status, 200)
  assert.equal((await get('/v1/outcomes?key=neither')).status, 404)
})
