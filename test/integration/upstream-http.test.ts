import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import test from 'node:test'
import { classify, type Seen } from '../../shared/call/seen.ts'
import { callOf, upstreamsFor } from '../helpers/upstream/harness.ts'
import { startLab } from '../helpers/upstream/lab.ts'
import { bigNumbers } from '../helpers/upstream/lab-behaviours.ts'

type Expected = { seen: Partial<Seen>; state: string; effects: 0 | 1 }

/** What must be seen for each behaviour, what that means for an operation, and how often it was really done. */
const cases: Record<string, Expected> = {
  answer: { seen: { kind: 'result', isError: false }, state: 'succeeded', effects: 1 },
  sse: { seen: { kind: 'result', isError: false }, state: 'succeeded', effects: 1 },
  twice: { seen: { kind: 'result', isError: false }, state: 'succeeded', effects: 1 },
  sse_cut: { seen: { kind: 'lost', why: 'truncated' }, state: 'unknown', effects: 1 },
  sse_unreadable: { seen: { kind: 'lost', why: 'protocol' }, state: 'unknown', effects: 1 },
  reset_before: { seen: { kind: 'lost', why: 'reset' }, state: 'unknown', effects: 0 },
  reset_after: { seen: { kind: 'lost', why: 'reset' }, state: 'unknown', effects: 1 },
  truncate: { seen: { kind: 'lost', why: 'truncated' }, state: 'unknown', effects: 1 },
  invalid_json: { seen: { kind: 'lost', why: 'protocol' }, state: 'unknown', effects: 1 },
  wrong_protocol: { seen: { kind: 'lost', why: 'protocol' }, state: 'unknown', effects: 1 },
  wrong_id: { seen: { kind: 'lost', why: 'protocol' }, state: 'unknown', effects: 1 },
  empty_202: { seen: { kind: 'lost', why: 'protocol' }, state: 'unknown', effects: 1 },
  unknown_type: { seen: { kind: 'lost', why: 'protocol' }, state: 'unknown', effects: 1 },
  rpc_error: { seen: { kind: 'error', rpcCode: -32602, http: 200 }, state: 'failed', effects: 0 },
  header_mismatch: { seen: { kind: 'error', rpcCode: -32020, http: 400 }, state: 'not_executed', effects: 0 },
  http_307: { seen: { kind: 'http', status: 307 }, state: 'not_executed', effects: 0 },
  http_401: { seen: { kind: 'http', status: 401 }, state: 'not_executed', effects: 0 },
  http_429: { seen: { kind: 'http', status: 429 }, state: 'not_executed', effects: 0 },
  http_409: { seen: { kind: 'http', status: 409 }, state: 'failed', effects: 0 },
  http_408: { seen: { kind: 'http', status: 408 }, state: 'unknown', effects: 0 },
  http_500_after: { seen: { kind: 'http', status: 500, excerpt: 'status 500' }, state: 'unknown', effects: 1 },
  http_503: { seen: { kind: 'http', status: 503 }, state: 'unknown', effects: 0 },
}

