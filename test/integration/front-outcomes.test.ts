import assert from 'node:assert/strict'
import test from 'node:test'
import { topics } from '../../shared/journal/topics.ts'
import { callBody, keys, outcomeOf, resultOf, startHarness } from '../helpers/front/harness.ts'

const write = (key: string, args: object = {}) => callBody('write', { ...args, idempotency_key: key })
type Outcome = Record<string, unknown> & { state: string; next: string }
type Asked = { isError?: boolean; structuredContent: Outcome; content: Array<{ text: string }> }

test('an outcome is found by key, by call and by what was meant, in any session of the agent', async t => {
  const { post, legacy, modern } = await startHarness(t)
  const callId = outcomeOf(await resultOf(await post(write('k', { n: 1 })))).callId
  for (const client of [await legacy({ path: '/mcp/lab' }), await modern()]) {
    // Listed first, so that the SDK checks structuredContent against the output schema.
    await client.listTools()
    const questions = [
      { key: 'k' },
      { key: 'k', server: 'lab' },
      { callId },
      { tool: 'lab__write', arguments: { n: 1 } },
      { server: 'lab', tool: 'write', arguments: { n: 1, idempotency_key: 'forgotten' } },
      // As clients name our tools to their models.
      { tool: 'mcp__holdfast__lab__write', arguments: { n: 1 } },
      { server: 'lab', tool: 'mcp__lab__write', arguments: { n: 1 } },
      { tool: 'holdfast.lab__write', arguments: { n: 1 } },
    ]
    for (const question of questions) {
      const result = (await client.callTool({ name: 'holdfast_outcome', arguments: question })) as unknown as Asked
      assert.equal(result.structuredContent.state, 'succeeded', JSON.stringify(question))
      assert.equal(result.isError, false)
      assert.deepEqual(JSON.parse(result.content[0]?.text ?? ''), result.structuredContent)
      assert.equal(result.structuredContent.callId, callId)
      assert.equal(result.structuredContent.tool, 'write')
      assert.match(JSON.stringify(result.structuredContent.result), /done /)
    }
  }
})

test('an absent key is not found only by way of the journal, and was fenced by then (I9)', async t => {
  const { get, broker } = await startHarness(t)
  const response = await get('/v1/outcomes/lab/never')
  assert.equal(response.status, 404)
  const outcome = (await response.json()) as Outcome
  assert.equal(outcome.state, 'not_found')
  assert.equal(outcome.code, 'not_found')
  assert.deepEqual(
    broker.commands.map(({ type }) => type),
    ['ask'],
  )
})

test('silence is never not_found: a question that nobody answers says nothing of the call (I9)', async t => {
  const { legacy, broker } = await startHarness(t)
  const client = await legacy()
  const release = broker.hold()
  const byCall = (await client.callTool({
    name: 'holdfast_outcome',
    arguments: { callId: '01K9ZZZZZZZZZZZZZZZZZZZZZA' },
  })) as unknown as Asked
  assert.equal(byCall.structuredContent.state, 'unavailable')
  assert.equal(byCall.structuredContent.code, 'outcome_unavailable')
  const byKey = client.callTool({
    name: 'holdfast_outcome',
    arguments: { key: 'k', server: 'lab' },
  }) as unknown as Promise<Asked>
  await new Promise(resolve => setTimeout(resolve, 250))
  release()
  assert.equal((await byKey).structuredContent.state, 'not_found')
})

test('a command that is still on its way is found by the question behind it (I9)', async t => {
  const { post, broker, get, lab, journal } = await startHarness(t)
  const release = broker.hold()
  const call = post(write('behind'))
  const appended = async () => (await journal.ends(topics.calls.name)).reduce((sum, { end }) => sum + end, 0)
  while ((await appended()) === 0) await new Promise(resolve => setTimeout(resolve, 5))
  const question = get('/v1/outcomes/lab/behind?waitMs=5000')
  await new Promise(resolve => setTimeout(resolve, 50))
  release()
  assert.equal(((await (await question).json()) as Outcome).state, 'succeeded')
  assert.equal(outcomeOf(await resultOf(await call)).state, 'succeeded')
  assert.equal(lab.effects().length, 1)
})

