import assert from 'node:assert/strict'
import { request } from 'node:http'
import test from 'node:test'
import { z } from 'zod'
import { startCatalogue } from '../../services/front/catalogue/catalogue.ts'
import { ownTools } from '../../services/front/outcome/tools.ts'
import { callBody, keys, outcomeOf, resultOf, startHarness } from '../helpers/front/harness.ts'
import { labTools } from '../helpers/upstream/lab-tools.ts'

const anything = z.looseObject({})
type Listed = {
  name: string
  inputSchema: { properties: Record<string, { type: string } | undefined>; required: string[] }
  annotations?: object
  [field: string]: unknown
}
const listOf = (result: Record<string, unknown>) => result.tools as Listed[]
const initialize = (id = 0) => ({
  jsonrpc: '2.0',
  id,
  method: 'initialize',
  params: { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'raw', version: '1' } },
})

test('a modern client discovers, lists and calls, and sees the instructions', async t => {
  const { modern, lab } = await startHarness(t)
  const client = await modern()
  assert.equal(client.getProtocolEra(), 'modern')
  assert.match(client.getInstructions() ?? '', /idempotency_key/)
  assert.deepEqual(client.getServerCapabilities(), { tools: { listChanged: true } })
  const names = (await client.listTools()).tools.map(({ name }) => name)
  assert.deepEqual(names, [...labTools.map(({ name }) => `lab__${name}`).sort(), ...ownTools.map(({ name }) => name)])
  const result = await client.callTool({ name: 'lab__write', arguments: { n: 1, idempotency_key: 'k1' } })
  assert.equal(result.isError ?? false, false)
  assert.equal(outcomeOf(result).state, 'succeeded')
  assert.deepEqual(
    lab.effects().map(effect => effect.arguments),
    [{ n: 1 }],
  )
})

test('a legacy client initializes, lists and calls on the same route', async t => {
  const { legacy, lab } = await startHarness(t)
  const client = await legacy()
  assert.match(client.getInstructions() ?? '', /holdfast_outcome first/)
  assert.deepEqual(client.getServerCapabilities(), { tools: {} }, 'no stream, so no listChanged')
  assert.equal((await client.listTools()).tools.length, labTools.length + ownTools.length)
  const result = await client.callTool({ name: 'lab__write', arguments: { n: 1, idempotency_key: 'k1' } })
  assert.equal(outcomeOf(result).state, 'succeeded')
  assert.equal(lab.effects().length, 1)
})

test('a legacy session is sealed: it ends with 200, and neither a forged nor a foreign one is opened', async t => {
  const { post, front } = await startHarness(t)
  const opened = await post(initialize())
  const session = opened.headers.get('mcp-session-id') ?? ''
  assert.notEqual(session, '')
  const list = { jsonrpc: '2.0', id: 1, method: 'tools/list' }
  assert.equal((await post(list, { headers: { 'mcp-session-id': session } })).status, 200)
  assert.equal((await post(list, { headers: { 'mcp-session-id': `${session}x` } })).status, 404)
  assert.equal((await post(list, { headers: { 'mcp-session-id': session }, key: keys.other })).status, 404)
  const headers = { authorization: `Bearer ${keys.bot}`, 'mcp-session-id': session }
  assert.equal((await fetch(`${front.url}/mcp/lab`, { method: 'DELETE', headers })).status, 200)
  const get = await fetch(`${front.url}/mcp/lab`, { headers: { ...headers, accept: 'text/event-stream' } })
  assert.equal(get.status, 405)
  assert.equal(get.headers.get('allow'), 'POST')
})

test('the session and the client of a legacy call are on record', async t => {
  const { post, broker } = await startHarness(t)
  const session = (await post(initialize())).headers.get('mcp-session-id') ?? ''
  await post(callBody('write', { idempotency_key: 'k' }), { headers: { 'mcp-session-id': session } })
  const caller = broker.commands[0]?.caller
  assert.equal(caller?.client, 'raw/1')
  assert.match(caller?.session ?? '', /^[0-9A-Z]{26}$/)
  assert.equal(caller?.conversation, caller?.session)
  assert.equal(caller?.credential, 'sha-bot')
})

test('a conversation that the call names is the one on record, with its trace', async t => {
  const { post, broker, lab } = await startHarness(t)
  const trace = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
  await post(
    callBody('write', { idempotency_key: 'k' }, { _meta: { 'dev.holdfast/conversation': 'c-7', traceparent: trace } }),
  )
  assert.equal(broker.commands[0]?.caller.conversation, 'c-7')
  assert.equal(broker.commands[0]?.caller.trace, trace)
  assert.equal(lab.calls()[0]?.meta.traceparent, trace)
  assert.equal(lab.calls()[0]?.meta['dev.holdfast/conversation'], undefined)
})