for (const era of ['modern', 'legacy'] as const) {
  for (const [behaviour, expected] of Object.entries(cases)) {
    test(`${era}: ${behaviour} is one request and is seen as ${expected.state}`, async t => {
      const lab = await startLab({ era })
      t.after(lab.stop)
      const upstreams = upstreamsFor(t, [{ id: 'lab', url: lab.url }])
      let sent = 0
      const seen = await upstreams.dispatch(
        callOf('lab', 'write', { behave: behaviour }, { onSent: () => (sent += 1) }),
      )
      assert.deepEqual({ ...seen, ...expected.seen }, seen)
      assert.equal(classify(seen).state, expected.state)
      assert.equal(lab.effects().length, expected.effects)
      assert.equal(lab.calls().length, 1)
      assert.equal(sent, 1)
    })
  }

  test(`${era}: a result keeps its bytes, also numbers that JavaScript cannot hold`, async t => {
    const lab = await startLab({ era })
    t.after(lab.stop)
    const seen = await upstreamsFor(t, [{ id: 'lab', url: lab.url }]).dispatch(
      callOf('lab', 'write', { behave: 'big_numbers' }),
    )
    assert.deepEqual(seen, { kind: 'result', raw: bigNumbers, isError: false })
  })

  test(`${era}: an isError result is upstream's own definite answer`, async t => {
    const lab = await startLab({ era })
    t.after(lab.stop)
    const seen = await upstreamsFor(t, [{ id: 'lab', url: lab.url }]).dispatch(
      callOf('lab', 'fail', { text: 'no such invoice' }),
    )
    assert.equal(seen.kind === 'result' && seen.isError, true)
    assert.deepEqual(classify(seen), { state: 'failed', code: 'upstream_error' })
  })

  test(`${era}: a call past its deadline is never sent, even after a slow handshake`, async t => {
    const lab = await startLab({ era, handshake: 'hang' })
    t.after(lab.stop)
    const upstreams = upstreamsFor(t, [{ id: 'lab', url: lab.url }])
    const past = await upstreams.dispatch(callOf('lab', 'write', {}, { deadline: performance.now() - 1 }))
    const slow = await upstreams.dispatch(callOf('lab', 'write', {}, { deadline: performance.now() + 150 }))
    for (const seen of [past, slow]) assert.equal(seen.kind === 'not_sent' && seen.why, 'deadline')
    assert.equal(lab.calls().length, 0)
  })

  test(`${era}: a call that waits for a free socket is not sent after its deadline`, async t => {
    const lab = await startLab({ era })
    t.after(lab.stop)
    const upstreams = upstreamsFor(t, [{ id: 'lab', url: lab.url, maxConnections: 1 }])
    const first = upstreams.dispatch(callOf('lab', 'write', { behave: 'late' }))
    await lab.waitForCall(1)
    const second = await upstreams.dispatch(callOf('lab', 'write', {}, { deadline: performance.now() + 100 }))
    assert.equal(second.kind === 'not_sent' && second.why, 'deadline')
    lab.release()
    assert.equal((await first).kind, 'result')
    const third = await upstreams.dispatch(callOf('lab', 'write'))
    assert.equal(third.kind, 'result')
    assert.equal(lab.calls().length, 2)
  })

  test(`${era}: a server that hangs in the handshake is given up after connectTimeoutMs, with nothing sent`, async t => {
    const lab = await startLab({ era, handshake: 'hang' })
    t.after(lab.stop)
    const upstreams = upstreamsFor(t, [{ id: 'lab', url: lab.url, connectTimeoutMs: 200 }])
    const seen = await upstreams.dispatch(callOf('lab', 'write'))
    assert.equal(seen.kind === 'not_sent' && seen.why, 'connect')
    assert.equal(lab.calls().length, 0)
  })

  test(`${era}: a handshake refused with a status sends nothing`, async t => {
    const lab = await startLab({ era, handshake: 'http_503' })
    t.after(lab.stop)
    const seen = await upstreamsFor(t, [{ id: 'lab', url: lab.url }]).dispatch(callOf('lab', 'write'))
    assert.equal(seen.kind, 'not_sent')
    assert.equal(lab.calls().length, 0)
  })

  test(`${era}: an answer beyond maxResultBytes is lost, not cut`, async t => {
    const lab = await startLab({ era })
    t.after(lab.stop)
    const upstreams = upstreamsFor(t, [{ id: 'lab', url: lab.url, maxResultBytes: 10_000 }])
    const fits = await upstreams.dispatch(callOf('lab', 'big', { bytes: 9_000 }))
    assert.equal(fits.kind === 'result' && fits.raw.length > 9_000, true)
    for (const behave of ['answer', 'sse']) {
      const seen = await upstreams.dispatch(callOf('lab', 'big', { bytes: 20_000, behave }))
      assert.equal(seen.kind === 'lost' && seen.why, 'too_large')
    }
  })

  test(`${era}: an answer is awaited as long as it takes, and timeoutMs stops listening without a word`, async t => {
    const lab = await startLab({ era })
    t.after(lab.stop)
    const upstreams = upstreamsFor(t, [{ id: 'lab', url: lab.url }])
    const late = upstreams.dispatch(callOf('lab', 'write', { behave: 'late' }))
    const hung = await upstreams.dispatch(callOf('lab', 'echo', { behave: 'hang' }, { timeoutMs: 150 }))
    assert.equal(hung.kind === 'lost' && hung.why, 'timeout')
    lab.release()
    assert.equal((await late).kind, 'result')
    assert.equal(lab.requests().includes('notifications/cancelled'), false)
  })

  test(`${era}: closing makes what is under way lost and what is not sent not_sent, and leaves no socket`, async t => {
    const lab = await startLab({ era })
    t.after(lab.stop)
    const upstreams = upstreamsFor(t, [{ id: 'lab', url: lab.url, maxConnections: 1 }])
    const underWay = upstreams.dispatch(callOf('lab', 'write', { behave: 'hang' }))
    await lab.waitForEffect(1)
    const waiting = upstreams.dispatch(callOf('lab', 'write'))
    await upstreams.close()
    const first = await underWay
    assert.equal(first.kind === 'lost' && first.why, 'closed')
    assert.equal((await waiting).kind, 'not_sent')
    const after = await upstreams.dispatch(callOf('lab', 'write'))
    assert.equal(after.kind === 'not_sent' && after.why, 'stopping')
    assert.equal(lab.calls().length, 1)
    await untilTrue(async () => (await lab.connections()) === 0)
  })

  test(`${era}: all pages of tools come with fields that the SDK does not know`, async t => {
    const lab = await startLab({ era, pageSize: 2 })
    t.after(lab.stop)
    const tools = await upstreamsFor(t, [{ id: 'lab', url: lab.url }]).tools('lab')
    assert.deepEqual(
      tools.map(tool => tool.name),
      ['write', 'fail', 'ask', 'echo', 'big', 'find'],
    )
    assert.deepEqual(tools[0]?.['x-vendor'], { kept: true })
    assert.deepEqual(tools[3]?.annotations, { readOnlyHint: true, 'example.com/unknown': 1 })
  })

  test(`${era}: a changed list of tools is heard of`, async t => {
    const lab = await startLab({ era })
    t.after(lab.stop)
    const upstreams = upstreamsFor(t, [{ id: 'lab', url: lab.url }])
    const changed = new Promise<void>(resolve => upstreams.onToolsChanged('lab', resolve))
    await lab.waitForListener()
    lab.setTools([{ name: 'only', inputSchema: { type: 'object' } }])
    await changed
    assert.deepEqual(
      (await upstreams.tools('lab')).map(tool => tool.name),
      ['only'],
    )
  })

  test(`${era}: arguments and _meta pass through, headers carry secrets from the environment`, async t => {
    const lab = await startLab({ era })
    t.after(lab.stop)
    const logged: string[] = []
    const keep = (fields: object, message: string) => void logged.push(JSON.stringify(fields) + message)
    const headers = { Authorization: 'Bearer ${env:LAB_TOKEN}' }
    const log = { debug: keep, info: keep, warn: keep, error: keep }
    const upstreams = upstreamsFor(t, [{ id: 'lab', url: lab.url, headers }], { env: { LAB_TOKEN: 's3cret' }, log })
    const meta = {
      traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
      progressToken: 'theirs',
      'example.com/x': [1],
    }
    const args = { text: 'ü€😀', nested: { a: [1, null, true] } }
    await upstreams.dispatch(callOf('lab', 'echo', args, { meta }))
    const call = await lab.waitForCall(1)
    assert.deepEqual(call.arguments, args)
    assert.equal(call.meta.traceparent, meta.traceparent)
    assert.deepEqual(call.meta['example.com/x'], [1])
    assert.equal('progressToken' in call.meta, false)
    assert.equal(call.headers.authorization, 'Bearer s3cret')
    assert.equal(
      Object.keys(call.headers).some(name => name.startsWith('holdfast')),
      false,
    )
    assert.equal(logged.join('\n').includes('s3cret'), false)
  })

  test(`${era}: a header whose variable is not set sends nothing and names the variable`, async t => {
    const lab = await startLab({ era })
    t.after(lab.stop)
    const upstreams = upstreamsFor(t, [{ id: 'lab', url: lab.url, headers: { authorization: '${env:NOT_SET}' } }], {
      env: {},
    })
    const seen = await upstreams.dispatch(callOf('lab', 'write'))
    assert.equal(seen.kind === 'not_sent' && seen.message.includes('NOT_SET'), true)
    assert.deepEqual(lab.requests(), [])
  })

  test(`${era}: calls in sequence share kept-alive connections`, async t => {
    const lab = await startLab({ era })
    t.after(lab.stop)
    const upstreams = upstreamsFor(t, [{ id: 'lab', url: lab.url }])
    for (let n = 0; n < 10; n += 1) await upstreams.dispatch(callOf('lab', 'write'))
    // undici gives a connection one turn of the event loop's rest after an answer: a call at once after it takes a second one.
    assert.equal(new Set(lab.calls().map(call => call.port)).size <= 2, true)
  })
}

