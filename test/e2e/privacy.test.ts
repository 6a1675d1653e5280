/** What goes on record of people and secrets, through a real node: agent, server, journal, history. */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import pg from 'pg'
import { runCli } from '../helpers/cli.ts'
import { eventually, type Node, outcomeOf, startNode } from '../helpers/node.ts'
import { type Lab, startLab } from '../helpers/upstream/lab.ts'

let lab: Lab
let node: Node
let agent: Awaited<ReturnType<Node['modern']>>

before(async () => {
  lab = await startLab({ era: 'modern' })
  node = await startNode({
    yaml: `servers:
  lab:
    url: ${lab.url}
    defaults:
      redact: { detect: [secrets, cards, email, iban] }
    tools:
      write: { redact: { arguments: [{ path: $.customer.name, because: a person }], key: true } }
      fail: { redact: { arguments: [$.account, $.text] } }
roles: { all: { allow: ["*"] } }
agents: { dev: { roles: [all], readHistory: true } }
`,
  })
  agent = await node.modern({ path: '/lab' })
})
after(async () => {
  await node[Symbol.asyncDispose]()
  await lab.stop()
})

const cli = (...words: string[]) =>
  runCli(words, { cwd: node.folder, env: { HOLDFAST_DATA: 'data', HOLDFAST_CONFIG: 'holdfast.yaml' } })

async function onDatabase<Row extends object>(sql: string, values: unknown[] = []): Promise<Row[]> {
  const { url } = JSON.parse(readFileSync(join(node.folder, 'data', 'postgres.json'), 'utf8')) as { url: string }
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query<Row>(sql, values)).rows
  } finally {
    await client.end()
  }
}

type Event = {
  type: string
  reason: string
  arguments: string
  data: string
  fingerprint: string
  idempotency_key: string
}

/** The call's events in the history, once there are as many. */
const eventsOf = (callId: string, count: number) =>
  eventually(
    async () => {
      const rows = await node.sql<Event>(
        `select type, reason, arguments, data, fingerprint, idempotency_key from holdfast.events
         where call_id = '${callId}' order by sequence`,
      )
      return rows.length >= count ? rows : undefined
    },
    { withinMs: 30_000, what: `${count} events of ${callId}` },
  )

test('what the rules name is in no event, neither in the journal nor in the history, and the event says by which rule', async () => {
  const card = '4111 1111 1111 1111'
  let calls = 0
  const call = async (name: string, more: object) =>
    agent.callTool({
      name,
      arguments: {
        idempotency_key: `refund-ann@example.com-${(calls += 1)}`,
        iban_note: 'DE89370400440532013000',
        ...more,
      },
    })
  const written = outcomeOf(
    await call('write', { customer: { name: 'Ann Angel', city: 'Rome' }, memo: `card ${card} please`, pin: 77123 }),
  )
  const failed = outcomeOf(
    await call('fail', { account: 'ACC-55512', text: 'no account ACC-55512 for ann@example.com', behave: 'answer' }),
  )
  await agent.callTool({ name: 'echo', arguments: { token: 'tok-99887766', note: 'mail bob@example.com' } })
  const lost = outcomeOf(await call('fail', { account: 'ACC-55513', behave: 'reset_after', text: 'x', effect: true }))

  assert.equal(written.state, 'succeeded')
  const sent = lab.calls().find(({ tool }) => tool === 'write')?.arguments
  assert.deepEqual(sent?.['customer'], { name: 'Ann Angel', city: 'Rome' }, 'the server gets what the agent sent')

  const [opened, ended] = await eventsOf(written.callId, 2)
  assert.equal(
    opened?.arguments,
    JSON.stringify({
      iban_note: '[redacted]',
      customer: { name: '[redacted]', city: 'Rome' },
      memo: 'card [redacted] please',
      pin: '[redacted]',
    }),
  )
  assert.deepEqual((JSON.parse(opened!.data) as { redacted: unknown }).redacted, [
    { in: 'arguments', path: "$['iban_note']", rule: 'names' },
    { in: 'arguments', path: "$['customer']['name']", rule: '$.customer.name', because: 'a person' },
    { in: 'arguments', path: "$['memo']", rule: 'cards' },
    { in: 'arguments', path: "$['pin']", rule: 'names' },
    { in: 'key', rule: 'key' },
  ])
  assert.match(opened!.idempotency_key, /^~[0-9a-f]{32}$/)
  assert.equal(ended!.idempotency_key, opened!.idempotency_key)
  assert.match(opened!.fingerprint, /^~[0-9a-f]{32}$/, 'a bare hash of the arguments could be guessed')
  await eventsOf(failed.callId, 2)
  await eventsOf(lost.callId, 2)

  const secrets = [card, '4111', 'Ann Angel', 'ann@', 'bob@', '77123', 'DE8937', 'ACC-5551', 'tok-99887766']
  const journal = await onDatabase<{ value: string }>(
    `select value from journal_records where topic = 'holdfast.events' union all select value from outbox`,
  )
  const history = await node.sql('select * from holdfast.events')
  for (const secret of secrets)
    for (const [store, text] of Object.entries({ journal: JSON.stringify(journal), history: JSON.stringify(history) }))
      assert.ok(!text.includes(secret), `${secret} is in the ${store}`)
})

test('holdfast audit holds pseudonyms to the rows they stand for', async () => {
  const { exit, out, err } = await cli('audit', '--json')
  const report = JSON.parse(out) as { findings: { what: string }[] }
  assert.deepEqual([exit, report.findings], [0, []], err)
})

test('holdfast check and holdfast redact show what would not go on record, before anything is called', async () => {
  const checked = await cli('check')
  assert.match(
    checked.out,
    /^lab:write +names that speak of secrets, \$\.customer\.name, secrets, cards, email, iban, the key$/m,
  )
  assert.match(checked.out, /^lab: others +names that speak of secrets, secrets, cards, email, iban$/m)
  writeFileSync(join(node.folder, 'args.json'), '{"customer": {"name": "Ann"}, "memo": "to ann@example.com"}\n')
  const { exit, out } = await cli('redact', 'lab', 'write', '--arguments', 'args.json', '--idempotency-key', 'k')
  assert.equal(exit, 0)
  assert.match(out, /"name": "\[redacted\]"/)
  assert.match(out, /^arguments +\$\['memo'\] +email/m)
  assert.match(out, /^key +key/m)
  writeFileSync(join(node.folder, 'bad.json'), '{')
  assert.match((await cli('redact', 'lab', 'write', '--arguments', 'bad.json')).err, /bad\.json is not JSON/)
  assert.match(
    (await cli('redact', 'lba', 'write', '--arguments', 'args.json')).err,
    /no server lba .*did you mean `lab`/,
  )
})
