/** What services ask each other over HTTP: only with the token, never more than was recorded, never less. */
import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import type { BrokerPort } from '../../shared/call/broker-port.ts'
import type { OutcomeRecord, Reply } from '../../shared/call/record.ts'
import { UnavailableError } from '../../shared/errors.ts'
import { brokerClient, brokerRoutes } from '../../shared/internal/broker-port.ts'
import { internalClient } from '../../shared/internal/client.ts'
import { type Listener, openListener } from '../../shared/internal/listener.ts'
import { createReplySender, replyAddress, replyRoutes } from '../../shared/internal/replies.ts'
import { internalHandler, type Routes } from '../../shared/internal/server.ts'
import { openAddress, sealAddress } from '../../shared/internal/token.ts'
import { testListener } from '../helpers/listener.ts'
import { silent } from '../helpers/silent.ts'

const token = 'a-token-of-the-tests'
const maxBytes = 4 * 1024 * 1024
const log = { warn: () => {} }

async function serve(routes: Routes, { shown = token, port = 0 } = {}) {
  const listener = await openListener({ host: '127.0.0.1', port, needs: [], log: silent })
  listener.serve('/internal', internalHandler({ token: shown, routes, log, maxBytes }))
  return listener
}

function recordWith(raw: string): OutcomeRecord {
  return {
    operation: {
      operationId: 'O1',
      callId: 'C1',
      fingerprint: 'f',
      epoch: 1,
      round: 1,
      sequence: 2,
      attempts: 1,
      firstSeenAt: 1_800_000_000_000,
      state: 'succeeded',
      finishedAt: 1_800_000_000_001,
      evidence: 'upstream',
    },
    tenant: 't',
    keyspace: 'k',
    agent: 'a',
    conversation: undefined,
    server: 's',
    tool: 'transfer',
    key: 'key-1',
    expiresAt: undefined,
    expired: false,
    answer: { kind: 'result', raw },
  }
}

const replyOf = (callId: string, raw = '{}'): Reply => ({
  kind: 'outcome',
  callId,
  how: 'own',
  record: recordWith(raw),
})
const viewer = { tenant: 't', keyspace: 'k' }
const query = { viewer, by: 'key', server: 's', key: 'key-1' } as const

const answering = (record: OutcomeRecord | undefined): BrokerPort => ({
  outcome: async () => record,
  report: async () => (record === undefined ? [] : [record]),
  unknowns: async () => (record === undefined ? [] : [{ record, evidence: [evidence] }]),
  resolve: async ({ callId }) =>
    record === undefined || callId === 'another' ? { kind: 'no_such_call' } : { kind: 'resolved', record },
  caughtUp: async () => true,
})
const evidence = { kind: 'probe', says: 'the change is not there', raw: '{"a":1.0}', at: 5 }

const portOf = ({ url }: Listener) => Number(new URL(url).port)

test('a record arrives byte for byte, whatever the upstream answered', async () => {
  const client = internalClient({ token, maxBytes })
  let record = recordWith('{}')
  const listener = await serve(brokerRoutes({ ...answering(record), outcome: async () => record }))
  const broker = brokerClient({ client }, [listener.url])
  const awkward = fc.oneof(
    fc.string({ unit: 'grapheme' }),
    fc.string({ unit: 'binary' }),
    fc.json(),
    fc.constantFrom(
      '{"a":1.0,"a":1e400,"big":12345678901234567890}',
      '"\\ud800 \u2028"',
      '{"__proto__":{"x":1}}',
      ' { } \n',
    ),
  )
  await fc.assert(
    fc.asyncProperty(awkward, async raw => {
      record = recordWith(raw)
      assert.equal((await broker.outcome(query))?.answer?.raw, raw)
    }),
    { numRuns: 200 },
  )
  await client.close()
  await listener.close()
})

test('unknowns and a person’s word about one travel whole', async () => {
  const client = internalClient({ token, maxBytes })
  const record = recordWith('{"big":12345678901234567890}')
  const listener = await serve(brokerRoutes(answering(record)))
  const broker = brokerClient({ client }, [listener.url])
  // What is absent does not travel.
  const sent = JSON.parse(JSON.stringify(record)) as OutcomeRecord
  assert.deepEqual(await broker.unknowns({ tenant: 't', limit: 10 }), [{ record: sent, evidence: [evidence] }])
  const word = { id: 'w', tenant: 't', as: 'succeeded', reason: 'seen', by: { agent: 'anna' } } as const
  assert.deepEqual(await broker.resolve({ ...word, callId: 'c' }), {
    kind: 'resolved',
    record: sent,
  })
  assert.deepEqual(await broker.resolve({ ...word, callId: 'another' }), { kind: 'no_such_call' })
  await client.close()
  await listener.close()
})