test('modern: a question comes back with its state, and the next round carries the answers', async t => {
  const lab = await startLab({ era: 'modern' })
  t.after(lab.stop)
  const upstreams = upstreamsFor(t, [{ id: 'lab', url: lab.url }])
  const asked = await upstreams.dispatch(callOf('lab', 'ask', { round: 7 }))
  assert.equal(asked.kind === 'input_required' && asked.requestState, 'round 7')
  assert.equal(lab.calls().length, 1)
  assert.equal(lab.effects().length, 0)
  const inputs = { requestState: 'round 7', inputResponses: { sure: { action: 'accept', content: { sure: true } } } }
  const done = await upstreams.dispatch(callOf('lab', 'ask', { round: 7 }, { inputs }))
  assert.equal(done.kind === 'result' && done.raw.includes('round 7'), true)
  assert.deepEqual(lab.calls()[1]?.params.inputResponses, inputs.inputResponses)
  assert.equal(lab.effects().length, 1)
})

test('modern: one client serves all agents, after one question for the era', async t => {
  const lab = await startLab({ era: 'modern' })
  t.after(lab.stop)
  const upstreams = upstreamsFor(t, [{ id: 'lab', url: lab.url }])
  for (const agent of ['a', 'b', 'c']) await upstreams.dispatch(callOf('lab', 'write', {}, { caller: { agent } }))
  assert.equal(lab.requests().filter(method => method === 'server/discover').length, 1)
})

