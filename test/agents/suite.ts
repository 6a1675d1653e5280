/**
 * What a model is shown by a real agent in front of Holdfast, and what comes of it when the model does as the words say.
 * The words are asserted whole and as `services/front/words.ts` has them: a client that changes, cuts or hides one is
 * found here, and so is a word of ours that no longer reaches anybody.
 */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { instructions } from '../../services/front/mcp/instructions.ts'
import { noticeMember } from '../../services/front/schema/notice.ts'
import { keyDescription, nextStep, words } from '../../services/front/words.ts'
import { type Code, codes } from '../../shared/call/codes.ts'
import { type Node, startNode } from '../helpers/node.ts'
import { type Lab, startLab } from '../helpers/upstream/lab.ts'
import type { Agent } from './agent.ts'
import type { Installed } from './install.ts'
import type { Shown, ShownResult } from './model/turns.ts'
import { longName, manyNames, oddName, type Office, startOffice } from './office.ts'
import { openSession, type Session } from './session.ts'
import { startWire, type Wire } from './wire.ts'

/** `holdfast connect`, as a client starts it from wherever it works. */
const bridge = [
  process.execPath,
  ...['--import', import.meta.resolve('tsx'), fileURLToPath(new URL('../../services/cli/main.ts', import.meta.url))],
  'connect',
]

/** Model APIs refuse a whole request for one longer name. */
const longestName = 64

const tools = [
  ...['lab__write', 'lab__fail', 'lab__ask', 'lab__echo', 'brief__write', 'heavy__big', 'leaving__write'],
  ...['office__book', 'office__refuse'],
]

