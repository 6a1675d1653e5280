import assert from 'node:assert/strict'
import test from 'node:test'
import { callBody, keys, outcomeOf, resultOf, startHarness } from '../helpers/front/harness.ts'

const write = (key: string) => callBody('write', { idempotency_key: key })
type Answer = Record<string, unknown> & { code?: string }
type Listed = { unknowns: Array<Record<string, unknown>>; truncated: boolean }

async function doubtful(harness: Awaited<ReturnType<typeof startHarness>>, key: string): Promise<string> {
  harness.lab.behave('reset_after')
  const outcome = outcomeOf(await resultOf(await harness.post(write(key))))
  assert.equal(outcome.state, 'unknown')
  return String(outcome.callId)
}

const resolveAt = (url: string, callId: string, body: unknown, key: string = keys.ops) =>
  fetch(`${url}/v1/unknowns/${callId}/resolve`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}` },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })

test('who may resolve sees the unknowns of every agent of the tenant, with whose they are', async t => {
  const harness = await startHarness(t)
  const callId = await doubtful(harness, 'k')
  const response = await harness.get('/v1/unknowns', { key: keys.ops })
  assert.equal(response.status, 200)
  const { unknowns, truncated } = (await response.json()) as Listed
  assert.equal(truncated, false)
  const [{ state, key, agent, tool, code, attempts } = {}] = unknowns
  assert.deepEqual(
    { state, key, agent, tool, code, attempts, callId: unknowns[0]?.callId },
    { state: 'unknown', key: 'k', agent: 'bot', tool: 'write', code: 'connection_lost', attempts: 1, callId },
  )
})

test('a person’s word settles it: the agent that asks again is told so, and nothing is sent', async t => {
  const harness = await startHarness(t)
  const callId = await doubtful(harness, 'k')
  const response = await resolveAt(harness.front.url, callId, { as: 'succeeded', reason: 'in the books' })
  assert.equal(response.status, 200)
  const settled = (await response.json()) as Answer
  assert.deepEqual([settled.state, settled.evidence], ['succeeded', 'person'])
  const again = await resultOf(await harness.post(write('k')))
  assert.equal(outcomeOf(again).state, 'succeeded')
  assert.match(JSON.stringify(again), /IT HAPPENED\..*a person/)
  assert.equal(harness.lab.effects().length, 1)
  assert.equal((await resolveAt(harness.front.url, callId, { as: 'failed', reason: 'no' })).status, 409)
})

test('without the permission nothing is seen and nothing is changed', async t => {
  const harness = await startHarness(t)
  const callId = await doubtful(harness, 'k')
  const listed = await harness.get('/v1/unknowns', { key: keys.bot })
  assert.deepEqual([listed.status, ((await listed.json()) as Answer).code], [403, 'resolve_denied'])
  const refused = await resolveAt(harness.front.url, callId, { as: 'succeeded', reason: 'me' }, keys.bot)
  assert.deepEqual([refused.status, ((await refused.json()) as Answer).code], [403, 'resolve_denied'])
  assert.equal(harness.broker.row('k')?.operation.state, 'unknown')
})

test('a word that cannot be understood changes nothing, and says what is wrong with it', async t => {
  const harness = await startHarness(t)
  const callId = await doubtful(harness, 'k')
  const wrong: Array<[unknown, RegExp]> = [
    ['', /must be JSON/],
    ['{"as":"done","reason":"x"}', /^as must be one of succeeded, failed, not_executed/],
    [{ as: 'failed', reason: '  ' }, /^reason is empty/],
    [{ as: 'failed' }, /^reason must be text/],
    [{ as: 'failed', reason: 'x', more: 1 }, /more/],
  ]
  for (const [body, words] of wrong) {
    const response = await resolveAt(harness.front.url, callId, body)
    assert.equal(response.status, 400)
    assert.match(String(((await response.json()) as Answer).message), words)
  }
  const none = await resolveAt(harness.front.url, '01K9ZZZZZZZZZZZZZZZZZZZZZA', { as: 'failed', reason: 'x' })
  assert.deepEqual([none.status, ((await none.json()) as Answer).code], [404, 'no_such_call'])
  assert.equal(harness.broker.row('k')?.operation.state, 'unknown')
})