test('a report says how calls ended and leaves their results where they are', async () => {
  const client = internalClient({ token, maxBytes })
  const listener = await serve(brokerRoutes(answering(recordWith('{"large":true}'))))
  const [record] = await brokerClient({ client }, [listener.url]).report({ viewer, since: 0, limit: 10 })
  assert.equal(record?.operation.state, 'succeeded')
  assert.equal(record?.answer, undefined)
  await client.close()
  await listener.close()
})

test('a question goes to the next broker when one is gone, refuses the token, or answers nonsense', async () => {
  const client = internalClient({ token, maxBytes })
  const gone = await serve({})
  const goneUrl = gone.url
  await gone.close()
  const other = await serve(brokerRoutes(answering(undefined)), { shown: 'the-token-of-another-cluster' })
  const nonsense = await serve({ '/internal/outcome': { answer: async () => ({ record: { state: 'succeeded' } }) } })
  const listener = await serve(brokerRoutes(answering(recordWith('{}'))))
  const broker = brokerClient({ client }, [goneUrl, other.url, nonsense.url, listener.url])
  for (let turn = 0; turn < 8; turn += 1) assert.equal((await broker.outcome(query))?.key, 'key-1')
  await Promise.all([client.close(), other.close(), nonsense.close(), listener.close()])
})

test('where no broker can be asked that is what is said, and never that there is no record', async () => {
  const client = internalClient({ token, maxBytes })
  const silent = await serve({ '/internal/outcome': { answer: () => new Promise(() => {}) } })
  const away = await serve({
    '/internal/outcome': {
      answer: async () => {
        throw new UnavailableError('postgres', 'the database is away')
      },
    },
  })
  const broker = brokerClient({ client }, [silent.url, away.url], { answerMs: 100 })
  await assert.rejects(broker.outcome(query), (error: Error) => {
    assert.ok(error instanceof UnavailableError)
    assert.match(error.message, /no answer within 100 ms/)
    assert.match(error.message, /the database is away/)
    return true
  })
  await Promise.all([client.close(), silent.close(), away.close()])
})

test('without the token nothing is answered, and nothing of the body is read', async () => {
  const listener = await serve(brokerRoutes(answering(recordWith('{}'))))
  for (const authorization of [undefined, 'Bearer wrong', `bearer ${token}`, token]) {
    const response = await fetch(`${listener.url}/internal/outcome`, {
      method: 'POST',
      headers: authorization === undefined ? {} : { authorization },
      body: 'not even JSON',
    })
    assert.equal(response.status, 401)
  }
  await listener.close()
})

test('a body that is too large, no JSON or not what was expected is refused with the reason', async () => {
  const listener = await serve(brokerRoutes(answering(recordWith('{}'))))
  const post = (body: string | Uint8Array, path = '/internal/outcome') =>
    fetch(`${listener.url}${path}`, { method: 'POST', headers: { authorization: `Bearer ${token}` }, body })
  assert.equal((await post('{')).status, 400)
  assert.equal((await post(new Uint8Array([0x22, 0xff, 0x22]))).status, 400)
  assert.equal((await post('{"by":"key"}')).status, 400)
  assert.equal((await post(`"${'x'.repeat(maxBytes)}"`)).status, 413)
  assert.equal((await post('{}', '/internal/constructor')).status, 404)
  assert.equal(
    (await fetch(`${listener.url}/internal/outcome`, { headers: { authorization: `Bearer ${token}` } })).status,
    405,
  )
  await listener.close()
})

test('replies go to the front that sealed the address, in few requests', async () => {
  const client = internalClient({ token, maxBytes })
  const heard: string[] = []
  let requests = 0
  const front = await serve(
    replyRoutes(replies => {
      requests += 1
      heard.push(...replies.map(({ callId }) => callId))
    }),
  )
  const sender = createReplySender({ client, token, log })
  const sent = Array.from({ length: 600 }, (_, index) => `C${index}`)
  for (const callId of sent) sender.reply(replyAddress(front.url, token), [replyOf(callId)])
  await sender.done(5_000)
  assert.deepEqual(heard, sent)
  assert.equal(requests, 3)
  await client.close()
  await front.close()
})

test('the token is shown only to addresses that a holder of it sealed', async () => {
  const client = internalClient({ token, maxBytes })
  const shown: Array<string | undefined> = []
  const stranger = await testListener()
  stranger.serve('/', (request, response) => {
    shown.push(request.headers.authorization)
    response.end('{}')
  })
  const sender = createReplySender({ client, token, log })
  const url = `${stranger.url}/internal/replies`
  const sealedElsewhere = replyAddress('http://127.0.0.1:1', token)
  const forged = [
    url,
    `${url}#`,
    `${url}#${'A'.repeat(43)}`,
    sealAddress(url, 'another-token'),
    `${url}#${sealedElsewhere.split('#')[1]}`,
    'single',
    '',
  ]
  for (const address of forged) {
    assert.equal(openAddress(address, token), undefined)
    sender.reply(address, [replyOf('C1')])
  }
  await sender.done(2_000)
  assert.deepEqual(shown, [])
  await client.close()
  await stranger.close()
})