test('tools are listed sorted, with unknown fields, effective hints and the key argument where it is a write', async t => {
  const { modern } = await startHarness(t)
  const client = await modern({ path: '/mcp/lab' })
  const tools = listOf(await client.request({ method: 'tools/list' }, anything))
  assert.deepEqual(
    tools.map(({ name }) => name),
    ['ask', 'big', 'echo', 'fail', 'find', 'write', 'holdfast_outcome', 'holdfast_report'],
  )
  const write = tools.find(({ name }) => name === 'write')
  assert.deepEqual(write?.['x-vendor'], { kept: true })
  assert.equal(write?.inputSchema.properties.idempotency_key?.type, 'string')
  assert.ok(write?.inputSchema.required.includes('idempotency_key'))
  assert.deepEqual(write?.annotations, { readOnlyHint: false, idempotentHint: true })
  const echo = tools.find(({ name }) => name === 'echo')
  assert.equal(echo?.inputSchema.properties.idempotency_key, undefined)
  assert.deepEqual(echo?.annotations, { readOnlyHint: true, 'example.com/unknown': 1 })
})

test('an agent sees only what its role may call, and a host that names keys does not see the argument', async t => {
  const { legacy } = await startHarness(t)
  const names = async (key: string) => (await (await legacy({ key, path: '/mcp/lab' })).listTools()).tools
  assert.deepEqual(
    (await names(keys.other)).map(({ name }) => name),
    ['echo', 'holdfast_outcome', 'holdfast_report'],
  )
  assert.deepEqual(
    (await names(keys.nobody)).map(({ name }) => name),
    ['holdfast_outcome', 'holdfast_report'],
  )
  const write = (await names(keys.host)).find(({ name }) => name === 'write')
  assert.equal(write?.inputSchema.properties?.idempotency_key, undefined)
})

test('a change of the tools reaches a modern client that listens, and the list', async t => {
  const { modern, lab } = await startHarness(t)
  await lab.waitForListener()
  const client = await modern({ path: '/mcp/lab' })
  const changed = new Promise<void>(resolve => {
    client.setNotificationHandler('notifications/tools/list_changed', () => resolve())
  })
  await client.listen({ toolsListChanged: true })
  lab.setTools([{ name: 'new', inputSchema: { type: 'object' } }])
  await changed
  const tools = listOf(await client.request({ method: 'tools/list' }, anything))
  assert.deepEqual(
    tools.map(({ name }) => name),
    ['new', 'holdfast_outcome', 'holdfast_report'],
  )
})

test('a server that is down still lists its tools, and a call of it is accepted', async t => {
  const { legacy, lab, front } = await startHarness(t)
  await front.ready()
  await lab.stop()
  const client = await legacy({ path: '/mcp/lab' })
  assert.equal((await client.listTools()).tools.length, labTools.length + ownTools.length)
  const result = await client.callTool({ name: 'write', arguments: { idempotency_key: 'k' } })
  assert.equal(outcomeOf(result).state, 'not_executed')
})

test('each carrier of the key works, and none of it reaches the server', async t => {
  const { post, lab, broker } = await startHarness(t)
  const states = [
    await post(callBody('write', { n: 1, idempotency_key: 'by-argument' })),
    await post(callBody('write', { n: 2 }, { idempotencyKey: 'by-param' })),
    await post(callBody('write', { n: 3 }, { _meta: { 'dev.holdfast/idempotency-key': 'by-meta' } })),
    await post(callBody('write', { n: 4 }), { headers: { 'idempotency-key': '"by-header"' } }),
  ]
  for (const response of states) assert.equal(outcomeOf(await resultOf(response)).state, 'succeeded')
  assert.deepEqual(
    broker.commands.map(({ key }) => key),
    ['by-argument', 'by-param', 'by-meta', 'by-header'],
  )
  for (const { arguments: args, meta, params, headers } of lab.calls()) {
    assert.deepEqual(Object.keys(args), ['n'])
    assert.equal(meta['dev.holdfast/idempotency-key'], undefined)
    assert.equal(params.idempotencyKey, undefined)
    assert.equal(headers['idempotency-key'], undefined)
  }
})

test('a legacy batch is answered call by call, and a header cannot name the key of several', async t => {
  const { post, lab } = await startHarness(t)
  const batch = [
    callBody('write', { n: 1, idempotency_key: 'a' }, { id: 1 }),
    callBody('echo', { n: 2 }, { id: 'two' }),
  ]
  const answers = (await (await post(batch)).json()) as Array<{
    id: unknown
    result: { content: Array<{ text: string }> }
  }>
  assert.deepEqual(new Set(answers.map(({ id }) => id)), new Set([1, 'two']))
  assert.equal(outcomeOf(answers.find(({ id }) => id === 1)?.result).state, 'succeeded')
  assert.equal(answers.find(({ id }) => id === 'two')?.result.content[0]?.text, '{"n":2}')
  const keyed = await post([callBody('write', { n: 3 }, { id: 3 }), callBody('echo', {}, { id: 4 })], {
    headers: { 'idempotency-key': 'b' },
  })
  const refused = ((await keyed.json()) as Array<{ id: unknown; result: unknown }>).find(({ id }) => id === 3)
  assert.equal(outcomeOf(refused?.result).state, 'not_accepted')
  assert.equal(lab.effects().length, 1)
})

