import assert from 'node:assert/strict'
import { request } from 'node:http'
import { after, before, test } from 'node:test'
import { createClient } from '@clickhouse/client'
import { type Lab, startLab } from '../helpers/upstream/lab.ts'
import { type Answer, eventually, type Node, outcomeOf, type StartNode, textOf } from '../helpers/node.ts'

export function badInputSuite(start: StartNode): void {
  let lab: Lab
  let strict: Lab
  let node: Node
  let pidAtStart: number

  const devKey = 'the-key-of-dev'

  before(async () => {
    lab = await startLab({ era: 'modern' })
    strict = await startLab({
      era: 'legacy',
      tools: [
        {
          name: 'pay',
          description: 'Pays.',
          inputSchema: {
            type: 'object',
            properties: { amount: { type: 'number', minimum: 1 }, to: { type: 'string' } },
            required: ['amount', 'to'],
            additionalProperties: false,
          },
        },
      ],
    })
    node = await start({
      yaml: `
servers:
  lab: { url: ${lab.url}, timeout: 5s }
  strict: { url: ${strict.url}, timeout: 5s }
roles:
  most: { allow: ["*"], deny: ["lab:fail"] }
agents: { dev: { roles: [most], readHistory: true } }
limits: { bodyBytes: 64KiB }
`,
      env: { HOLDFAST_DEV_KEY: devKey },
    })
    pidAtStart = node.pid
  })

  after(async () => {
    await node?.[Symbol.asyncDispose]()
    await Promise.all([lab?.stop(), strict?.stop()])
  })

  type Sent = { readonly path?: string; readonly headers?: Record<string, string>; readonly body: string | Uint8Array }

  /** One POST as it stands: nothing of an SDK between the test and the wire. */
  async function post({ path = '/lab', headers = {}, body }: Sent) {
    const { mcp, key } = node.ready()
    const response = await fetch(`${mcp}${path}`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${key}`,
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
        ...headers,
      },
      body: body as string,
    })
    const text = await response.text()
    return { status: response.status, headers: response.headers, text, answer: () => JSON.parse(text).result as Answer }
  }

  /** A legacy `tools/call` without a session; `params` is JSON text, so that it can be as broken as it likes. */
  const call = (params: string) => `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":${params}}`
  const writeCall = (rest: string) => call(`{"name":"write",${rest}}`)

  /** Whatever `attempt` does, no server hears of it. */
  async function reachesNobody(attempt: () => Promise<void>) {
    const before = lab.calls().length + strict.calls().length
    await attempt()
    assert.equal(lab.calls().length + strict.calls().length, before, 'a refused call reached a server')
  }

  async function refusedWith(code: string, sent: Sent): Promise<void> {
    await reachesNobody(async () => {
      const response = await post(sent)
      assert.equal(response.status, 200, response.text)
      const answer = response.answer()
      assert.equal(answer.isError, true, response.text)
      assert.equal(outcomeOf(answer).code, code, response.text)
      assert.equal(outcomeOf(answer).state, 'not_accepted')
      assert.equal(answer.structuredContent, undefined)
      assert.match(textOf(answer), /^NOT ACCEPTED\. /)
    })
  }

  test('a tool that is not there is refused in words that name it, on both routes', async () => {
    await refusedWith('unknown_tool', { body: call('{"name":"wrote","arguments":{"idempotency_key":"a"}}') })
    await refusedWith('unknown_tool', { path: '', body: call('{"name":"lab__wrote","arguments":{}}') })
    await refusedWith('unknown_tool', { path: '', body: call('{"name":"__proto__","arguments":{}}') })
    for (const client of [await node.modern(), await node.legacy()]) {
      const answer = await client.callTool({ name: 'lab__wrote', arguments: { idempotency_key: 'a' } })
      assert.match(textOf(answer), /lab__wrote/)
    }
  })

  test("arguments that break the tool's own schema are refused and name what is wrong", async () => {
    const pay = (args: string) => ({ path: '/strict', body: call(`{"name":"pay","arguments":${args}}`) })
    await refusedWith('invalid_arguments', pay('{"amount":"ten","to":"bob","idempotency_key":"p1"}'))
    await refusedWith('invalid_arguments', pay('{"amount":10,"idempotency_key":"p1"}'))
    await refusedWith('invalid_arguments', pay('{"amount":0,"to":"bob","idempotency_key":"p1"}'))
    await refusedWith('invalid_arguments', pay('{"amount":10,"to":"bob","extra":1,"idempotency_key":"p1"}'))
    const said = textOf((await post(pay('{"amount":10,"idempotency_key":"p1"}'))).answer())
    assert.match(said, /to/)
    const corrected = (await post(pay('{"amount":10,"to":"bob","idempotency_key":"p1"}'))).answer()
    assert.notEqual(outcomeOf(corrected).state, 'not_accepted', 'a refused request must not have claimed its key')
  })

  test('a key that is missing, empty, too long, not text or not printable ASCII is refused', async () => {
    await refusedWith('idempotency_key_required', { body: writeCall('"arguments":{"a":1}') })
    const bad = [
      '""',
      JSON.stringify('k'.repeat(256)),
      '"schlüssel"',
      '"a\\u0000b"',
      '"a\\nb"',
      '7',
      'null',
      '{}',
      '["k"]',
    ]
    for (const key of bad) {
      await refusedWith('idempotency_key_invalid', { body: writeCall(`"arguments":{"idempotency_key":${key}}`) })
      await refusedWith('idempotency_key_invalid', {
        body: writeCall(`"arguments":{},"_meta":{"dev.holdfast/idempotency-key":${key}}`),
      })
      await refusedWith('idempotency_key_invalid', { body: writeCall(`"arguments":{},"idempotencyKey":${key}`) })
    }
    const longest = 'k'.repeat(255)
    const answer = (await post({ body: writeCall(`"arguments":{"idempotency_key":"${longest}"}`) })).answer()
    assert.equal(outcomeOf(answer).state, 'succeeded', textOf(answer))
  })

  test('two carriers that disagree are refused; all four that agree are one key, and the server sees none of them', async () => {
    const carriers: Array<(key: string) => { argument?: string; meta?: string; param?: string; header?: string }> = [
      key => ({ argument: key }),
      key => ({ meta: key }),
      key => ({ param: key }),
      key => ({ header: key }),
    ]
    const sent = ({ argument, meta, param, header }: ReturnType<(typeof carriers)[number]>): Sent => ({
      headers: header === undefined ? {} : { 'idempotency-key': header },
      body: writeCall(
        [
          `"arguments":{"what":"carriers"${argument === undefined ? '' : `,"idempotency_key":"${argument}"`}}`,
          ...(meta === undefined ? [] : [`"_meta":{"dev.holdfast/idempotency-key":"${meta}"}`]),
          ...(param === undefined ? [] : [`"idempotencyKey":"${param}"`]),
        ].join(','),
      ),
    })
    for (const [index, one] of carriers.entries()) {
      for (const other of carriers.slice(index + 1)) {
        await refusedWith('idempotency_key_disagrees', sent({ ...one('k1'), ...other('k2') }))
      }
    }
    const before = lab.calls().length
    const answer = (await post(sent({ argument: 'agree', meta: 'agree', param: 'agree', header: '"agree"' }))).answer()
    assert.equal(outcomeOf(answer).state, 'succeeded', textOf(answer))
    assert.equal(outcomeOf(answer).key, 'agree')
    for (const carrier of carriers)
      assert.equal(outcomeOf((await post(sent(carrier('agree')))).answer()).replayed, true)
    assert.equal(lab.calls().length, before + 1)
    const seen = JSON.stringify([lab.calls().at(-1)?.params, lab.calls().at(-1)?.headers])
    assert.doesNotMatch(seen, /agree|idempotency/i)
  })

  test('JSON that two readers could read differently is refused: double names, big numbers, half surrogates, depth', async () => {
    const lossy = [
      '{"a":1,"a":2,"idempotency_key":"l"}',
      '{"nested":{"to":"bob","to":"eve"},"idempotency_key":"l"}',
      '{"idempotency_key":"l","idempotency_key":"m"}',
      '{"n":12345678901234567890,"idempotency_key":"l"}',
      '{"n":1e400,"idempotency_key":"l"}',
      '{"s":"\\ud800","idempotency_key":"l"}',
      '{"\\udc00":1,"idempotency_key":"l"}',
      `{"deep":${'['.repeat(2_000)}${']'.repeat(2_000)},"idempotency_key":"l"}`,
      `{"deep":${'{"a":'.repeat(8_000)}1${'}'.repeat(8_000)},"idempotency_key":"l"}`,
    ]
    for (const args of lossy) await refusedWith('lossy_json', { body: writeCall(`"arguments":${args}`) })
  })

  test('a body over the limit is 413, what is no JSON is 400, and neither ends the process', async () => {
    await reachesNobody(async () => {
      const big = await post({ body: writeCall(`"arguments":{"x":"${'x'.repeat(70_000)}","idempotency_key":"big"}`) })
      assert.equal(big.status, 413)
      assert.equal(JSON.parse(big.text).code, 'too_large')
      for (const body of [
        '',
        '{',
        '{"jsonrpc":"2.0"',
        'nonsense',
        '\u0000',
        new Uint8Array([0x7b, 0xff, 0xfe, 0x7d]),
      ]) {
        const { status, text } = await post({ body })
        assert.equal(status, 400, text)
        assert.equal(typeof JSON.parse(text), 'object')
      }
      for (const body of [
        'null',
        '7',
        '"x"',
        '[]',
        '{}',
        '[[]]',
        '[null]',
        '{"jsonrpc":"1.0","id":1,"method":"tools/call"}',
      ]) {
        const { status, text } = await post({ body })
        assert.ok(status >= 400 && status < 500, `${body}: ${status} ${text}`)
        assert.equal(typeof JSON.parse(text), 'object')
      }
      for (const params of [
        'null',
        '[]',
        '7',
        '{"name":7}',
        '{"name":"write","arguments":[]}',
        '{"name":"write","arguments":"x"}',
      ]) {
        const { status, text } = await post({ body: call(params) })
        assert.ok(status < 500, `${params}: ${status} ${text}`)
        const { error, result } = JSON.parse(text)
        assert.ok(error !== undefined || result.isError === true, text)
      }
    })
  })

  test('no key and a wrong key are 401 with WWW-Authenticate, before anything of the body is read', async () => {
    const { mcp, outcomes } = node.ready()
    await reachesNobody(async () => {
      const attempts: Record<string, string>[] = [
        {},
        { authorization: 'Bearer wrong-key' },
        { authorization: 'Bearer hf_000000000000_00000000000000000000000000000000' },
        { authorization: `Basic ${devKey}` },
        { authorization: 'Bearer ' },
        { 'x-api-key': 'wrong' },
        { authorization: `Bearer ${'x'.repeat(5_000)}` },
        { authorization: "Bearer ' or 1=1 --" },
      ]
      for (const headers of attempts) {
        for (const [method, url] of [
          ['POST', mcp],
          ['POST', `${mcp}/lab`],
          ['GET', `${outcomes}/lab/k`],
          ['GET', outcomes.replace('outcomes', 'report')],
        ] as const) {
          const response = await fetch(url, { method, headers, ...(method === 'POST' && { body: '{broken' }) })
          assert.equal(response.status, 401, `${url} ${JSON.stringify(headers)}`)
          assert.match(response.headers.get('www-authenticate') ?? '', /^Bearer realm="holdfast"/)
          assert.equal(((await response.json()) as { code: string }).code, 'unauthorized')
        }
      }
    })
  })

  test('paths that do not exist are 404 in JSON, those of OAuth included', async () => {
    const { origin } = new URL(node.ready().mcp)
    const paths = [
      '/',
      '/.well-known/oauth-protected-resource',
      '/.well-known/oauth-protected-resource/mcp',
      '/.well-known/oauth-authorization-server',
      '/.well-known/openid-configuration',
      '/register',
      '/mcp/lab/deeper',
      '/v1',
      '/v1/outcomes/lab/a/b',
      '/%00',
      '/../../etc/passwd',
    ]
    for (const path of paths) {
      for (const method of ['GET', 'POST']) {
        const response = await fetch(`${origin}${path}`, { method, ...(method === 'POST' && { body: '{}' }) })
        assert.equal(response.status, 404, `${method} ${path}`)
        assert.equal(((await response.json()) as { code: string }).code, 'route_not_found')
      }
    }
    const noServer = await post({ path: '/nobody', body: writeCall('"arguments":{}') })
    assert.equal(noServer.status, 404)
    assert.equal((await fetch(`${origin}/mcp`)).status, 405)
  })

  test('a page of another site cannot call Holdfast, and neither can another name for this machine', async () => {
    await reachesNobody(async () => {
      const body = writeCall('"arguments":{"idempotency_key":"page"}')
      const { status, text } = await post({ headers: { origin: 'https://evil.example' }, body })
      assert.equal(status, 403, text)
      const { port } = new URL(node.ready().mcp)
      const rebound = await new Promise<number>((resolve, reject) => {
        const outgoing = request(
          {
            port,
            host: '127.0.0.1',
            path: '/mcp/lab',
            method: 'POST',
            headers: { host: 'evil.example', authorization: `Bearer ${node.ready().key}` },
          },
          response => {
            response.resume()
            resolve(response.statusCode as number)
          },
        )
        outgoing.once('error', reject)
        outgoing.end(body)
      })
      assert.equal(rebound, 403)
    })
  })

  test('a tool that the role does not allow answers in words a model understands, and stands as denied in the history', async () => {
    await reachesNobody(async () => {
      for (const client of [await node.modern({ path: '/lab' }), await node.legacy({ path: '/lab' })]) {
        const answer = await client.callTool({ name: 'fail', arguments: { idempotency_key: 'denied-1' } })
        assert.equal(answer.isError, true)
        assert.equal(outcomeOf(answer).code, 'denied')
        assert.match(textOf(answer), /policy does not allow/)
      }
      const rows = await eventually(
        async () => {
          const found = await node.sql(`select agent, server, tool, state from holdfast.calls where tool = 'fail'`)
          return found.length >= 2 ? found : undefined
        },
        { what: 'the rows of the denied calls' },
      )
      for (const row of rows) assert.deepEqual(row, { agent: 'dev', server: 'lab', tool: 'fail', state: 'denied' })
    })
  })

  test('NUL and half surrogates in names that Holdfast stores do not hold up the calls after them', async () => {
    const odd = ['a\\u0000b', '\\ud800', 'x\\udc00', '\\u0001\\u001b[2J', 'ü\\u202e', 'c'.repeat(300)]
    for (const [n, value] of odd.entries()) {
      for (const meta of [
        `"dev.holdfast/conversation":"${value}"`,
        `"traceparent":"${value}"`,
        `"io.modelcontextprotocol/clientInfo":{"name":"${value}","version":"1"}`,
        `"example.com/other":"${value}"`,
      ]) {
        const key = `odd-${n}-${meta.slice(1, 6)}`
        const write = await post({ body: writeCall(`"arguments":{"idempotency_key":"${key}"},"_meta":{${meta}}`) })
        assert.equal(write.status, 200, write.text)
        assert.match(outcomeOf(write.answer()).state, /^(succeeded|not_accepted)$/, `${meta}: ${write.text}`)
        const read = await post({ body: call(`{"name":"echo","arguments":{"n":${n}},"_meta":{${meta}}}`) })
        assert.equal(read.status, 200, read.text)
        const unknown = await post({ body: call(`{"name":"no${value}","arguments":{},"_meta":{${meta}}}`) })
        assert.equal(unknown.status, 200, unknown.text)
      }
      const text = await post({ body: writeCall(`"arguments":{"text":"${value}","idempotency_key":"odd-text-${n}"}`) })
      assert.match(outcomeOf(text.answer()).state, /^(succeeded|not_accepted)$/, text.text)
    }
    const after = await post({
      body: writeCall('"arguments":{"what":"after the odd ones","idempotency_key":"after-odd"}'),
    })
    assert.equal(outcomeOf(after.answer()).state, 'succeeded', after.text)
    await eventually(
      async () =>
        (
          await node.sql(`select state from holdfast.calls where idempotency_key = 'after-odd' and state = 'succeeded'`)
        )[0],
      { what: 'the history after odd names' },
    )
  })

  test('a legacy client with a NUL in its name can be served', async () => {
    const initialize = (name: string) =>
      `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"${name}","version":"1"}}}`
    for (const name of ['a\\u0000b', '\\ud800']) {
      const opened = await post({ body: initialize(name) })
      assert.ok(opened.status < 500, opened.text)
      const session = opened.headers.get('mcp-session-id')
      if (session === null) continue
      const headers = { 'mcp-session-id': session }
      const body = writeCall(`"arguments":{"name":"x","idempotency_key":"nul-client-${name.length}"}`)
      const answer = (await post({ headers, body })).answer()
      assert.equal(outcomeOf(answer).state, 'succeeded', textOf(answer))
    }
  })

  test('questions about outcomes that no store could hold are answered, in MCP and over HTTP', async () => {
    const ask = (tool: string, args: string) => post({ body: call(`{"name":"${tool}","arguments":${args}}`) })
    const deep = `${'['.repeat(3_000)}${']'.repeat(3_000)}`
    for (const [tool, args] of [
      ['holdfast_outcome', '{"callId":"a\\u0000b"}'],
      ['holdfast_outcome', '{"callId":"\\ud800"}'],
      ['holdfast_outcome', '{"callId":7}'],
      ['holdfast_outcome', '{"key":"a\\u0000b","server":"lab"}'],
      ['holdfast_outcome', '{"key":"k","server":"__proto__"}'],
      ['holdfast_outcome', '{"key":"k","server":"lab","waitMs":"soon"}'],
      ['holdfast_outcome', '{"key":"k","server":"lab","waitMs":-1}'],
      ['holdfast_outcome', '{"server":"lab","tool":"write","arguments":{"s":"\\ud800"}}'],
      ['holdfast_outcome', '{"server":"lab","tool":"write","arguments":{"s":"\\u0000"}}'],
      ['holdfast_outcome', '{"server":"lab","tool":"a\\u0000b","arguments":{}}'],
      ['holdfast_outcome', `{"server":"lab","tool":"write","arguments":{"deep":${deep}}}`],
      ['holdfast_outcome', '{}'],
      ['holdfast_outcome', '[]'],
      ['holdfast_report', '{"conversation":"a\\u0000b"}'],
      ['holdfast_report', '{"conversation":"\\ud800"}'],
      ['holdfast_report', '{"since":"yesterday"}'],
      ['holdfast_report', '{"since":"-271821-04-20T00:00:00Z"}'],
      ['holdfast_report', '{"since":"+275760-09-13T00:00:00Z"}'],
      ['holdfast_report', '{"since":null}'],
    ] as const) {
      const { status, text } = await ask(tool, args)
      assert.equal(status, 200, `${args}: ${text}`)
      assert.doesNotMatch(text, /-32603|Internal error|unavailable/, `${args.slice(0, 100)}: ${text}`)
    }
    const { outcomes, key } = node.ready()
    const report = outcomes.replace(/outcomes$/, 'report')
    for (const url of [
      `${outcomes}?callId=%00`,
      `${outcomes}/lab/%00`,
      `${outcomes}/lab/%E0%A4%A`,
      `${outcomes}/%00/k`,
      `${outcomes}/lab/${'k'.repeat(2_000)}`,
      `${report}?conversation=%00`,
      `${report}?conversation=${'c'.repeat(4_000)}`,
      `${report}?since=%00`,
      `${report}?since=-271821-04-20T00:00:00Z`,
      `${report}?since=1&since=2`,
    ]) {
      const response = await fetch(url, { headers: { authorization: `Bearer ${key}` } })
      const text = await response.text()
      assert.ok(response.status < 500, `${url.slice(0, 100)}: ${response.status} ${text}`)
      assert.equal(typeof JSON.parse(text), 'object')
    }
  })

  test('odd members of a call do not reach a server as something else', async () => {
    for (const [n, rest] of [
      '"_meta":{"__proto__":{"x":1}}',
      '"_meta":[]',
      '"_meta":7',
      '"requestState":"a\\u0000b"',
      '"requestState":7,"inputResponses":{}',
      '"inputResponses":"x"',
      '"task":{"ttl":1}',
    ].entries()) {
      const key = `member-${n}`
      const { status, text } = await post({
        body: writeCall(`"arguments":{"what":"${key}","idempotency_key":"${key}"},${rest}`),
      })
      assert.ok(status < 500, `${rest}: ${text}`)
      const { error, result } = JSON.parse(text)
      assert.ok(error !== undefined || outcomeOf(result).state !== 'pending', `${rest}: ${text}`)
    }
    const own = lab.calls().filter(({ arguments: args }) => String(args['what']).startsWith('member-'))
    const counts = new Set(own.map(({ arguments: args }) => args['what']))
    assert.equal(counts.size, own.length)
  })

  test('headers with odd values are answered, never with a 500', async () => {
    const odd: Record<string, string>[] = [
      { accept: '' },
      { accept: 'text/html' },
      { 'content-type': 'text/plain' },
      { 'content-type': 'application/json; charset=utf-16' },
      { 'mcp-session-id': 'x' },
      { 'mcp-session-id': 'x'.repeat(4_000) },
      { 'mcp-protocol-version': '1999-01-01' },
      { 'mcp-protocol-version': '2026-07-28' },
      { 'mcp-method': 'tools/list' },
      { 'mcp-name': 'other' },
      { 'idempotency-key': '' },
      { 'idempotency-key': 'a, b' },
      { 'idempotency-key': '"a";x=1' },
      { 'idempotency-key': '"unfinished' },
      { 'idempotency-key': 'é' },
      { 'content-encoding': 'gzip' },
      { traceparent: 'garbage' },
      { 'x-forwarded-for': 'a\tb' },
    ]
    for (const headers of odd) {
      const { status, text } = await post({ headers, body: writeCall('"arguments":{"odd":true}') })
      assert.ok(status < 500, `${JSON.stringify(headers)}: ${status} ${text}`)
      assert.equal(typeof JSON.parse(text), 'object', `${JSON.stringify(headers)}: ${text}`)
    }
  })

  test('the history takes one reading statement and nothing else', async () => {
    const { sql, key } = node.ready()
    const ask = (query: string, headers: Record<string, string> = { authorization: `Bearer ${key}` }) =>
      fetch(`${sql}/`, { method: 'POST', headers, body: query })
    assert.equal((await ask('select 1', {})).status, 401)
    assert.equal((await ask('select 1', { authorization: 'Bearer wrong' })).status, 401)
    const refused = [
      "insert into holdfast.events (event_id) values ('x')",
      'drop table holdfast.events',
      'truncate table holdfast.events',
      'alter table holdfast.events delete where 1',
      'select 1; select 2',
      'select 1; drop table holdfast.events',
      `select * from holdfast.calls into outfile '${node.folder}/stolen.csv'`,
      "select * from file('/etc/passwd', 'LineAsString')",
      "select * from url('http://127.0.0.1:1/x', 'LineAsString')",
      "select * from remote('127.0.0.1', 'system', 'one')",
      'select * from system.query_log',
      'select * from system.processes',
      'select * from system.users',
      'select * from system.named_collections',
      'set readonly = 0',
      'system shutdown',
    ]
    for (const query of refused) {
      const response = await ask(query)
      assert.ok(
        response.status >= 400 && response.status < 500,
        `${query}: ${response.status} ${await response.clone().text()}`,
      )
      assert.doesNotMatch(await response.text(), /Stack trace|root:/)
    }
    const client = createClient({ url: sql, access_token: key })
    try {
      const rows = await client.query({ query: 'select count() as n from holdfast.calls', format: 'JSONEachRow' })
      const [row] = await rows.json<{ n: string }>()
      assert.ok(Number(row?.n) > 0)
      await assert.rejects(client.command({ query: 'drop table holdfast.events' }))
    } finally {
      await client.close()
    }
  })

  test('after all of that it is the same process, and a write still works', async () => {
    assert.equal(node.pid, pidAtStart)
    process.kill(pidAtStart, 0)
    const clients = [await node.modern({ path: '/lab' }), await node.legacy({ path: '/lab' })]
    for (const [n, client] of clients.entries()) {
      const answer = await client.callTool({ name: 'write', arguments: { what: 'last', idempotency_key: `last-${n}` } })
      assert.equal(outcomeOf(answer).state, 'succeeded')
    }
    assert.doesNotMatch(node.output(), /its own fault|unhandled|uncaught/i)
  })
}