test('a front that is gone, knows another token or takes no replies costs its replies and nothing else', async () => {
  const client = internalClient({ token, maxBytes })
  const heard: string[] = []
  const gone = await serve({})
  const goneUrl = gone.url
  await gone.close()
  const other = await serve(
    replyRoutes(() => assert.fail('a reply was taken with another token')),
    { shown: 'another-token' },
  )
  const nobody = await serve({})
  const front = await serve(replyRoutes(replies => void heard.push(...replies.map(({ callId }) => callId))))
  const said: object[] = []
  const sender = createReplySender({ client, token, log: { warn: fields => void said.push(fields) } })
  for (const url of [goneUrl, other.url, nobody.url, front.url]) {
    for (let n = 0; n < 20; n += 1) sender.reply(replyAddress(url, token), [replyOf(`C${n}`)])
  }
  await sender.done(5_000)
  assert.equal(heard.length, 20)
  assert.equal(said.length, 3, 'one line for each front that did not take them')
  await Promise.all([client.close(), other.close(), nobody.close(), front.close()])
})

test('a front that comes back under its address gets its replies again', async () => {
  const client = internalClient({ token, maxBytes })
  const heard: string[] = []
  const routes = replyRoutes(replies => void heard.push(...replies.map(({ callId }) => callId)))
  const first = await serve(routes)
  const sender = createReplySender({ client, token, log })
  const address = replyAddress(first.url, token)
  sender.reply(address, [replyOf('C1')])
  await sender.done(5_000)
  await first.close()
  sender.reply(address, [replyOf('C2')])
  await sender.done(5_000)
  const second = await serve(routes, { port: portOf(first) })
  sender.reply(address, [replyOf('C3')])
  await sender.done(5_000)
  assert.deepEqual(heard, ['C1', 'C3'])
  await client.close()
  await second.close()
})

test('a front that does not answer holds back a bounded number of replies, and none that is old', async () => {
  const heard: string[] = []
  let release = () => {}
  const held = new Promise<void>(resolve => {
    release = resolve
  })
  const post = async (_: string, json: string) => {
    await held
    heard.push(...(JSON.parse(json) as { replies: Reply[] }).replies.map(({ callId }) => callId))
    return { ok: true as const, value: {} }
  }
  const sender = createReplySender({ client: { post }, token, log }, { queuedReplies: 10, batchReplies: 4 })
  const address = replyAddress('http://127.0.0.1:1', token)
  for (let n = 0; n < 50; n += 1) sender.reply(address, [replyOf(`C${n}`)])
  release()
  await sender.done(5_000)
  assert.deepEqual(heard, ['C0', 'C1', 'C2', 'C3', 'C4', 'C5', 'C6', 'C7', 'C8', 'C9'])

  const late = createReplySender({ client: { post }, token, log }, { maxAgeMs: -1 })
  late.reply(address, [replyOf('old')])
  await late.done(5_000)
  assert.ok(!heard.includes('old'))
})

test('what is no reply is refused by the front, and nobody hears of it', async () => {
  const front = await serve(replyRoutes(() => assert.fail('garbage was delivered')))
  const garbage: unknown[] = [
    {},
    { replies: 'x' },
    { replies: [null] },
    { replies: [{ kind: 'outcome', callId: 'C1', how: 'own' }] },
    { replies: [{ ...replyOf('C1'), record: { ...recordWith('{}'), operation: { state: 'done' } } }] },
    { replies: [{ ...replyOf('C1'), record: { ...recordWith('{}'), answer: { kind: 'result', raw: {} } } }] },
  ]
  for (const body of garbage) {
    const response = await fetch(`${front.url}/internal/replies`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}` },
      body: JSON.stringify(body),
    })
    assert.equal(response.status, 400)
  }
  await front.close()
})

test('a port answers before its service is ready: it lives, it is not ready, and says why', async () => {
  const listener = await testListener(['postgres', 'journal'])
  assert.equal((await fetch(`${listener.url}/livez`)).status, 200)
  const readyz = await fetch(`${listener.url}/readyz`)
  assert.equal(readyz.status, 503)
  assert.deepEqual(await readyz.json(), {
    ready: false,
    missing: { postgres: 'not reached yet', journal: 'not reached yet' },
    degraded: {},
  })
  const early = await fetch(`${listener.url}/mcp`, { method: 'POST', body: '{}' })
  assert.equal(early.status, 503)
  assert.equal(((await early.json()) as { code: string }).code, 'starting')
  await listener.close()
})