export function agentSuite(agent: Agent, installed: Installed): void {
  if ('missing' in installed) return void test(agent.title, { skip: installed.missing }, () => {})
  const { program } = installed

  let lab: Lab
  let leaving: Lab
  let office: Office
  let node: Node
  let wire: Wire
  let session: Session
  /** What the model of the first session was shown before it had called anything. */
  let atFirst: Shown
  /** Sessions that wait long for one thing run beside the others. */
  let slow: { readonly long: Promise<LongWrite>; readonly cut: Promise<CutStream> }
  /** When the change that is repeated later was over. */
  let doneAt: number

  const yaml = (deny = '[]') => `
servers:
  lab: { url: ${lab.url}, timeout: 90s }
  brief: { url: ${lab.url}, timeout: 60s, wait: 1s }
  heavy: { url: ${lab.url}, timeout: 20s, tools: { big: { effect: write } } }
  leaving: { url: ${leaving.url}, timeout: 5s }
  office: { url: ${office.url}, timeout: 20s }
roles: { all: { allow: ["*"], deny: ${deny} } }
agents: { dev: { roles: [all], readHistory: true } }
`

  before(async () => {
    lab = await startLab({ era: 'modern' })
    leaving = await startLab({ era: 'modern' })
    office = await startOffice()
    node = await startNode({ yaml: yaml() })
    wire = await startWire(() => node.ready().mcp)
    session = await open(wire)
    slow = { long: quietly(longWrite()), cut: quietly(cutStream()) }
  })

  after(async () => {
    await Promise.allSettled([slow?.long, slow?.cut])
    await session?.[Symbol.asyncDispose]()
    await wire?.stop()
    await node?.[Symbol.asyncDispose]()
    await Promise.all([lab?.stop(), leaving?.stop(), office?.stop()])
  })

  const open = async ({ url }: Pick<Wire, 'url'>) => {
    const { key } = node.ready()
    const opened = await openSession(agent, { program, server: { url, key } })
    atFirst ??= opened.shown()
    await opened.load(tools)
    return opened
  }

  const effectsOf = (what: string) => lab.effects().filter(({ arguments: args }) => args['what'] === what).length
  /** On a machine that is too busy to send in time the model does as it is told: the same again. */
  const write = async (key: string, input: object = {}, tool = 'lab__write') => {
    const call = () => session.call(tool, { what: key, ...input, idempotency_key: key })
    let result = await call()
    for (let tries = 0; result.text.includes(codes.deadline_passed.what) && tries < 5; tries += 1) result = await call()
    return result
  }

  /** The model reads this word for word, and is told that it is an error where the client says such things at all. */
  const reads = ({ text, isError }: ShownResult, expected: string, error = true) => {
    assert.ok(text.includes(expected), `the model should read\n${expected}\nand reads\n${text}`)
    if (isError !== undefined) assert.equal(isError, error, text)
  }
  /** The model asks what the words say that it should ask next; `waitMs` where nothing is worth the wait. */
  const askNext = async (told: string, { by = session, ...changed }: { by?: Session; waitMs?: number } = {}) => {
    const question = JSON.parse(/holdfast_outcome (\{.*?\})/.exec(told)?.[1] ?? 'null') as object
    return outcomeIn(await by.call('holdfast_outcome', { ...question, ...changed }))
  }

  test(`${agent.title}: it speaks the ${agent.era} era of MCP, and every request says which revision`, () => {
    const [first, ...others] = wire.sent()
    assert.equal(first?.message?.method, agent.era === 'modern' ? 'server/discover' : 'initialize')
    assert.ok(others.length > 0)
    for (const { headers } of others) assert.ok(headers['mcp-protocol-version'] !== undefined)
  })

  test(`${agent.title}: holdfast_outcome and holdfast_report are shown whole, with every description`, () => {
    for (const name of ['holdfast_outcome', 'holdfast_report']) {
      const shown = session.tool(name) ?? assert.fail(`${name} is not shown`)
      assert.match(shown.description, /happened|confirmed/)
    }
    // A client that shows tools by name alone at first shows these whole all the same.
    if (agent.era === 'modern') {
      const whole = atFirst.tools.map(({ name }) => name)
      assert.ok(whole.includes(agent.toolName('holdfast_outcome')) && !whole.includes(agent.toolName('lab__write')))
    }
    const schema = JSON.stringify(session.tool('holdfast_outcome')?.schema)
    for (const text of ['at most 50000', 'The idempotency key of the change.', 'before __'])
      assert.ok(schema.includes(text))
  })

  test(`${agent.title}: the key is a required argument of a write, with its description, and none of a read`, () => {
    const { schema } = (session.tool('lab__write') ?? assert.fail('lab__write is not shown')) as { schema: Schema }
    assert.equal(schema.properties?.['idempotency_key']?.description, keyDescription)
    assert.ok(schema.required?.includes('idempotency_key'))
    const read = session.tool('lab__echo') ?? assert.fail('lab__echo is not shown')
    assert.equal((read.schema as Schema).properties?.['idempotency_key'], undefined)
  })

  test(`${agent.title}: of 120 tools none is missing, and every name is short enough for a model`, () => {
    const { text, tools: shown } = session.shown()
    for (const name of manyNames) {
      const exposed = agent.toolName(`office__${name}`)
      assert.ok(shown.some(tool => tool.name === exposed) || text.includes(exposed), `${name} is not shown`)
    }
    for (const { name } of shown) assert.ok(name.replace('::', '__').length <= longestName, name)
  })

  test(`${agent.title}: long and odd names are changed so that they can be called, and arrive as the server's own`, async () => {
    const names = namesIn(session.shown(), agent)
    for (const [own, pattern] of [
      [longName, /^office__transfer_\w+_[0-9a-f]{6}$/],
      [oddName, /^office__mail_send_now_[0-9a-f]{6}$/],
    ] as const) {
      const exposed = names.find(name => pattern.test(name)) ?? assert.fail(`${own} is not shown: ${names.join(' ')}`)
      await session.load([exposed])
      const result = await session.call(exposed, { what: 'named', idempotency_key: `named ${own.slice(0, 20)}` })
      reads(result, `did ${own}`, false)
      assert.equal(office.done.filter(({ tool }) => tool === own).length, 1)
    }
  })

  test(`${agent.title}: succeeded is the server's words and nothing besides`, async () => {
    const first = await write('succeeded')
    assert.match(first.text, /done [0-9a-f-]{36}\s*$/)
    assert.ok(!first.text.includes('Holdfast') && !first.text.includes('holdfast'), first.text)
    const again = await write('succeeded')
    assert.equal(/done \S+/.exec(again.text)?.[0], /done \S+/.exec(first.text)?.[0])
    assert.equal(effectsOf('succeeded'), 1)
  })

  test(`${agent.title}: the instructions reach the model whole`, () => {
    // Not in the very first prompt where the client begins before it has heard from the server.
    assert.ok(session.shown().text.includes(instructions([])), 'they are not in what the model is shown')
  })

  test(`${agent.title}: failed is the server's words, and the words say that it failed (words.failedFinally)`, async () => {
    const failed = await write('failed', { text: 'insufficient funds' }, 'lab__fail')
    reads(failed, `insufficient funds\n${words.failedFinally}`)
    const rpc = await write('failed rpc', { behave: 'rpc_error' })
    reads(rpc, words.failed('upstream_error', 'Invalid arguments (code -32602)'))
  })

  test(`${agent.title}: failed with data: the model reads that it failed, whichever part its client shows (${noticeMember})`, async () => {
    const refused = await session.call('office__refuse', { what: 'data', idempotency_key: 'failed with data' })
    reads(refused, words.failedFinally)
  })

  test(`${agent.title}: a result with data is shown as the server's data`, async () => {
    const booked = await session.call('office__book', { what: 'room', idempotency_key: 'room' })
    assert.match(booked.text, /\{"id":"room-\d+"\}/)
    assert.ok(!booked.text.includes(noticeMember))
    doneAt = performance.now()
  })

  test(`${agent.title}: not_executed says whether anything was sent, and to use the same key (words.notExecuted)`, async () => {
    reads(
      await write('turned away', { behave: 'http_429' }),
      words.notExecuted('refused_by_upstream', true, '{"status":429,"body":"status 429"}'),
    )
    await leaving.stop()
    reads(await write('not sent', {}, 'leaving__write'), words.notExecuted('not_sent', true))
    reads(await write('turned away once', { behave: 'busy_once' }), 'Safe to repeat with the same key')
    reads(await write('turned away once', { behave: 'busy_once' }), 'done ', false)
    assert.equal(effectsOf('turned away'), 0)
    assert.equal(effectsOf('turned away once'), 1)
  })

  test(`${agent.title}: pending is told, and the model that asks as told sees the end (words.pending)`, async () => {
    const told = await write('pending', { delayMs: 3_000 }, 'brief__write')
    reads(told, words.pending({ callId: callIdIn(told) }))
    const outcome = await askNext(told.text)
    assert.equal(outcome['state'], 'succeeded')
    assert.equal(outcome['next'], nextStep.succeeded)
    assert.equal(effectsOf('pending'), 1)
  })

  test(`${agent.title}: unknown is told; under a new key it is refused; it is never sent again (words.unknown, words.conflict)`, async () => {
    const lost = { behave: 'reset_after', what: 'unknown' }
    const told = await write('unknown', lost)
    const callId = callIdIn(told)
    reads(told, words.unknown({ callId }, 'connection_lost'))
    const outcome = await askNext(told.text, { waitMs: 0 })
    assert.equal(outcome['state'], 'unknown')
    assert.ok(String(outcome['next']).startsWith(nextStep.unknown))
    reads(await write('unknown again', lost), words.conflict('possible_duplicate', { callId }, callId))
    reads(await write('unknown', lost), words.unknown({ callId }, 'connection_lost'))
    assert.equal(effectsOf('unknown'), 1)
    const both = await session.callAll([
      ['lab__write', { ...lost, what: 'at once', idempotency_key: 'at once 1' }],
      ['lab__write', { ...lost, what: 'at once', idempotency_key: 'at once 2' }],
    ])
    assert.equal(both.filter(({ text }) => text.includes('The same change was sent under another key')).length, 1)
    assert.equal(effectsOf('at once'), 1)
  })

  test(`${agent.title}: the same key for another change is refused (words.conflict)`, async () => {
    await write('conflict')
    const told = await write('conflict', { what: 'another' })
    const callId = callIdIn(told)
    reads(told, words.conflict('idempotency_conflict', { callId }, callId))
    assert.equal(effectsOf('another'), 0)
  })

  test(`${agent.title}: a refusal says that nothing was sent and what to add (words.notAccepted)`, async () => {
    const refusals: ReadonlyArray<readonly [Code, object]> = [
      ['idempotency_key_required', { what: 'refused' }],
      ['idempotency_key_invalid', { what: 'refused', idempotency_key: 'Rückzahlung' }],
    ]
    for (const [code, input] of refusals) {
      const told = await session.call('lab__write', input)
      const [what = '', rest = ''] = words.notAccepted(code, '|', undefined).split(' | ')
      reads(told, what)
      reads(told, rest)
    }
    assert.equal(effectsOf('refused'), 0)
  })

  test(`${agent.title}: a question of the server is not lost`, async () => {
    const told = await write('question', {}, 'lab__ask')
    // The modern one answers by itself when nobody is there to ask: with `cancel`.
    if (agent.era === 'modern') return reads(told, 'round 1 {"sure":{"action":"cancel"}}', false)
    reads(told, 'THE SERVER ASKS BEFORE IT GOES ON')
    reads(told, 'Are you sure?')
    assert.equal((await askNext(told.text))['state'], 'awaiting_input')
  })

  test(`${agent.title}: after an answer too long for a model, the outcome is short and says that it happened`, async () => {
    const shown = await write('long answer', { bytes: 200_000 }, 'heavy__big')
    assert.ok(shown.text.length < 20_000, `${shown.text.length} characters were shown`)
    const asked = await session.call('holdfast_outcome', { key: 'long answer', server: 'heavy' })
    const outcome = outcomeIn(asked)
    assert.equal(outcome['state'], 'succeeded')
    assert.match(String(outcome['leftOut']), /The same call with the same key returns it; nothing is sent again/)
  })

  test(`${agent.title}: the outcome is found by what the model knows: its own name for the tool, and the arguments`, async () => {
    await write('by name', { amount: 25 })
    const asked = await session.call('holdfast_outcome', {
      tool: agent.toolName('lab__write').replace('::', '.'),
      arguments: { what: 'by name', amount: 25 },
    })
    assert.equal(outcomeIn(asked)['state'], 'succeeded')
    // Not "absent": that would invite the model to send it again.
    reads(await session.call('holdfast_outcome', { tool: 'nothing', server: 'lab', arguments: {} }), 'NOT UNDERSTOOD.')
    reads(await session.call('holdfast_outcome', { key: 'by name', server: 'holdfast' }), 'Leave it out')
  })

  for (const [name, cut, landed] of [
    ['reset before the answer', { of: 'answer', afterBytes: 0, how: 'reset' }, true],
    ['ended before the answer', { of: 'answer', afterBytes: 0, how: 'end' }, true],
    ['reset in the answer', { of: 'answer', afterBytes: 150, how: 'reset' }, true],
    ['reset in the request', { of: 'request', afterBytes: 100, how: 'reset' }, false],
  ] as const) {
    test(`${agent.title}: connection ${name}: the client repeats nothing by itself, and the outcome is there to ask for`, async () => {
      const key = `drop ${name}`
      const isCut = wire.cutNextCall(cut)
      const told = await write(key)
      await isCut
      assert.match(told.text, /ECONNRESET|closed unexpectedly|error sending request|Transport/)
      assert.ok(
        wire.calls('lab__write').filter(call => keyIn(call) === key).length <= 1,
        'the client repeated the call',
      )
      const asked = outcomeIn(await session.call('holdfast_outcome', { key }))
      assert.equal(asked['state'], landed ? 'succeeded' : 'not_found', JSON.stringify(asked))
      assert.equal(asked['next'], landed ? nextStep.succeeded : nextStep.notFound)
      // What a model does that does not read: the same call again, with its key.
      reads(await write(key), 'done ', false)
      assert.equal(effectsOf(key), 1)
    })
  }

  test(`${agent.title}: a tool that is added is told of where the client listens`, {
    skip: agent.era === 'legacy' && 'it does not',
  }, async () => {
    office.addTool('late')
    const until = performance.now() + 20_000
    while (!session.shown().text.includes('office__late') && performance.now() < until)
      await session.call('lab__echo', {})
    assert.ok(session.shown().text.includes(agent.toolName('office__late')))
  })

  test(`${agent.title}: a write of 65 s: pending at 40 s, and its outcome to who asks (words.pending)`, async () => {
    const { told, outcome, effects } = await slow.long
    reads(told, words.pending({ callId: callIdIn(told) }))
    assert.equal(outcome['state'], 'succeeded')
    assert.equal(effects, 1)
  })

  test(`${agent.title}: a stream that is cut in mid-write: however long the client takes to notice, the outcome is there`, async () => {
    const { told, outcome, effects, calls, seconds } = await slow.cut
    assert.match(told.text, /transport dropped mid-call|Transport closed/)
    assert.equal(calls, 1, 'the client repeated the call')
    assert.equal(outcome['state'], 'succeeded')
    assert.equal(effects, 1)
    assert.ok(seconds < 150, `${seconds} s`)
  })

  test(`${agent.title}: a key used again after two minutes: the model reads that it was not done again (words.alreadyDone)`, async () => {
    const wait = doneAt + 121_000 - performance.now()
    if (wait > 0) await new Promise(resolve => setTimeout(resolve, wait))
    reads(await write('succeeded'), 'Not done again: already done at', false)
    const booked = await session.call('office__book', { what: 'room', idempotency_key: 'room' })
    reads(booked, 'Not done again: already done at', false)
    assert.equal(effectsOf('succeeded'), 1)
    assert.equal(office.done.filter(({ tool }) => tool === 'book').length, 1)
  })

  test(`${agent.title}: the report begins with what needs attention, and counts everything`, async () => {
    const { counts, unknown, pending } = outcomeIn(await session.call('holdfast_report', {})) as unknown as {
      counts: Record<string, number>
      unknown: Array<{ key: string }>
      pending: Array<{ key: string }>
    }
    assert.deepEqual(unknown.map(({ key }) => key.slice(0, 7)).sort(), ['at once', 'unknown'])
    assert.equal(counts['unknown'], 2)
    assert.deepEqual(
      pending.map(({ key }) => key),
      agent.era === 'modern' ? [] : ['question'],
    )
    assert.ok((counts['confirmed'] ?? 0) > 8 && (counts['failed'] ?? 0) === 3, JSON.stringify(counts))
  })

  test(`${agent.title}: through holdfast connect a dropped connection is not even seen by the model`, async () => {
    await using way = await disposable(startWire(() => node.ready().mcp))
    const env = { HOLDFAST_URL: new URL(way.url).origin, HOLDFAST_KEY: node.ready().key }
    await using own = await openSession(agent, { program, server: { command: bridge, env } })
    await own.load(['lab__write', 'holdfast_outcome'])
    const isCut = way.cutNextCall({ of: 'answer', afterBytes: 0, how: 'reset' })
    reads(await own.call('lab__write', { what: 'bridged', idempotency_key: 'bridged' }), 'done ', false)
    await isCut
    assert.equal(effectsOf('bridged'), 1)
  })

  test(`${agent.title}: over a restart behind a proxy the same session goes on, and what is denied from then on is told (words.notAccepted)`, async () => {
    wire.pause()
    assert.equal(await node.interrupt(), 0, node.output())
    writeFileSync(join(node.folder, 'holdfast.yaml'), yaml('["lab:fail"]'))
    await node.start()
    wire.resume()
    const outcome = outcomeIn(await session.call('holdfast_outcome', { key: 'succeeded' }))
    assert.equal(outcome['state'], 'succeeded')
    const denied = await write('denied', { text: 'no' }, 'lab__fail')
    // One that listens has read the list again and knows that the tool is gone.
    if (agent.era === 'modern' && denied.text.includes('No such tool available')) return
    reads(denied, words.notAccepted('denied', undefined, undefined))
  })

  test(`${agent.title}: no change was made twice, in the servers' own books`, () => {
    const per = new Map<string, number>()
    for (const { tool, arguments: args } of lab.effects()) {
      const change = `${tool} ${String(args['what'])}`
      per.set(change, (per.get(change) ?? 0) + 1)
    }
    assert.ok(per.size > 10)
    assert.deepEqual(
      [...per].filter(([, times]) => times > 1),
      [],
    )
  })

  type LongWrite = { readonly told: ShownResult; readonly outcome: Outcome; readonly effects: number }
  async function longWrite(): Promise<LongWrite> {
    // Past the wire: the cuts there are for others.
    await using own = await open({ url: node.ready().mcp })
    const told = await own.call('lab__write', { what: '65 s', delayMs: 65_000, idempotency_key: '65 s' })
    const outcome = await askNext(told.text, { by: own })
    return { told, outcome, effects: effectsOf('65 s') }
  }

  type CutStream = LongWrite & { readonly calls: number; readonly seconds: number }
  /** The answer is an event stream from the fifth second on; it is cut in its first beats. */
  async function cutStream(): Promise<CutStream> {
    await using way = await disposable(startWire(() => node.ready().mcp))
    await using own = await open(way)
    const isCut = way.cutNextCall({ of: 'answer', afterBytes: 400, how: 'reset' })
    const from = performance.now()
    const told = await own.call('lab__write', { what: 'cut', delayMs: 9_000, idempotency_key: 'cut' })
    const seconds = (performance.now() - from) / 1_000
    await isCut
    const outcome = outcomeIn(await own.call('holdfast_outcome', { key: 'cut', waitMs: 30_000 }))
    return { told, outcome, effects: effectsOf('cut'), calls: way.calls('lab__write').length, seconds }
  }
}

