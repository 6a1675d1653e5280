import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Client as ModernClient, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { runCli } from '../helpers/cli.ts'
import { type Lab, startLab } from '../helpers/upstream/lab.ts'
import { labTools } from '../helpers/upstream/lab-tools.ts'
import { type Answer, eventually, type Node, outcomeOf, type StartNode, textOf } from '../helpers/node.ts'

export function protocolsSuite(start: StartNode): void {
  let lab: Lab
  let shaped: Lab
  let node: Node
  /** An API key of the agent whose host names the keys. */
  let hostKey: string

  const outputSchema = {
    type: 'object',
    properties: { arguments: { type: 'object' }, meta: { type: 'object' } },
    required: ['arguments', 'meta'],
  }

  before(async () => {
    lab = await startLab({ era: 'modern' })
    shaped = await startLab({
      era: 'legacy',
      tools: [{ name: 'echo', description: 'A write with a shape.', inputSchema: { type: 'object' }, outputSchema }],
    })
    node = await start({
      yaml: `
servers:
  lab: { url: ${lab.url}, timeout: 20s }
  one: { url: ${lab.url}, timeout: 20s, concurrency: 1 }
  brief: { url: ${lab.url}, timeout: 5s, defaults: { retention: 1s } }
  shaped: { url: ${shaped.url}, timeout: 20s }
roles: { all: { allow: ["*"] } }
agents:
  dev: { roles: [all], readHistory: true }
  host: { roles: [all], keys: host }
`,
    })
    const env = { HOLDFAST_DATA: `${node.folder}/data`, HOLDFAST_CONFIG: `${node.folder}/holdfast.yaml` }
    const made = await runCli(['keys', 'create', '--agent', 'host', '--json'], { env, cwd: node.folder })
    assert.equal(made.exit, 0, made.err)
    hostKey = JSON.parse(made.out).key
  })

  after(async () => {
    await node?.[Symbol.asyncDispose]()
    await Promise.all([lab?.stop(), shaped?.stop()])
  })

  /** One POST as it stands; `signal` drops the connection without a word. */
  function post(
    body: unknown,
    {
      path = '/lab',
      headers = {},
      signal,
    }: { path?: string; headers?: Record<string, string>; signal?: AbortSignal } = {},
  ) {
    const { mcp, key } = node.ready()
    return fetch(`${mcp}${path}`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${key}`,
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
        ...headers,
      },
      body: JSON.stringify(body),
      ...(signal && { signal }),
    })
  }

  const call = (name: string, args: object, meta?: object) => ({
    jsonrpc: '2.0',
    id: 1,
    method: 'tools/call',
    params: { name, arguments: args, ...(meta && { _meta: meta }) },
  })

  const outcome = async (server: string, key: string, search = '') => {
    const { outcomes, key: apiKey } = node.ready()
    const response = await fetch(`${outcomes}/${server}/${encodeURIComponent(key)}${search}`, {
      headers: { authorization: `Bearer ${apiKey}` },
    })
    return { status: response.status, body: (await response.json()) as Record<string, unknown> }
  }

  /** Waits for an end without asking through the journal, which would fence a key that is not there yet. */
  const settled = (server: string, key: string) =>
    eventually(
      async () => {
        const rows = await node.sql<{ state: string }>(
          `select state from holdfast.operations where server = '${server}' and idempotency_key = '${key}'
         and state not in ('accepted', 'executing')`,
        )
        return rows[0]?.state
      },
      { what: `the end of ${key}`, withinMs: 20_000 },
    )

  /** Until the broker has the call in its queue: only then a cancel or a drop says anything. */
  const accepted = (key: string) =>
    eventually(
      async () =>
        (
          await node.sql(`select 1 from holdfast.events where idempotency_key = '${key}' and type = 'call.accepted'`)
        )[0],
      { what: `${key} in the queue` },
    )

  const effectsOf = (what: string) => lab.effects().filter(effect => effect.arguments['what'] === what).length

  test('initialize and server/discover are both answered on one route, and each era says what it has', async () => {
    for (const path of ['', '/lab']) {
      const opened = await post(
        {
          jsonrpc: '2.0',
          id: 1,
          method: 'initialize',
          params: { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'raw', version: '1' } },
        },
        { path },
      )
      assert.equal(opened.status, 200)
      assert.ok(opened.headers.get('mcp-session-id'))
      const { result } = (await opened.json()) as { result: Record<string, unknown> }
      assert.equal(result['protocolVersion'], '2025-06-18')
      assert.match(String(result['instructions']), /holdfast_outcome/)

      const version = '2026-07-28'
      const discovered = await post(
        {
          jsonrpc: '2.0',
          id: 2,
          method: 'server/discover',
          params: {
            _meta: {
              'io.modelcontextprotocol/protocolVersion': version,
              'io.modelcontextprotocol/clientCapabilities': {},
              'io.modelcontextprotocol/clientInfo': { name: 'raw', version: '1' },
            },
          },
        },
        { path, headers: { 'mcp-protocol-version': version, 'mcp-method': 'server/discover' } },
      )
      assert.equal(discovered.status, 200, await discovered.clone().text())
      assert.equal(discovered.headers.get('mcp-session-id'), null)
      const said = ((await discovered.json()) as { result: { supportedVersions: string[] } }).result
      assert.ok(said.supportedVersions.includes(version))
    }
    assert.equal((await node.modern()).getProtocolEra(), 'modern')
  })

  test('tools/list shows idempotency_key in writes only, and not to an agent whose host names the keys', async () => {
    type Listed = { name: string; inputSchema: { properties?: Record<string, unknown>; required?: string[] } }
    const byName = async (client: { listTools(): Promise<{ tools: unknown[] }> }) =>
      new Map(((await client.listTools()).tools as Listed[]).map(tool => [tool.name, tool.inputSchema]))
    for (const client of [await node.modern({ path: '/lab' }), await node.legacy({ path: '/lab' })]) {
      const tools = await byName(client)
      for (const { name, annotations } of labTools) {
        const isRead = (annotations as { readOnlyHint?: boolean } | undefined)?.readOnlyHint === true
        assert.equal('idempotency_key' in (tools.get(name)?.properties ?? {}), !isRead, name)
        assert.equal(tools.get(name)?.required?.includes('idempotency_key') ?? false, !isRead, name)
      }
    }
    const hosted = await byName(await node.legacy({ path: '/lab', key: hostKey }))
    assert.equal('idempotency_key' in (hosted.get('write')?.properties ?? {}), false)
    const byHeader = await post(call('write', { what: 'hosted' }), {
      headers: { authorization: `Bearer ${hostKey}`, 'idempotency-key': 'hosted-1' },
    })
    const { result } = (await byHeader.json()) as { result: Answer }
    assert.equal(outcomeOf(result).state, 'succeeded', textOf(result))
  })

  test('a quick write is JSON; one of 7 s is an event stream with a sign of life, progress where asked for, and the answer', async () => {
    const quick = await post(call('write', { idempotency_key: 'quick' }))
    assert.match(quick.headers.get('content-type') ?? '', /^application\/json/)
    await quick.text()

    const slow = (key: string, meta?: object) =>
      post(call('write', { idempotency_key: key, what: key, delayMs: 7_000 }, meta))
    const responses = await Promise.all([slow('slow-plain'), slow('slow-progress', { progressToken: 'token-7' })])
    for (const response of responses) assert.match(response.headers.get('content-type') ?? '', /^text\/event-stream/)
    const [plain, progress] = (await Promise.all(responses.map(response => response.text()))) as [string, string]
    const events = (text: string) =>
      text
        .split('\n')
        .filter(line => line.startsWith('data: '))
        .map(line => JSON.parse(line.slice(6)))
    for (const text of [plain, progress]) {
      assert.match(text, /^: keep-alive$/m)
      const answer = events(text).at(-1)
      assert.equal(answer.id, 1)
      assert.equal(outcomeOf(answer.result).state, 'succeeded')
    }
    assert.equal(events(plain).length, 1)
    const told = events(progress).filter(({ method }) => method === 'notifications/progress')
    assert.ok(told.length >= 1)
    assert.equal(told[0].params.progressToken, 'token-7')
    assert.equal(effectsOf('slow-plain') + effectsOf('slow-progress'), 2)
  })

  test('both SDKs wait through an event stream of 6 s, and their progress callbacks are called', async () => {
    const clients = { modern: await node.modern({ path: '/lab' }), legacy: await node.legacy({ path: '/lab' }) }
    const wait = async (era: 'modern' | 'legacy') => {
      let heard = 0
      const request = {
        name: 'write',
        arguments: { what: `waited-${era}`, idempotency_key: `waited-${era}`, delayMs: 6_000 },
      }
      const options = { onprogress: () => void (heard += 1), timeout: 30_000 }
      const answer = await (era === 'modern'
        ? clients.modern.callTool(request, options)
        : clients.legacy.callTool(request, undefined, options))
      assert.equal(outcomeOf(answer).state, 'succeeded', textOf(answer))
      assert.ok(heard >= 1, era)
    }
    await Promise.all([wait('modern'), wait('legacy')])
  })

  /** Keeps the only place of server `one` until released. */
  async function holdTheOnlyPlace(key: string): Promise<() => Promise<unknown>> {
    const client = await node.legacy({ path: '/one' })
    const calls = lab.calls().length
    const holding = client.callTool({ name: 'write', arguments: { behave: 'late', what: key, idempotency_key: key } })
    await lab.waitForCall(calls + 1)
    return () => {
      lab.release()
      return holding
    }
  }

  test('notifications/cancelled of a call that waits in the queue: nothing was sent, and nothing will be', async () => {
    const release = await holdTheOnlyPlace('holder-1')
    const client = await node.legacy({ path: '/one' })
    const cancel = new AbortController()
    const waiting = client.callTool(
      { name: 'write', arguments: { what: 'cancelled', idempotency_key: 'cancelled' } },
      undefined,
      { signal: cancel.signal },
    )
    const rejected = assert.rejects(waiting)
    await accepted('cancelled')
    cancel.abort('the user changed their mind')
    await rejected
    assert.equal(await settled('one', 'cancelled'), 'not_executed')
    await release()
    const told = await outcome('one', 'cancelled')
    assert.equal(told.body['state'], 'not_executed')
    assert.equal(effectsOf('cancelled'), 0)
    // The same key may run once it is wanted after all.
    const again = await client.callTool({
      name: 'write',
      arguments: { what: 'cancelled', idempotency_key: 'cancelled' },
    })
    assert.equal(outcomeOf(again).state, 'succeeded', textOf(again))
    assert.equal(effectsOf('cancelled'), 1)
  })

  test("a client's time-out, and a dropped connection, cancel nothing: the queued write runs", async () => {
    const release = await holdTheOnlyPlace('holder-2')
    let cancelArrived = () => {}
    const arrived = new Promise<void>(resolve => (cancelArrived = resolve))
    const watched: typeof fetch = async (input, init) => {
      const response = await fetch(input, init)
      if (typeof init?.body === 'string' && init.body.includes('notifications/cancelled')) cancelArrived()
      return response
    }
    const client = await node.legacy({ path: '/one', fetch: watched })
    const timedOut = assert.rejects(
      client.callTool({ name: 'write', arguments: { what: 'timed out', idempotency_key: 'timed-out' } }, undefined, {
        timeout: 1_500,
      }),
      /timed? ?out/i,
    )
    const drop = new AbortController()
    const dropped = assert.rejects(
      post(call('write', { what: 'dropped', idempotency_key: 'dropped' }), { path: '/one', signal: drop.signal }),
    )
    await accepted('dropped')
    drop.abort()
    await Promise.all([timedOut, dropped, arrived])
    await release()
    assert.equal(await settled('one', 'timed-out'), 'succeeded')
    assert.equal(await settled('one', 'dropped'), 'succeeded')
    assert.equal(effectsOf('timed out'), 1)
    assert.equal(effectsOf('dropped'), 1)
  })

  test('tools with an output schema: the answer, its replay and a refusal are all taken by both SDKs', async () => {
    for (const [era, client] of [
      ['modern', await node.modern({ path: '/shaped' })],
      ['legacy', await node.legacy({ path: '/shaped' })],
    ] as const) {
      // The SDKs check answers against the schemas they have listed.
      await client.listTools()
      const args = { n: 1.5, idempotency_key: `shaped-${era}` }
      const first = (await client.callTool({ name: 'echo', arguments: args })) as unknown as Answer
      assert.deepEqual(first.structuredContent, { arguments: { n: 1.5 }, meta: {} })
      const again = (await client.callTool({ name: 'echo', arguments: args })) as unknown as Answer
      assert.deepEqual(again.structuredContent, first.structuredContent)
      assert.equal(outcomeOf(again).replayed, true)
      const keyless = await client.callTool({ name: 'echo', arguments: { n: 1 } })
      assert.equal(outcomeOf(keyless).code, 'idempotency_key_required')
      const conflict = await client.callTool({ name: 'echo', arguments: { ...args, n: 2 } })
      assert.equal(outcomeOf(conflict).code, 'idempotency_conflict')
      const told = (await client.callTool({
        name: 'holdfast_outcome',
        arguments: { key: `shaped-${era}`, server: 'shaped' },
      })) as unknown as Answer
      assert.equal(told.structuredContent?.['state'], 'succeeded')
      assert.deepEqual(JSON.parse(textOf(told)), told.structuredContent)
    }
    assert.equal(shaped.calls().length, 2)
  })

  test("a server's question reaches a client that can answer it, and the change is made once", async () => {
    const asking = new ModernClient(
      { name: 'asking', version: '1' },
      { versionNegotiation: { mode: 'auto' }, capabilities: { elicitation: {} } },
    )
    const { mcp, key } = node.ready()
    const headers = { authorization: `Bearer ${key}` }
    await asking.connect(new StreamableHTTPClientTransport(new URL(`${mcp}/lab`), { requestInit: { headers } }))
    try {
      let asked = 0
      asking.setRequestHandler('elicitation/create', () => {
        asked += 1
        return { action: 'accept' as const, content: { sure: true } }
      })
      const args = { what: 'asked', idempotency_key: 'asked' }
      const answer = await asking.callTool({ name: 'ask', arguments: args })
      assert.equal(asked, 1)
      assert.equal(outcomeOf(answer).state, 'succeeded', textOf(answer))
      assert.match(textOf(answer), /round 1 .*"sure":true/)
      const again = await asking.callTool({ name: 'ask', arguments: args })
      assert.equal(outcomeOf(again).replayed, true)
      assert.equal(textOf(again), textOf(answer))
      assert.equal(effectsOf('asked'), 1)

      const cannot = { what: 'cannot', idempotency_key: 'cannot' }
      const client = await node.legacy({ path: '/lab' })
      const question = await client.callTool({ name: 'ask', arguments: cannot })
      assert.equal(outcomeOf(question).state, 'awaiting_input')
      assert.match(textOf(question), /^THE SERVER ASKS/)
      assert.equal(effectsOf('cannot'), 0)
      // The same key from a client that can: the question that is on record goes on.
      const answered = await asking.callTool({ name: 'ask', arguments: cannot })
      assert.equal(outcomeOf(answered).state, 'succeeded', textOf(answered))
      assert.equal(effectsOf('cannot'), 1)
    } finally {
      await asking.close()
    }
  })

  test('the HTTP API answers each question with its status: 200, 400, 401, 404, 410', async () => {
    const { outcomes, key } = node.ready()
    const get = async (url: string, headers: Record<string, string> = { authorization: `Bearer ${key}` }) => {
      const response = await fetch(url, { headers })
      return { status: response.status, body: (await response.json()) as Record<string, unknown> }
    }
    const report = outcomes.replace(/outcomes$/, 'report')
    const done = (await (await post(call('write', { what: 'api', idempotency_key: 'api/#1' }))).json()) as {
      result: Answer
    }
    const { callId } = outcomeOf(done.result)
    const found = await outcome('lab', 'api/#1')
    assert.equal(found.status, 200)
    assert.equal(found.body['state'], 'succeeded')
    assert.equal(found.body['callId'], callId)
    assert.deepEqual((found.body['result'] as Answer).content, done.result.content)
    assert.equal((await get(`${outcomes}?callId=${callId}`)).body['key'], 'api/#1')
    assert.equal((await get(`${outcomes}?key=${encodeURIComponent('api/#1')}&server=lab`)).status, 200)

    const absent = await outcome('lab', 'never-sent')
    assert.equal(absent.status, 404)
    assert.equal(absent.body['state'], 'not_found')
    assert.equal((await get(`${outcomes}?callId=01ARZ3NDEKTSV4RRFFQ69G5FAV`)).status, 404)
    for (const question of [
      '',
      '?waitMs=soon&key=k',
      '?key=k&server=nobody',
      '?key=',
      `?key=${'k'.repeat(256)}`,
      '?key=a&key=b',
    ]) {
      const { status, body } = await get(`${outcomes}${question}`)
      assert.equal(status, 400, `${question}: ${JSON.stringify(body)}`)
      assert.equal(body['code'], 'bad_request')
    }
    assert.equal((await outcome('nobody', 'k')).status, 400)
    assert.equal((await get(`${outcomes}/lab/k`, {})).status, 401)

    const everything = await get(report)
    assert.equal(everything.status, 200)
    assert.ok((everything.body['confirmed'] as Array<{ key: string }>).some(entry => entry.key === 'api/#1'))
    assert.equal((await get(`${report}?since=yesterday`)).status, 400)
    assert.equal((await get(report, {})).status, 401)

    const brief = { what: 'brief', idempotency_key: 'brief' }
    await (await post(call('write', brief), { path: '/brief' })).text()
    const expired = await eventually(
      async () => {
        const told = await outcome('brief', 'brief')
        return told.status === 410 ? told : undefined
      },
      { what: 'the end of the retention' },
    )
    assert.equal(expired.body['state'], 'expired')
    const repeated = (await (await post(call('write', brief), { path: '/brief' })).json()) as { result: Answer }
    assert.equal(outcomeOf(repeated.result).code, 'idempotency_key_expired')
    assert.equal(effectsOf('brief'), 1)
  })

  test('an outcome question that waits is answered when the write ends', async () => {
    const sending = post(call('write', { what: 'awaited', delayMs: 1_500, idempotency_key: 'awaited' }))
    await lab.waitForCall(lab.calls().length + 1)
    const told = await outcome('lab', 'awaited', '?waitMs=10000')
    assert.equal(told.status, 200)
    assert.equal(told.body['state'], 'succeeded')
    await (await sending).text()
  })
}
