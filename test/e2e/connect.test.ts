import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Client as ModernClient } from '@modelcontextprotocol/client'
import { StdioClientTransport as ModernStdio } from '@modelcontextprotocol/client/stdio'
import { Client as LegacyClient } from '@modelcontextprotocol/sdk/client/index.js'
import { StdioClientTransport as LegacyStdio } from '@modelcontextprotocol/sdk/client/stdio.js'
import { Agent } from 'undici'
import { createBridge } from '../../services/cli/connect/bridge.ts'
import { type Proxy, startProxy } from '../../services/cli/crash-test/proxy.ts'
import { type Answer, eventually, type Node, outcomeOf, startNode, textOf } from '../helpers/node.ts'
import { type Lab, startLab } from '../helpers/upstream/lab.ts'
import { labTools } from '../helpers/upstream/lab-tools.ts'

const bin = fileURLToPath(new URL('../../services/cli/bin.js', import.meta.url))

let lab: Lab
let node: Node
/** Between bridge and Holdfast. */
let wire: Proxy

before(async () => {
  lab = await startLab({ era: 'modern' })
  node = await startNode({
    yaml: `
servers:
  lab: { url: ${lab.url}, timeout: 20s, tools: { write: { twins: allow } } }
  one: { url: ${lab.url}, timeout: 5m, concurrency: 1 }
roles: { all: { allow: ["*"] } }
agents: { dev: { roles: [all] } }
`,
  })
  wire = await startProxy(() => ({ host: '127.0.0.1', port: Number(new URL(node.ready().mcp).port) }))
})
after(async () => {
  await node?.[Symbol.asyncDispose]()
  await Promise.all([lab?.stop(), wire?.stop()])
})

type Options = { readonly args?: readonly string[]; readonly env?: Record<string, string> }
type Call = (name: string, args: Record<string, unknown>, options?: object) => Promise<Answer>
type Stdio = {
  readonly call: Call
  readonly client: Pick<ModernClient | LegacyClient, 'listTools' | 'close'>
  readonly pid: number
}

const eras = ['modern', 'legacy'] as const
/** On a machine that is busy a restart takes longer than a person would wait. */
const patient = { timeout: 300_000 }
const throughWire = () => ({ HOLDFAST_URL: `http://127.0.0.1:${wire.port}`, HOLDFAST_KEY: node.ready().key })

/** An SDK's own client, which starts the bridge as any stdio server. */
async function connect(era: (typeof eras)[number], { args = [], env = throughWire() }: Options = {}): Promise<Stdio> {
  const server = {
    command: process.execPath,
    args: [bin, 'connect', '--patience', '5m', ...args],
    env: { PATH: process.env.PATH ?? '', ...env },
    stderr: 'ignore' as const,
  }
  if (era === 'modern') {
    const client = new ModernClient({ name: 'stdio-modern', version: '2' }, { versionNegotiation: { mode: 'auto' } })
    const transport = new ModernStdio(server)
    await client.connect(transport, patient)
    assert.equal(client.getProtocolEra(), 'modern')
    return {
      client,
      pid: transport.pid as number,
      call: async (name, given, options) =>
        (await client.callTool({ name, arguments: given }, { ...patient, ...options })) as unknown as Answer,
    }
  }
  const client = new LegacyClient({ name: 'stdio-legacy', version: '1' })
  const transport = new LegacyStdio(server)
  await client.connect(transport, patient)
  return {
    client,
    pid: transport.pid as number,
    call: async (name, given, options) =>
      (await client.callTool({ name, arguments: given }, undefined, {
        ...patient,
        ...options,
      })) as unknown as Answer,
  }
}

