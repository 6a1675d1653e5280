import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type Lab, startLab } from '../helpers/upstream/lab.ts'
import {
  type Answer,
  type ConnectOptions,
  eventually,
  type Node,
  outcomeOf,
  type StartNode,
  textOf,
} from '../helpers/node.ts'

type Extent = {
  /** Connections that are dropped, with each era of client and server. */
  readonly drops: number
  /** Requests at a time with one key. */
  readonly together: number
  /** From an answer to its row in the history. */
  readonly visibleWithinMs: number
}

export function droppedConnectionsSuite(start: StartNode, { drops, together, visibleWithinMs }: Extent): void {
  let modern: Lab
  let legacy: Lab
  let node: Node

  before(async () => {
    modern = await startLab({ era: 'modern' })
    legacy = await startLab({ era: 'legacy' })
    node = await start({
      yaml: `
servers:
  new: { url: ${modern.url}, timeout: 10s, concurrency: 64, tools: { write: { twins: allow } } }
  old: { url: ${legacy.url}, timeout: 10s, concurrency: 64, tools: { write: { twins: allow } } }
  strict: { url: ${modern.url}, timeout: 1s, tools: { write: { effect: write } } }
roles: { all: { allow: ["*"] } }
agents: { dev: { roles: [all], readHistory: true } }
`,
    })
  })

  after(async () => {
    await node?.[Symbol.asyncDispose]()
    await Promise.all([modern?.stop(), legacy?.stop()])
  })

  /** Cuts the connection of a `tools/call` after 200 ms, as when a train goes into a tunnel: nothing is said to the server. */
  const cutCalls: typeof fetch = (input, init) =>
    fetch(
      input,
      typeof init?.body === 'string' && init.body.includes('"tools/call"')
        ? { ...init, signal: AbortSignal.timeout(200) }
        : init,
    )

  type Caller = { callTool(call: { name: string; arguments: Record<string, unknown> }): Promise<unknown> }
  const connect = (era: 'modern' | 'legacy', options: ConnectOptions): Promise<Caller> =>
    era === 'modern' ? node.modern(options) : node.legacy(options)

  const atOnce = 10

  for (const [era, server] of [
    ['modern', 'new'],
    ['legacy', 'old'],
  ] as const) {
    test(`a write of 600 ms dropped at 200 ms and repeated with its key lands once, ${drops} times (${era} client and server)`, async () => {
      const lab = server === 'new' ? modern : legacy
      const stable = await connect(era, { path: `/${server}` })
      const before = lab.effects().length
      const one = async (n: number) => {
        const args = { n, delayMs: 600, idempotency_key: `drop-${era}-${n}` }
        const dropping = await connect(era, { path: `/${server}`, fetch: cutCalls })
        await assert.rejects(dropping.callTool({ name: 'write', arguments: args }))
        const answer = (await stable.callTool({ name: 'write', arguments: args })) as Answer
        assert.equal(answer.isError ?? false, false, textOf(answer))
        assert.equal(outcomeOf(answer).state, 'succeeded')
        return { n, text: textOf(answer) }
      }
      for (let from = 0; from < drops; from += atOnce) {
        await Promise.all(Array.from({ length: atOnce }, (_, index) => one(from + index)))
      }
      const effects = lab.effects().slice(before)
      const perKey = new Map<number, number>()
      for (const { arguments: args } of effects)
        perKey.set(args['n'] as number, (perKey.get(args['n'] as number) ?? 0) + 1)
      assert.deepEqual(
        [...perKey.values()],
        Array.from({ length: drops }, () => 1),
      )
    })
  }

  test(`${together} concurrent requests with one key have one effect and one answer`, async () => {
    const client = await node.modern({ path: '/new' })
    const before = modern.effects().length
    const args = { what: 'thousand', delayMs: 300, idempotency_key: 'thousand' }
    const answers = await Promise.all(
      Array.from({ length: together }, () => client.callTool({ name: 'write', arguments: args }, { timeout: 50_000 })),
    )
    assert.equal(modern.effects().length - before, 1)
    assert.equal(new Set(answers.map(textOf)).size, 1)
    assert.equal(answers.filter(answer => !outcomeOf(answer).replayed).length, 1)
  })

  test('other arguments under the same key are refused and nothing is sent', async () => {
    const client = await node.legacy({ path: '/new' })
    await client.callTool({ name: 'write', arguments: { a: 1, idempotency_key: 'other-arguments' } })
    const before = modern.calls().length
    const answer = await client.callTool({ name: 'write', arguments: { a: 2, idempotency_key: 'other-arguments' } })
    assert.equal(outcomeOf(answer).code, 'idempotency_conflict')
    assert.equal(modern.calls().length, before)
  })

  test('after an unknown outcome a new key for the same change is refused as a possible duplicate', async () => {
    const client = await node.modern({ path: '/strict' })
    const change = { invoice: 1042, behave: 'reset_after' }
    const lost = await client.callTool({ name: 'write', arguments: { ...change, idempotency_key: 'first-try' } })
    assert.equal(outcomeOf(lost).state, 'unknown')
    assert.match(textOf(lost), /MAY HAVE HAPPENED/)
    const before = modern.calls().length
    const twin = await client.callTool({ name: 'write', arguments: { ...change, idempotency_key: 'second-try' } })
    assert.equal(outcomeOf(twin).code, 'possible_duplicate')
    assert.match(textOf(twin), new RegExp(outcomeOf(lost).callId))
    assert.equal(modern.calls().length, before)
  })

  test('an answer after the time-out settles the unknown', async () => {
    const client = await node.modern({ path: '/strict' })
    const late = { what: 'late', delayMs: 1_800, idempotency_key: 'late-answer' }
    const first = await client.callTool({ name: 'write', arguments: late })
    assert.equal(outcomeOf(first).state, 'unknown')
    assert.equal(outcomeOf(first).code, 'timeout')
    const settled = await eventually(
      async () => {
        const answer = await client.callTool({ name: 'write', arguments: late })
        return outcomeOf(answer).state === 'succeeded' ? answer : undefined
      },
      { what: 'the late answer' },
    )
    assert.equal(outcomeOf(settled).replayed, true)
    assert.equal(modern.effects().filter(effect => effect.arguments['what'] === 'late').length, 1)
  })

  test('an outcome can be asked for from another client and session: by key, by callId, by arguments', async () => {
    const writer = await node.modern({ path: '/new' })
    const args = { what: 'asked for' }
    const answer = await writer.callTool({ name: 'write', arguments: { ...args, idempotency_key: 'asked-for' } })
    const { callId } = outcomeOf(answer)
    const asker = await node.legacy()
    for (const question of [
      { key: 'asked-for', server: 'new' },
      { callId },
      { server: 'new', tool: 'write', arguments: args },
    ]) {
      const outcome = await asker.callTool({ name: 'holdfast_outcome', arguments: question })
      assert.equal(outcome.isError ?? false, false, textOf(outcome))
      const told = outcome.structuredContent as Record<string, unknown>
      assert.equal(told['state'], 'succeeded', JSON.stringify(told))
      assert.equal(told['callId'], callId)
    }
    const absent = await asker.callTool({ name: 'holdfast_outcome', arguments: { key: 'never-used', server: 'new' } })
    assert.equal((absent.structuredContent as Record<string, unknown>)['state'], 'not_found')
  })

  test('each call stands in holdfast.calls with agent, server, tool, key, state, attempts and times', async () => {
    type Row = Record<string, unknown>
    const rows = await eventually(
      async () => {
        const found = await node.sql<Row>(
          `select agent, server, tool, idempotency_key, state, attempts, requested_at, finished_at
         from holdfast.calls where idempotency_key in ('thousand', 'late-answer', 'asked-for', 'second-try')`,
        )
        const settled = found.some(row => row['idempotency_key'] === 'late-answer' && row['state'] === 'succeeded')
        return found.length >= together + 3 && settled ? found : undefined
      },
      { what: 'the history' },
    )
    for (const row of rows) {
      assert.equal(row['agent'], 'dev')
      assert.equal(row['tool'], 'write')
      assert.ok(row['requested_at'])
    }
  })

  test(`from answer to row in the history the 99th percentile is under ${visibleWithinMs / 1000} s`, async () => {
    const client = await node.modern({ path: '/new' })
    const delays: number[] = []
    for (let n = 0; n < 12; n += 1) {
      const key = `visible-${n}`
      await client.callTool({ name: 'write', arguments: { n, idempotency_key: key } })
      const answered = performance.now()
      await eventually(
        async () => {
          const rows = await node.sql(
            `select state from holdfast.calls where idempotency_key = '${key}' and state = 'succeeded'`,
          )
          return rows.length > 0 ? true : undefined
        },
        { what: `the row of ${key}`, withinMs: 30_000 },
      )
      delays.push(performance.now() - answered)
    }
    delays.sort((a, b) => a - b)
    assert.ok((delays.at(-1) as number) < visibleWithinMs, `slowest ${delays.at(-1)?.toFixed(0)} ms`)
  })
}