test('legacy: sessions are shared as configured', async t => {
  const callers = [
    { agent: 'a' },
    { agent: 'b' },
    { agent: 'a', conversation: '1' },
    { agent: 'a', conversation: '2' },
    { agent: 'a' },
  ]
  for (const [sessions, expected] of [
    ['agent', 2],
    ['shared', 1],
    ['conversation', 4],
  ] as const) {
    const lab = await startLab({ era: 'legacy' })
    t.after(lab.stop)
    const upstreams = upstreamsFor(t, [{ id: 'lab', url: lab.url, sessions }])
    for (const caller of callers) await upstreams.dispatch(callOf('lab', 'write', {}, { caller }))
    assert.equal(new Set(lab.calls().map(call => call.session)).size, expected, sessions)
  }
})

test('legacy: a lost session turns the call away, and only the next call opens a new one', async t => {
  const lab = await startLab({ era: 'legacy' })
  t.after(lab.stop)
  const upstreams = upstreamsFor(t, [{ id: 'lab', url: lab.url }])
  await upstreams.dispatch(callOf('lab', 'write'))
  lab.forgetSessions()
  const turnedAway = await upstreams.dispatch(callOf('lab', 'write'))
  assert.deepEqual({ ...turnedAway, excerpt: '' }, { kind: 'http', status: 404, session: true, excerpt: '' })
  assert.deepEqual(classify(turnedAway), { state: 'not_executed', code: 'refused_by_upstream' })
  assert.equal(lab.effects().length, 1)
  assert.equal((await upstreams.dispatch(callOf('lab', 'write'))).kind, 'result')
  assert.equal(lab.effects().length, 2)
})

test('legacy: a listing survives a lost session', async t => {
  const lab = await startLab({ era: 'legacy' })
  t.after(lab.stop)
  const upstreams = upstreamsFor(t, [{ id: 'lab', url: lab.url }])
  const before = await upstreams.tools('lab')
  assert.ok(before.length > 0)
  lab.forgetSessions()
  assert.deepEqual(await upstreams.tools('lab'), before)
})

test('legacy: closing ends the sessions at the server', async t => {
  const lab = await startLab({ era: 'legacy' })
  t.after(lab.stop)
  const upstreams = upstreamsFor(t, [{ id: 'lab', url: lab.url }])
  await upstreams.dispatch(callOf('lab', 'write'))
  assert.equal(lab.sessions().length, 1)
  await upstreams.close()
  assert.equal(lab.sessions().length, 0)
})

test('legacy: a session that nobody uses is closed, and the next call opens another', async t => {
  const lab = await startLab({ era: 'legacy' })
  t.after(lab.stop)
  const upstreams = upstreamsFor(t, [{ id: 'lab', url: lab.url }], { idleMs: 50 })
  await upstreams.dispatch(callOf('lab', 'write'))
  await untilTrue(async () => lab.sessions().length === 0)
  assert.equal((await upstreams.dispatch(callOf('lab', 'write'))).kind, 'result')
})