for (const era of eras) {
  test(`through the bridge a client sees what it would see over HTTP: tools, reads, writes, replays (${era})`, async () => {
    const { client, call } = await connect(era)
    try {
      const overHttp = await (await node[era]()).listTools()
      assert.deepEqual((await client.listTools()).tools, overHttp.tools)
      assert.deepEqual((await call('lab__echo', { n: 1 })).structuredContent?.arguments, { n: 1 })
      const args = { what: 'bridged', idempotency_key: `bridged-${era}` }
      const first = await call('lab__write', args)
      assert.equal(outcomeOf(first).state, 'succeeded', textOf(first))
      const again = (await (await node[era]()).callTool({ name: 'lab__write', arguments: args })) as unknown as Answer
      assert.equal(outcomeOf(again).replayed, true)
      assert.deepEqual(again.content, first.content)
    } finally {
      await client.close()
    }
  })

  test(`an answer that is lost between bridge and Holdfast comes all the same, and the write is done once (${era})`, async () => {
    const { client, call } = await connect(era, { args: ['lab'] })
    try {
      for (const afterBytes of [0, 40]) {
        const key = `lost-${era}-${afterBytes}`
        const before = lab.effects().length
        const cut = wire.cutNext({ of: 'answer', afterBytes, how: 'reset', carrying: key })
        const answer = await call('write', { idempotency_key: key })
        await cut
        assert.equal(outcomeOf(answer).state, 'succeeded', textOf(answer))
        assert.equal(lab.effects().length, before + 1)
      }
      const before = lab.effects().length
      const cut = wire.cutNext({ of: 'request', afterBytes: 10, how: 'reset', carrying: `half-${era}` })
      const half = await call('write', { n: `half-${era}`, idempotency_key: `half-${era}` })
      await cut
      assert.equal(outcomeOf(half).state, 'succeeded', textOf(half))
      assert.equal(lab.effects().length, before + 1)
    } finally {
      await client.close()
    }
  })
}

test('progress is passed on while a write runs, in both eras', async () => {
  await Promise.all(
    eras.map(async era => {
      const { client, call } = await connect(era)
      try {
        const seen: number[] = []
        const options = { onprogress: ({ progress }: { progress: number }) => void seen.push(progress) }
        const answer = await call('lab__write', { delayMs: 5_500, idempotency_key: `progress-${era}` }, options)
        assert.equal(outcomeOf(answer).state, 'succeeded', textOf(answer))
        assert.ok(seen.length >= 1, era)
      } finally {
        await client.close()
      }
    }),
  )
})

test('a cancel reaches Holdfast: a write that waited for its turn is not executed (legacy, which has cancels)', async () => {
  const { client, call } = await connect('legacy', { args: ['one'] })
  try {
    const calls = lab.calls().length
    lab.behave('late')
    const running = call('write', { n: 'first', idempotency_key: 'cancel-first' })
    await lab.waitForCall(calls + 1)
    const cancelling = new AbortController()
    const waiting = call('write', { n: 'second', idempotency_key: 'cancel-second' }, { signal: cancelling.signal })
    const ask = async () => {
      const answer = await call('holdfast_outcome', { server: 'one', key: 'cancel-second' })
      return JSON.parse(textOf(answer)) as { state: string; code?: string }
    }
    await eventually(async () => ((await ask()).state === 'pending' ? true : undefined), {
      withinMs: 60_000,
      what: 'the second write',
    })
    cancelling.abort('changed my mind')
    await assert.rejects(waiting)
    const outcome = await eventually(
      async () => {
        const record = await ask()
        return record.state === 'pending' ? undefined : record
      },
      { withinMs: 60_000, what: 'the end of the second write' },
    )
    assert.deepEqual([outcome.state, outcome.code], ['not_executed', 'cancelled'])
    lab.release()
    assert.equal(outcomeOf(await running).state, 'succeeded')
  } finally {
    await client.close()
  }
})

test('a Holdfast that is killed, forgets its sessions and comes back elsewhere is found again', async () => {
  const { client, call } = await connect('legacy', { env: { HOLDFAST_DATA: join(node.folder, 'data') } })
  const modern = await connect('modern', { env: { HOLDFAST_DATA: join(node.folder, 'data') } })
  try {
    const args = { n: 'killed', idempotency_key: 'killed' }
    assert.equal(outcomeOf(await call('lab__write', args)).state, 'succeeded')
    await node.kill()
    const waiting = [call('lab__write', args), modern.call('lab__write', args)]
    rmSync(join(node.folder, 'data', 'secret'))
    await node.start()
    for (const answer of await Promise.all(waiting)) {
      assert.equal(outcomeOf(answer).state, 'succeeded', textOf(answer))
      assert.equal(outcomeOf(answer).replayed, true)
    }
  } finally {
    await Promise.all([client.close(), modern.client.close()])
  }
})

