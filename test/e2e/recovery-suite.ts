/** Recovery through the running program, of public servers as they are, and of one that honours keys. */
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { type Answer, eventually, type Node, outcomeOf, type StartNode, textOf } from '../helpers/node.ts'
import { runCli } from '../helpers/cli.ts'
import { type Lab, startLab } from '../helpers/upstream/lab.ts'
import { startStripeApi, type StripeApi } from '../helpers/upstream/stripe-api.ts'

export function recoverySuite(start: StartNode): void {
  const path = (name: string) => fileURLToPath(new URL(`../../${name}`, import.meta.url))
  const filesystem = path('node_modules/@modelcontextprotocol/server-filesystem/dist/index.js')
  const sqlite = path('node_modules/mcp-sqlite/mcp-sqlite-server.js')
  const stripe = path('node_modules/@stripe/mcp/dist/index.js')
  const redirect = path('test/helpers/upstream/stripe-redirect.cjs')
  const flaky = `node, --import, "${import.meta.resolve('tsx')}", ${path('test/helpers/upstream/flaky-stdio.ts')}`

  let files: string
  let lab: Lab
  let stripeApi: StripeApi
  let node: Node

  before(async () => {
    files = realpathSync(mkdtempSync(join(tmpdir(), 'holdfast-files-')))
    lab = await startLab({ era: 'modern' })
    stripeApi = await startStripeApi()
    node = await start({
      yaml: `
servers:
  files:
    command: [${flaky}, ${files}/.files, node, ${filesystem}, ${files}]
    timeout: 10s
    tools:
      edit_file:
        timeout: 1s
        recover:
          probe:
            tool: read_text_file
            arguments: '{"path": arguments.path}'
            landed: 'result.content[0].text.contains(arguments.edits[0].newText)'
            consistent: true
            every: 200ms
  db:
    command: [${flaky}, ${files}/.db, node, ${sqlite}, ${files}/.test.db]
    timeout: 10s
    tools:
      read_records: { effect: read }
      create_record:
        timeout: 1s
        recover:
          probe:
            tool: read_records
            inject: data.reference
            arguments: '{"table": arguments.table, "conditions": {"reference": call.reference}, "limit": 1}'
            landed: 'result.content[0].text != "[]"'
            consistent: true
            every: 200ms
  stripe:
    command: [${flaky}, ${files}/.stripe, node, --require, ${redirect}, ${stripe}, --tools=all]
    env: { STRIPE_SECRET_KEY: sk_test_stand_in, STRIPE_STAND_IN: "${stripeApi.url}" }
    timeout: 10s
    tools:
      create_customer:
        timeout: 2s
        recover:
          probe:
            tool: list_customers
            arguments: '{"email": arguments.email, "limit": 1}'
            landed: 'result.content[0].text.startsWith("[") ? result.content[0].text != "[]" : result.failed'
            consistent: true
            every: 200ms
  keys:
    url: ${lab.url}
    timeout: 2s
    lateWindow: 1s
    tools:
      write: { recover: { replay: { header: Idempotency-Key }, keeps: 1h } }
  looks:
    url: ${lab.url}
    timeout: 1s
    lateWindow: 100ms
    tools:
      write:
        recover:
          probe: { tool: echo, arguments: '{"key": call.key}', landed: 'result.structuredContent.arguments.key == "here"', every: 100ms }
          budget: { attempts: 2 }
roles: { all: { allow: ["*"] } }
agents: { dev: { roles: [all], readHistory: true } }
`,
    })
  })

  after(async () => {
    await node?.[Symbol.asyncDispose]()
    await Promise.all([lab?.stop(), stripeApi?.stop()])
    rmSync(files, { recursive: true, force: true })
  })

  const call = async (server: string, name: string, args: Record<string, unknown>) => {
    const client = await node.modern({ path: `/${server}` })
    return (await client.callTool({ name, arguments: args })) as unknown as Answer
  }
  const breakNext = (server: string, tool: string, dies: 'before' | 'after') =>
    writeFileSync(join(files, `.${server}`), JSON.stringify({ tool, dies }))
  const cli = (...words: string[]) =>
    runCli(words, { cwd: node.folder, env: { HOLDFAST_DATA: join(node.folder, 'data') } })

  for (const [dies, state] of [
    ['after', 'succeeded'],
    ['before', 'not_executed'],
  ] as const) {
    test(`filesystem: an edit whose connection ended ${dies} it was carried out turns out as ${state}`, async () => {
      const file = join(files, `${dies}.txt`)
      writeFileSync(file, 'one\n')
      const edit = { path: file, edits: [{ oldText: 'one', newText: 'one two' }], idempotency_key: `edit-${dies}` }
      breakNext('files', 'edit_file', dies)
      // The caller's wait is long enough for the looks.
      const answer = await call('files', 'edit_file', edit)
      assert.equal(outcomeOf(answer).state, state, textOf(answer))
      const again = await call('files', 'edit_file', edit)
      assert.equal(outcomeOf(again).state, state)
      assert.equal(outcomeOf(again).attempts, 1)
      assert.equal(readFileSync(file, 'utf8'), dies === 'after' ? 'one two\n' : 'one\n')
      if (dies === 'after') assert.match(textOf(again), /^IT HAPPENED\. .*established by looking at the server/)
      else assert.match(textOf(again), /^NOT EXECUTED\. .*This key is closed/)
    })

    test(`mcp-sqlite: a record whose connection ended ${dies} it was made turns out as ${state}, found by its reference`, async () => {
      const table = `payments_${dies}`
      await call('db', 'query', {
        sql: `create table ${table} (id integer primary key, amount real, reference text)`,
        idempotency_key: `table-${dies}`,
      })
      // An equal record of somebody else must not be taken for this one.
      const other = { table, data: { amount: 12.5, reference: 'by hand' }, idempotency_key: `other-${dies}` }
      assert.equal(outcomeOf(await call('db', 'create_record', other)).state, 'succeeded')
      breakNext('db', 'create_record', dies)
      const record = { table, data: { amount: 12.5 }, idempotency_key: `record-${dies}` }
      const answer = await call('db', 'create_record', record)
      assert.equal(outcomeOf(answer).state, state, textOf(answer))
      const rows = JSON.parse(textOf(await call('db', 'read_records', { table }))) as Array<{ reference: string }>
      const made = rows.filter(({ reference }) => reference !== 'by hand')
      assert.equal(made.length, dies === 'after' ? 1 : 0)
      if (dies === 'after') assert.match(made[0]?.reference ?? '', /^hf-[0-9a-f]{32}$/)
      assert.equal(outcomeOf(await call('db', 'create_record', record)).state, state)
    })

    test(`Stripe: a customer whose connection ended ${dies} it was created turns out as ${state}; a list that fails says nothing`, async () => {
      const email = `${dies}@customers.example`
      const other = { name: 'Ada', email: `not-${email}`, idempotency_key: `other-customer-${dies}` }
      assert.equal(outcomeOf(await call('stripe', 'create_customer', other)).state, 'succeeded')
      breakNext('stripe', 'create_customer', dies)
      stripeApi.refuseLists(1)
      const customer = { name: 'Ada', email, idempotency_key: `customer-${dies}` }
      const answer = await call('stripe', 'create_customer', customer)
      assert.equal(outcomeOf(answer).state, state, textOf(answer))
      const again = await call('stripe', 'create_customer', customer)
      assert.equal(outcomeOf(again).state, state)
      assert.equal(outcomeOf(again).attempts, 1)
      assert.equal(stripeApi.customers().filter(each => each.email === email).length, dies === 'after' ? 1 : 0)
    })
  }

  test('a server that honours keys is asked again with the same key in the header, and its answer is the outcome', async () => {
    lab.behave('reset_after')
    const before = lab.calls().length
    const answer = await call('keys', 'write', { what: 'replayed', idempotency_key: 'replayed' })
    assert.equal(outcomeOf(answer).state, 'succeeded', textOf(answer))
    assert.equal(outcomeOf(answer).attempts, 2)
    assert.match(textOf(answer), /^done /)
    const sent = lab.calls().slice(before)
    assert.equal(sent.length, 2)
    const keys = sent.map(({ headers }) => headers['idempotency-key'])
    assert.match(String(keys[0]), /^hf-[0-9a-f]{32}$/)
    assert.equal(keys[0], keys[1])
    assert.deepEqual(
      sent.map(each => each.arguments),
      [{ what: 'replayed' }, { what: 'replayed' }],
    )
    const history = await eventually(async () => {
      const rows = await node.sql<{ state: string; attempts: number }>(
        `select state, attempts from holdfast.operations where idempotency_key = 'replayed' and state = 'succeeded'`,
      )
      return rows[0]
    })
    assert.equal(Number(history.attempts), 2)
  })

  test('kill -9 in the middle of recovery: the next start goes on with it', async () => {
    lab.behave('reset_after', 'late')
    const before = lab.calls().length
    const args = { what: 'killed', idempotency_key: 'killed in a replay' }
    const lost = call('keys', 'write', args).catch(error => error as Error)
    await lab.waitForCall(before + 2)
    await node.kill()
    await lost
    lab.release()
    await node.start()
    const answer = await call('keys', 'write', args)
    assert.equal(outcomeOf(answer).state, 'succeeded', textOf(answer))
    const keys = lab
      .calls()
      .slice(before)
      .map(({ headers }) => headers['idempotency-key'])
    assert.ok(keys.length >= 3)
    assert.equal(new Set(keys).size, 1)
  })

  test('when the budget is spent it says so, a person sees everything and settles it, on record', async () => {
    lab.behave('reset_after')
    const args = { what: 'settled', idempotency_key: 'invoice-7' }
    const told = await call('looks', 'write', args)
    assert.equal(outcomeOf(told).state, 'unknown')
    const { callId } = outcomeOf(told)
    const spent = await eventually(async () => {
      const answer = await call('looks', 'write', args)
      return /tries no further; a person can settle it/.test(textOf(answer)) ? answer : undefined
    })
    assert.deepEqual((outcomeOf(spent) as unknown as { recovery: unknown }).recovery, {
      state: 'over',
      replays: 0,
      probes: 2,
    })

    const report = await (await node.modern()).callTool({ name: 'holdfast_report', arguments: {} })
    const [entry] = (report.structuredContent as { unknown: Array<{ key: string; next: string }> }).unknown
    assert.match(entry?.next ?? '', /tries no further/)

    const listed = await cli('unknowns')
    assert.equal(listed.exit, 0, listed.err)
    assert.match(listed.out, /^1 is unknown\.\n/)
    for (const part of [callId, 'looks:write', 'invoice-7', 'probe: the change is not there', 'a person settles it'])
      assert.ok(listed.out.includes(part), `${part} is missing:\n${listed.out}`)

    const settled = await cli('resolve', callId, '--as', 'succeeded', '--reason', 'seen in the books')
    assert.equal(settled.exit, 0, settled.err)
    assert.match(settled.out, /^looks:write invoice-7 is succeeded\.\n/)
    const late = await cli('resolve', callId, '--as', 'failed', '--reason', 'changed my mind')
    assert.equal(late.exit, 1)
    assert.match(late.err, /not_unknown/)
    assert.match(textOf(await call('looks', 'write', args)), /^IT HAPPENED\. .*established by a person/)
    const [event] = await eventually(async () => {
      const rows = await node.sql<{ agent: string; reason: string }>(
        `select agent, reason from holdfast.events where type = 'call.resolved' and idempotency_key = 'invoice-7'`,
      )
      return rows.length > 0 ? rows : undefined
    })
    assert.deepEqual([event?.agent, event?.reason], ['dev', 'seen in the books'])
    // The events of a call come from several partitions, in any order.
    const row = await eventually(async () => {
      const [found] = await node.sql(`select state, evidence from holdfast.calls where call_id = '${callId}'`)
      return found
    })
    assert.deepEqual(row, { state: 'succeeded', evidence: 'person' })
  })
}