test('two requests of one batch with the same id are refused as a whole', async t => {
  const { post, lab } = await startHarness(t)
  const response = await post([
    callBody('write', { idempotency_key: 'a' }),
    callBody('write', { idempotency_key: 'b' }),
  ])
  assert.equal(response.status, 400)
  assert.equal(lab.calls().length, 0)
})

test('a missing, wrong or misplaced API key is answered with 401 and how to send one', async t => {
  const { front, post } = await startHarness(t)
  for (const key of [null, 'wrong']) {
    const response = await post(initialize(), { key })
    assert.equal(response.status, 401)
    assert.equal(response.headers.get('www-authenticate'), 'Bearer realm="holdfast"')
    const { code, next } = (await response.json()) as { code: string; next: string }
    assert.equal(code, 'unauthorized')
    assert.match(next, /Authorization: Bearer/)
  }
  assert.equal((await post(initialize(), { key: null, headers: { 'x-api-key': keys.bot } })).status, 200)
  assert.equal((await fetch(`${front.url}/v1/report`)).status, 401)
})

test('whatever arrives is answered in JSON, and the front lives on', async t => {
  const { front, post, get } = await startHarness(t)
  for (const path of [
    '/',
    '/nothing',
    '/.well-known/oauth-protected-resource',
    '/.well-known/oauth-authorization-server/mcp',
    '/mcp/lab/x',
  ]) {
    const response = await get(path)
    assert.equal(response.status, 404, path)
    assert.equal(((await response.json()) as { code: string }).code, 'route_not_found')
  }
  assert.equal((await post(initialize(), { path: '/mcp/nowhere' })).status, 404)
  for (const body of ['', '{', '{"jsonrpc":"2.0",', 'null', '[]', '7', '"x"', '{"jsonrpc":"1.0","id":1}']) {
    const response = await post(body)
    assert.equal(response.status, 400, body)
    const { error } = (await response.json()) as { error: { code: number } }
    assert.ok(error.code === -32700 || error.code === -32600, `${body}: ${error.code}`)
  }
  const large = await post(callBody('write', { text: 'x'.repeat(4 * 1024 * 1024) }))
  assert.equal(large.status, 413)
  assert.equal(((await large.json()) as { code: string }).code, 'too_large')
  const binary = await fetch(`${front.url}/mcp`, {
    method: 'POST',
    headers: { authorization: `Bearer ${keys.bot}`, 'content-type': 'application/json' },
    body: Buffer.from([0x22, 0xff, 0x22]),
  })
  assert.equal(binary.status, 400)
  assert.equal((await post(initialize())).status, 200)
})

test('a page in a browser cannot reach a front on loopback under another name', async t => {
  const { front, post } = await startHarness(t)
  assert.equal((await post(initialize(), { headers: { origin: 'https://evil.example' } })).status, 403)
  assert.equal((await post(initialize(), { headers: { origin: 'http://localhost:3000' } })).status, 200)
  const { hostname, port } = new URL(front.url)
  const status = await new Promise(resolve => {
    request({ hostname, port, path: '/livez', headers: { host: 'evil.example' } }, response => {
      response.resume()
      resolve(response.statusCode)
    }).end()
  })
  assert.equal(status, 403)
})

test('it says that it lives and is ready, and no longer once it stops', async t => {
  const { front, get } = await startHarness(t)
  assert.equal((await get('/livez')).status, 200)
  assert.equal((await get('/readyz')).status, 200)
  await front.stop()
  await assert.rejects(front.ready(), /stopping/)
  await assert.rejects(get('/livez'))
})

test('a key that cannot be checked now is answered with 503, not with 401', async t => {
  const { post } = await startHarness(t)
  const response = await post(initialize(), { key: keys.unchecked })
  assert.equal(response.status, 503)
  assert.equal(response.headers.get('www-authenticate'), null)
})

test('a front that starts while a server is down lists the tools that were kept', async t => {
  const { pool, upstreams } = await startHarness(t)
  const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
  const startWith = (tools: () => ReturnType<typeof upstreams.tools>) =>
    startCatalogue({ servers: ['lab', 'never'], upstreams: { tools }, pool, log, onChange: () => {} })
  const first = await startWith(() => upstreams.tools('lab'))
  await first.settled()
  await first.stop()
  const second = await startWith(() => Promise.reject(new Error('down')))
  t.after(() => second.stop())
  assert.deepEqual(
    second.tools().map(({ server, name }) => `${server}:${name}`),
    first.tools().map(({ server, name }) => `${server}:${name}`),
  )
  assert.equal(second.tools().length > 0, true)
  assert.equal(second.find('lab', 'write')?.hash, first.find('lab', 'write')?.hash)
})