test('a question waits for the end and wakes when it comes, not at the end of its wait', async t => {
  const { post, lab, get } = await startHarness(t, { server: '    wait: 100ms' })
  lab.behave('late')
  const pending = await resultOf(await post(write('slow')))
  assert.equal(outcomeOf(pending).state, 'pending')
  assert.equal(((await (await get('/v1/outcomes/lab/slow')).json()) as Outcome).state, 'pending')
  const waiting = get('/v1/outcomes/lab/slow?waitMs=50000')
  lab.release()
  assert.equal(((await (await waiting).json()) as Outcome).state, 'succeeded')
})

test('an unknown that a late answer settles is reported as settled to who waits', async t => {
  const { post, lab, get, broker } = await startHarness(t)
  lab.behave('late')
  const call = post(write('doubt'))
  await lab.waitForCall()
  broker.apply('doubt', { type: 'time_out', at: Date.now(), epoch: 1, round: 1, attempt: 1 })
  assert.equal(outcomeOf(await resultOf(await call)).state, 'unknown')
  const waiting = get('/v1/outcomes/lab/doubt?waitMs=50000')
  lab.release()
  const outcome = (await (await waiting).json()) as Outcome
  assert.equal(outcome.state, 'succeeded')
  assert.equal(outcome.evidence, 'late_answer')
})

test("another agent's outcome is not found, whatever it is asked by", async t => {
  const { post, legacy } = await startHarness(t)
  const callId = outcomeOf(await resultOf(await post(write('mine', { n: 1 })))).callId
  const client = await legacy({ key: keys.other })
  for (const question of [{ callId }, { key: 'mine', server: 'lab' }]) {
    const result = (await client.callTool({ name: 'holdfast_outcome', arguments: question })) as unknown as Asked
    assert.equal(result.structuredContent.state, 'not_found')
  }
})

test('an expired outcome is gone, not absent', async t => {
  const { post, broker, get } = await startHarness(t)
  await post(write('old'))
  const row = broker.row('old')
  if (row !== undefined) row.expired = true
  const response = await get('/v1/outcomes/lab/old')
  assert.equal(response.status, 410)
  assert.equal(((await response.json()) as Outcome).code, 'idempotency_key_expired')
})

test('a key with any printable characters can be asked for over HTTP', async t => {
  const { post, get } = await startHarness(t)
  const key = `a/b c%?#&;after=${'0'.repeat(26)}`
  await post(callBody('write', {}, { idempotencyKey: key }))
  const response = await get(`/v1/outcomes/lab/${encodeURIComponent(key)}`)
  assert.equal(response.status, 200)
  assert.equal(((await response.json()) as Outcome).key, key)
})

test('a change of a tool that is not known here is not called absent', async t => {
  const { post, modern } = await startHarness(t)
  await post(write('there', { n: 1 }))
  const client = await modern()
  for (const question of [
    { tool: 'lab__wrote', arguments: { n: 1 } },
    { server: 'lab', tool: 'mcp__holdfast__wrote', arguments: { n: 1 } },
  ]) {
    const answer = (await client.callTool({ name: 'holdfast_outcome', arguments: question })) as unknown as Asked
    assert.equal(answer.isError, true)
    assert.match(answer.content[0]?.text ?? '', /^NOT UNDERSTOOD\. There is no tool .* here/)
  }
})