/** A bridge in this process, with little patience; `said` is what the client reads. */
function impatient(url: () => string, key = node.ready().key) {
  const said: Array<{ id?: unknown; method?: string; result?: Answer; error?: { message: string } }> = []
  const agent = new Agent()
  const bridge = createBridge({
    agent,
    locate: () => ({ url: new URL(url()), key }),
    write: line => void said.push(JSON.parse(line)),
    log: () => {},
    patience: { waitMs: 300, pauseMs: 50 },
  })
  const answer = (id: number) =>
    eventually(async () => said.find(message => message.id === id), { withinMs: 60_000, what: `the answer to ${id}` })
  const send = (id: number, method: string, params: object) => {
    bridge.take(JSON.stringify({ jsonrpc: '2.0', id, method, params }))
    return answer(id)
  }
  return { bridge, send, agent, said }
}
const hello = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'raw', version: '1' } }
const _meta = {
  'io.modelcontextprotocol/protocolVersion': '2026-07-28',
  'io.modelcontextprotocol/clientInfo': hello.clientInfo,
  'io.modelcontextprotocol/clientCapabilities': {},
}
const write = (key: string) => ({ name: 'lab__write', arguments: { n: key, idempotency_key: key } })

test('a call that does not reach Holdfast is not accepted; one whose answer is lost goes again to a Holdfast, never to another server', async () => {
  let target = () => `http://127.0.0.1:${wire.port}/mcp`
  const { send, bridge, agent } = impatient(() => target())
  try {
    target = () => 'http://127.0.0.1:1/mcp'
    const unreached = (await send(1, 'tools/call', write('unreached'))).result as Answer
    assert.equal(unreached.isError, true)
    assert.match(
      textOf(unreached),
      /^NOT ACCEPTED\. Holdfast cannot be reached: no byte of the request was sent to it\./,
    )
    assert.deepEqual([outcomeOf(unreached).state, outcomeOf(unreached).code], ['not_accepted', 'holdfast_unreachable'])
    assert.match((await send(2, 'tools/list', {})).error?.message ?? '', /Holdfast cannot be reached/)

    // Another server than a Holdfast would do it again: it gets it once.
    target = () => lab.url
    lab.behave('reset_after')
    const [calls, effects] = [lab.calls().length, lab.effects().length]
    const stranger = (await send(3, 'tools/call', { ...write('stranger'), name: 'write', _meta })).result as Answer
    assert.match(textOf(stranger), /^MAY HAVE HAPPENED\. .*"key":"stranger"/)
    assert.deepEqual([lab.calls().length, lab.effects().length], [calls + 1, effects + 1])
    lab.behave('reset_after')
    const read = { name: 'echo', arguments: { n: 1 }, _meta }
    const unread = (await send(5, 'tools/call', read)).result as Answer
    assert.match(textOf(unread), /^NO ANSWER\. .* A read may be repeated\. .*holdfast_outcome \{"tool":"echo"/)

    target = () => `http://127.0.0.1:${wire.port}/mcp`
    const cut = wire.cutNext({ of: 'answer', afterBytes: 0, how: 'reset', carrying: 'no-handshake' })
    const found = (await send(4, 'tools/call', write('no-handshake'))).result as Answer
    await cut
    assert.equal(outcomeOf(found).state, 'succeeded', textOf(found))
  } finally {
    await bridge.end(0)
    await agent.destroy()
  }
})

test('while Holdfast stays away after a lost answer the client is told that it may have happened, and how to ask', async () => {
  let port = wire.port
  const { send, bridge, agent } = impatient(() => `http://127.0.0.1:${port}/mcp`)
  try {
    await send(1, 'initialize', hello)
    const cut = wire.cutNext({ of: 'answer', afterBytes: 0, how: 'reset', carrying: 'stays-away' })
    const answer = send(2, 'tools/call', write('stays-away'))
    await cut
    port = 1
    const lost = (await answer).result as Answer
    assert.equal(
      textOf(lost),
      'MAY HAVE HAPPENED. The connection to Holdfast ended before its answer was complete. Do not send it again under a new key, and do not report success or failure. ' +
        'Next: holdfast_outcome {"server":"lab","key":"stays-away","waitMs":30000}; if still unknown, tell the user that this is unconfirmed.',
    )
    assert.deepEqual([outcomeOf(lost).state, outcomeOf(lost).code], ['unknown', 'holdfast_lost'])
    // The key of a host program is asked for as well.
    const host = { name: 'lab__write', arguments: {}, _meta: { 'dev.holdfast/idempotency-key': 'of-a-host' } }
    const unsent = (await send(4, 'tools/call', host)).result as Answer
    assert.match(textOf(unsent), /^NOT ACCEPTED\. .*holdfast_outcome \{"server":"lab","key":"of-a-host"/)
    port = wire.port
    const question = { server: 'lab', key: 'stays-away', waitMs: 30_000 }
    const asked = await send(3, 'tools/call', { name: 'holdfast_outcome', arguments: question })
    assert.match(textOf(asked.result as Answer), /"state":"succeeded"/)
  } finally {
    await bridge.end(0)
    await agent.destroy()
  }
})

test('a modern client that listens hears of changed tools, also after its stream was cut', async () => {
  const { bridge, agent, said } = impatient(() => `http://127.0.0.1:${wire.port}/mcp`)
  const heard = (method: string, times: number) =>
    eventually(async () => (said.filter(message => message.method === method).length >= times ? true : undefined), {
      withinMs: 60_000,
      what: `${method}, ${times} times`,
    })
  const acknowledged = 'notifications/subscriptions/acknowledged'
  const changed = 'notifications/tools/list_changed'
  try {
    const params = { notifications: { toolsListChanged: true }, _meta }
    bridge.take(JSON.stringify({ jsonrpc: '2.0', id: 'listen', method: 'subscriptions/listen', params }))
    await heard(acknowledged, 1)
    lab.setTools([...labTools, { name: 'new', inputSchema: { type: 'object' } }])
    await heard(changed, 1)
    wire.resetAll()
    await heard(acknowledged, 2)
    lab.setTools(labTools)
    await heard(changed, 2)
    bridge.take(
      JSON.stringify({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 'listen', _meta } }),
    )
    assert.equal(
      said.find(({ id }) => id === 'listen'),
      undefined,
    )
  } finally {
    await bridge.end(0)
    await agent.destroy()
  }
})

test('a wrong key, a wrong path and a line that is no message are told, each in its own words', async () => {
  const wrongKey = impatient(() => node.ready().mcp, 'hf_wrong')
  const wrongPath = impatient(() => `${node.ready().mcp}/nobody`)
  try {
    const refused = (await wrongKey.send(1, 'tools/call', write('wrong-key'))).result as Answer
    assert.match(textOf(refused), /^NOT ACCEPTED\. The API key is missing, wrong or revoked\./)
    assert.match((await wrongKey.send(2, 'initialize', hello)).error?.message ?? '', /API key is missing, wrong/)
    assert.match((await wrongPath.send(1, 'initialize', hello)).error?.message ?? '', /There is nothing at this path/)
    wrongPath.bridge.take('{"jsonrpc":')
    assert.match(wrongPath.said.at(-1)?.error?.message ?? '', /not JSON/)
  } finally {
    await Promise.all([wrongKey, wrongPath].map(({ bridge, agent }) => bridge.end(0).then(() => agent.destroy())))
  }
})

test('standard output carries messages only, and the bridge ends when its input does', async () => {
  const child = spawn(process.execPath, [bin, 'connect'], {
    env: { PATH: process.env.PATH ?? '', ...throughWire() },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  const lines: string[] = []
  createInterface({ input: child.stdout }).on('line', line => void lines.push(line))
  const exit = once(child, 'exit')
  child.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'initialize', params: hello })}\n`)
  child.stdin.end(`${JSON.stringify({ jsonrpc: '2.0', id: 2, method: 'tools/list' })}`)
  assert.deepEqual(await exit, [0, null])
  assert.deepEqual(lines.map(line => (JSON.parse(line) as { id: number }).id).sort(), [1, 2])
})