type Schema = {
  readonly properties?: Readonly<Record<string, { readonly description?: string }>>
  readonly required?: readonly string[]
}
type Outcome = Readonly<Record<string, unknown>>

/** The JSON of an answer to a question, out of what the client puts around it. */
function outcomeIn({ text }: ShownResult): Outcome {
  const json = /\{.*\}/s.exec(text)?.[0] ?? assert.fail(text)
  return JSON.parse(json) as Outcome
}

const callIdIn = ({ text }: ShownResult): string => /"callId":"(\w{26})"/.exec(text)?.[1] ?? assert.fail(text)

const keyIn = (call: { readonly params?: { readonly arguments?: object } }) =>
  (call.params?.arguments as { idempotency_key?: string } | undefined)?.idempotency_key

/** Our names for the tools that the model knows of, whole or by name. */
function namesIn({ text, tools: shown }: Shown, agent: Agent): string[] {
  const prefix = agent.toolName('')
  const known = [...shown.map(({ name }) => name), ...text.split(/[\s,]+/)]
  return known.filter(name => name.startsWith(prefix)).map(name => name.slice(prefix.length))
}

/** Its failure is that of the test that waits for it, not of the whole run. */
function quietly<T>(work: Promise<T>): Promise<T> {
  work.catch(() => {})
  return work
}

async function disposable<T extends { stop(): Promise<void> }>(starting: Promise<T>): Promise<T & AsyncDisposable> {
  const started = await starting
  return Object.assign(started, { [Symbol.asyncDispose]: () => started.stop() })
}