test('a long recorded answer is left out of the tool and not of the HTTP API', async t => {
  const { lab, post, get, modern } = await startHarness(t, {
    lab: { tools: [{ name: 'big', inputSchema: { type: 'object' } }] },
  })
  await resultOf(await post(callBody('big', { bytes: 20_000, idempotency_key: 'long' })))
  const client = await modern()
  const asked = (await client.callTool({ name: 'holdfast_outcome', arguments: { key: 'long' } })) as unknown as Asked
  assert.equal(asked.structuredContent.state, 'succeeded')
  assert.match(String(asked.structuredContent.leftOut), /^The server's answer has 20\d\d\d bytes/)
  assert.ok((asked.content[0]?.text.length ?? 0) < 1_000)
  const whole = (await (await get('/v1/outcomes/lab/long')).json()) as Outcome
  assert.ok(JSON.stringify(whole.result).length > 20_000)
  assert.equal(lab.calls().length, 1)
})

test('a report that is too long for a model leaves out what is surely over, and counts it', async t => {
  const { post, lab, modern, get } = await startHarness(t)
  lab.behave('reset_after')
  await post(write('doubtful', { n: 0 }))
  for (let n = 1; n <= 40; n += 1) await post(write(`done-${n}`, { n }))
  const client = await modern()
  const asked = (await client.callTool({ name: 'holdfast_report', arguments: {} })) as unknown as Asked
  const report = asked.structuredContent as unknown as Record<string, unknown[]>
  assert.ok((asked.content[0]?.text.length ?? 0) < 9_000)
  assert.deepEqual(report['counts'], { unknown: 1, pending: 0, failed: 0, notExecuted: 0, confirmed: 40 })
  assert.equal(report['unknown']?.length, 1)
  assert.ok((report['confirmed']?.length ?? 0) > 0 && (report['confirmed']?.length ?? 0) < 40)
  assert.equal(report['truncated'], true)
  const whole = (await (await get('/v1/report')).json()) as Record<string, unknown[]>
  assert.equal(whole['confirmed']?.length, 40)
  assert.equal(whole['truncated'], false)
})

test('a question that cannot be understood says what is missing', async t => {
  const { get, legacy } = await startHarness(t)
  for (const path of [
    '/v1/outcomes',
    '/v1/outcomes/nowhere/k',
    '/v1/outcomes/lab/k?waitMs=soon',
    '/v1/report?since=yesterday',
  ]) {
    const response = await get(path)
    assert.equal(response.status, 400, path)
    assert.equal(((await response.json()) as { code: string }).code, 'bad_request')
  }
  const client = await legacy()
  const result = (await client.callTool({ name: 'holdfast_outcome', arguments: {} })) as unknown as Asked
  assert.equal(result.isError, true)
  assert.match(result.content[0]?.text ?? '', /^NOT UNDERSTOOD\./)
})

test('a report sorts what happened from what may not be reported, each with what to do next', async t => {
  const { post, lab, get, legacy, broker } = await startHarness(t, { server: '    wait: 300ms' })
  await post(callBody('write', { n: 1, idempotency_key: 'yes' }, { _meta: { 'dev.holdfast/conversation': 'c-1' } }))
  await post(callBody('fail', { text: 'no', idempotency_key: 'no' }))
  lab.behave('http_401')
  await post(write('turned-away', { n: 2 }))
  lab.behave('reset_after')
  await post(write('maybe', { n: 3 }))
  lab.behave('late')
  await post(write('running', { n: 4 }))
  const response = await get('/v1/report')
  assert.equal(response.status, 200)
  type Line = { key: string; next: string; state: string }
  const report = (await response.json()) as Record<string, Line[]>
  const keysOf = (group: string) => report[group]?.map(({ key }) => key)
  assert.deepEqual(keysOf('confirmed'), ['yes'])
  assert.deepEqual(keysOf('failed'), ['no'])
  assert.deepEqual(keysOf('notExecuted'), ['turned-away'])
  assert.deepEqual(keysOf('unknown'), ['maybe'])
  assert.deepEqual(keysOf('pending'), ['running'])
  assert.match(report.unknown?.[0]?.next ?? '', /^May have happened\..*holdfast_outcome/)
  const client = await legacy()
  await client.listTools()
  const one = (await client.callTool({
    name: 'holdfast_report',
    arguments: { conversation: 'c-1' },
  })) as unknown as Asked
  assert.deepEqual(
    (one.structuredContent.confirmed as Line[]).map(({ key }) => key),
    ['yes'],
  )
  const later = await get(`/v1/report?since=${new Date(Date.now() + 60_000).toISOString()}`)
  assert.deepEqual(((await later.json()) as Record<string, Line[]>).confirmed, [])
  lab.release()
  await lab.waitForEffect(3)
  assert.ok(broker.row('running'))
})