test('closing does not wait for a handshake that hangs', async t => {
  const lab = await startLab({ era: 'modern', handshake: 'hang' })
  t.after(lab.stop)
  const upstreams = upstreamsFor(t, [{ id: 'lab', url: lab.url }])
  const waiting = upstreams.dispatch(callOf('lab', 'write'))
  await untilTrue(async () => lab.requests().length === 1)
  const startedAt = performance.now()
  await upstreams.close()
  assert.equal(performance.now() - startedAt < 2_000, true)
  const seen = await waiting
  assert.equal(seen.kind === 'not_sent' && seen.why, 'stopping')
})

test('a server that is not there is proof that nothing was sent: refused, unknown name, no TLS', async t => {
  const lab = await startLab({ era: 'modern' })
  const gone = lab.url
  await lab.stop()
  const plain = await startLab({ era: 'modern' })
  t.after(plain.stop)
  const upstreams = upstreamsFor(t, [
    { id: 'gone', url: gone },
    { id: 'nowhere', url: 'http://no-such-host.invalid/mcp' },
    { id: 'tls', url: plain.url.replace('http:', 'https:') },
  ])
  const why = async (server: string) => {
    const seen = await upstreams.dispatch(callOf(server, 'write'))
    return seen.kind === 'not_sent' && seen.why
  }
  assert.equal(await why('gone'), 'refused')
  assert.equal(await why('nowhere'), 'dns')
  assert.equal(await why('tls'), 'tls')
  await assert.rejects(upstreams.tools('gone'), { name: 'UnavailableError', dependency: 'upstream:gone' })
})

test('a server that dies between two calls is seen as such: refused, with nothing sent', async t => {
  const lab = await startLab({ era: 'modern' })
  const upstreams = upstreamsFor(t, [{ id: 'lab', url: lab.url }])
  await upstreams.dispatch(callOf('lab', 'write'))
  await lab.stop()
  const seen = await upstreams.dispatch(callOf('lab', 'write'))
  // Either undici had noticed that the socket is gone, or the request was written into it.
  assert.equal(seen.kind === 'not_sent' || (seen.kind === 'lost' && seen.why === 'reset'), true, JSON.stringify(seen))
})

test('a kept-alive connection that is reset under a request is lost, never "not sent", and never sent again', async t => {
  let requests = 0
  const answers = [
    {
      supportedVersions: ['2026-07-28'],
      capabilities: { tools: {} },
      resultType: 'complete',
      ttlMs: 0,
      cacheScope: 'private',
    },
    { tools: [], resultType: 'complete', ttlMs: 0, cacheScope: 'private' },
    { content: [], resultType: 'complete' },
  ]
  const server = createServer(socket => {
    socket.on('error', () => {})
    socket.on('data', data => {
      const answer = answers[requests]
      requests += 1
      if (answer === undefined) return void socket.resetAndDestroy()
      const { id } = JSON.parse(data.toString().split('\r\n\r\n')[1] as string) as { id: string }
      const body = JSON.stringify({ jsonrpc: '2.0', id, result: answer })
      socket.write(`HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`)
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`
  const upstreams = upstreamsFor(t, [{ id: 'raw', url }])
  assert.equal((await upstreams.dispatch(callOf('raw', 'write'))).kind, 'result')
  const seen = await upstreams.dispatch(callOf('raw', 'write'))
  assert.equal(seen.kind === 'lost' && seen.why, 'reset')
  assert.equal(requests, 4)
})

async function untilTrue(check: () => Promise<boolean>): Promise<void> {
  while (!(await check())) await new Promise(resolve => setTimeout(resolve, 10))
}

test('a stream that the server leaves open after its answer gives its socket back', async t => {
  const lab = await startLab({ era: 'modern' })
  t.after(lab.stop)
  const upstreams = upstreamsFor(t, [{ id: 'lab', url: lab.url, maxConnections: 1 }])
  for (let n = 0; n < 2; n += 1) {
    const seen = await upstreams.dispatch(callOf('lab', 'write', { behave: 'sse_left_open' }))
    assert.equal(seen.kind, 'result', JSON.stringify(seen))
  }
  assert.equal(lab.calls().length, 2)
})

test('a stream that floods instead of answering ends at four answers of the largest size', async t => {
  const lab = await startLab({ era: 'modern' })
  t.after(lab.stop)
  const upstreams = upstreamsFor(t, [{ id: 'lab', url: lab.url, maxResultBytes: 100_000 }])
  const seen = await upstreams.dispatch(callOf('lab', 'write', { behave: 'sse_flood' }))
  assert.deepEqual(seen.kind === 'lost' && [seen.why, seen.message], ['too_large', 'larger than 400000 bytes'])
  await untilTrue(async () => (await lab.connections()) === 0)
})
