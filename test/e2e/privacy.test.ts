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
      ask: { effect: write, personal: { subject: $.patient.id, keep: [$.patient.name] } }
      echo: { personal: { subject: $.patient.id, keep: [$.patient.name, $.note] } }
roles: { all: { allow: ["*"] }, lawyer: { reveal: true } }
agents:
  dev: { roles: [all], readHistory: true }
  reader: { roles: [all], readHistory: true }
  stranger: { roles: [all, lawyer], readHistory: true, tenant: elsewhere }
`,
  })
  agent = await node.modern({ path: '/lab' })
})
after(async () => {
  await node[Symbol.asyncDispose]()
  await lab.stop()
})

/** A read about a person: its two events are written by front, its values sealed there. */
async function askAbout(id: string, name: string): Promise<string> {
  const note = `note ${Math.random()}`
  await agent.callTool({ name: 'echo', arguments: { patient: { id, name }, note, ward: 'b' } })
  const [row] = await eventually(
    async () => {
      const rows = await node.sql<{ call_id: string }>(
        "select call_id from holdfast.events where type = 'call.succeeded' and tool = 'echo' order by time desc limit 1",
      )
      const opened = await node.sql<{ subject: string }>(
        `select subject from holdfast.events where call_id = '${rows[0]?.call_id}' and subject != ''`,
      )
      return opened.length > 0 && !seen.has(rows[0]!.call_id) ? rows : undefined
    },
    { withinMs: 30_000, what: 'the read' },
  )
  seen.add(row!.call_id)
  return row!.call_id
}
const seen = new Set<string>()

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
  await agent.callTool({
    name: 'echo',
    arguments: { note: 'x' },
    _meta: { 'dev.holdfast/on-behalf-of': 'max@example.com' },
  })
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

  const behalf = await eventually(async () => {
    const rows = await node.sql<{ on_behalf_of: string }>(
      "select on_behalf_of from holdfast.events where on_behalf_of != ''",
    )
    return rows.length > 0 ? rows : undefined
  })
  const named = await cli('subject', 'max@example.com', '--json')
  assert.deepEqual([behalf[0]?.on_behalf_of], (JSON.parse(named.out) as { pseudonyms: string[] }).pseudonyms)

  const secrets = [card, '4111', 'Ann Angel', 'ann@', 'bob@', 'max@', '77123', 'DE8937', 'ACC-5551', 'tok-99887766']
  const journal = await onDatabase<{ value: string }>(
    `select value from journal_records where topic = 'holdfast.events' union all select value from outbox`,
  )
  const history = await node.sql('select * from holdfast.events')
  for (const secret of secrets)
    for (const [store, text] of Object.entries({ journal: JSON.stringify(journal), history: JSON.stringify(history) }))
      assert.ok(!text.includes(secret), `${secret} is in the ${store}`)
})

test('an incident is found by its key, also where the record has a pseudonym of it', async () => {
  const { exit, out, err } = await cli('replay', '--from', '1h', '--key', 'refund-ann@example.com-1', '--json')
  assert.equal(exit, 0, err)
  const { stories } = JSON.parse(out) as { stories: { key: string; tool: string }[] }
  const writes = stories.filter(({ tool }) => tool !== '' && tool !== undefined)
  assert.deepEqual(
    writes.map(({ tool }) => tool),
    ['write'],
  )
  assert.match(writes[0]!.key, /^~[0-9a-f]{32}$/)
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

test('what is kept of a person can be shown to who may, each time on record, and proved', async () => {
  const callId = await askAbout('p-4711', 'Ann Angel')
  const [opened] = await eventsOf(callId, 2)
  assert.deepEqual(JSON.parse(opened!.arguments), {
    patient: { id: '[personal]', name: '[personal]' },
    note: '[personal]',
    ward: 'b',
  })
  const shown = await cli('reveal', callId, '--reason', 'asked by the person', '--json')
  assert.equal(shown.exit, 0, shown.err)
  const { values, subject } = JSON.parse(shown.out) as { values: Record<string, string>; subject: string }
  assert.equal(values["$['patient']['name']"], 'Ann Angel')
  assert.equal(values["$['patient']['id']"], 'p-4711')
  const [record] = await eventually(async () => {
    const rows = await node.sql<{ agent: string; reason: string; subject: string }>(
      `select agent, reason, subject from holdfast.events where type = 'personal.revealed' and call_id = '${callId}'`,
    )
    return rows.length > 0 ? rows : undefined
  })
  assert.deepEqual(record, { agent: 'dev', reason: 'asked by the person', subject })

  writeFileSync(
    join(node.folder, 'said.json'),
    JSON.stringify({ patient: { id: 'p-4711', name: 'Ann Angel' }, note: values["$['note']"], ward: 'b' }, null, 2),
  )
  const proved = await cli('commitment', callId, '--arguments', 'said.json')
  assert.equal(proved.exit, 0, proved.err)
  writeFileSync(join(node.folder, 'other.json'), '{"patient": {"id": "p-4711", "name": "Bob"}, "ward": "b"}')
  assert.match((await cli('commitment', callId, '--arguments', 'other.json')).err, /is not what was recorded/)
})

test('who may not read it is refused with a sentence, and nothing is shown', async () => {
  const callId = await askAbout('p-4711', 'Ann Angel')
  const keyOf = async (agent: string) => (await cli('keys', 'create', '--agent', agent)).out.trim()
  const refused = async (key: string, call = callId) =>
    (await cli('reveal', call, '--reason', 'curious', '--key', key, '--url', node.ready().sql)).err
  assert.match(await refused(await keyOf('reader')), /reader may not read what is kept encrypted/)
  const stranger = await keyOf('stranger')
  assert.match(await refused(stranger), /Nothing is kept encrypted/, 'of another tenant')
  assert.match(await refused('hf_nobody'), /Send an API key/)
  assert.match((await cli('reveal', '01NOSUCHCALL', '--reason', 'x')).err, /Nothing is kept encrypted of 01NOSUCHCALL/)
  assert.match((await cli('reveal', callId, '--reason', ' ')).err, /Say with --reason/)
})

test('erasing a subject destroys what is kept of it, once, on record without its name; what comes later begins anew', async () => {
  const before = await askAbout('p-0815', 'Eve Evans')
  const other = await askAbout('p-4711', 'Ann Angel')
  const untouched = await eventsOf(before, 2)
  const prove = (file: string) =>
    eventually(
      async () => {
        const { exit } = await cli('prove', before, '--out', file)
        return exit === 0 || undefined
      },
      { withinMs: 60_000, what: 'a checkpoint over the call' },
    )
  await prove('before.json')
  assert.match(
    (await cli('erase', '--subject', 'p-0815', '--reason', 'for p-0815')).err,
    /The reason names the subject/,
  )
  const erased = await cli('erase', '--subject', 'p-0815', '--reason', 'request 17', '--json')
  assert.equal(erased.exit, 0, erased.err)
  const { kind, subject } = JSON.parse(erased.out) as { kind: string; subject: string }
  assert.equal(kind, 'erased')

  assert.match((await cli('reveal', before, '--reason', 'x')).err, /It was erased at 2\d{3}-.*: the key of its subject/)
  writeFileSync(join(node.folder, 'said.json'), '{"patient": {"id": "p-0815", "name": "Eve Evans"}, "ward": "b"}')
  assert.match((await cli('commitment', before, '--arguments', 'said.json')).err, /its subject was erased/)
  assert.equal((await cli('reveal', other, '--reason', 'x')).exit, 0, 'others are not touched')

  const proofs = await Promise.all(
    ['before.json', 'after.json'].map(async file => {
      if (file === 'after.json') await prove(file)
      return cli('verify', file)
    }),
  )
  assert.deepEqual(
    proofs.map(({ exit }) => exit),
    [0, 0],
    proofs.map(({ err }) => err).join(''),
  )
  const verified = await eventually(
    async () => {
      const ran = await cli('verify')
      return ran.exit === 0 ? ran : undefined
    },
    { withinMs: 60_000, what: 'stores that verify' },
  )
  assert.equal(verified.exit, 0)

  const asked = await cli('subject', 'p-0815', '--json')
  const { pseudonyms, keys } = JSON.parse(asked.out) as { pseudonyms: string[]; keys: { erasedAt: string | null }[] }
  assert.deepEqual([pseudonyms, keys.length], [[subject], 1])
  assert.ok(keys[0]?.erasedAt)
  const calls = await node.sql<{ call_id: string }>(
    `select call_id from holdfast.events where subject = '${subject}' and call_id != ''`,
  )
  assert.deepEqual(calls, [{ call_id: before }])

  const again = await cli('erase', '--subject', 'p-0815', '--reason', 'request 17')
  assert.equal(again.exit, 0)
  assert.match(again.out, /was erased at .*; nothing came since/)
  assert.match((await cli('erase', '--subject', 'p-9999', '--reason', 'x')).err, /There is no key of this subject/)

  const records = await eventually(async () => {
    const rows = await node.sql<{ subject: string; reason: string }>(
      "select subject, reason from holdfast.events where type = 'subject.erased'",
    )
    return rows.length > 0 ? rows : undefined
  })
  assert.deepEqual(records, [{ subject, reason: 'request 17' }])
  assert.deepEqual(
    await eventsOf(before, 2),
    untouched,
    'no event was changed: its leaf and every proof stay as they were',
  )
  const everything = JSON.stringify([
    await node.sql('select * from holdfast.events'),
    await onDatabase("select value from journal_records where topic = 'holdfast.events'"),
    await onDatabase('select * from subject_keys'),
    await onDatabase('select * from outbox'),
  ])
  for (const name of ['p-0815', 'Eve Evans']) assert.ok(!everything.includes(name), name)
})

test('a write about a person carries what is sealed through the journal, and its answer needs the salt too', async () => {
  const answer = outcomeOf(
    await agent.callTool({
      name: 'ask',
      arguments: { patient: { id: 'p-33', name: 'Pat' }, idempotency_key: 'k-33', behave: 'answer' },
    }),
  )
  const rows = await eventually(
    async () => {
      const found = await node.sql<{
        subject: string
        result_commitment: string
        arguments_commitment: string
        fingerprint: string
      }>(
        `select subject, result_commitment, arguments_commitment, fingerprint from holdfast.events where call_id = '${answer.callId}' order by sequence`,
      )
      return found.length >= 2 ? found : undefined
    },
    { withinMs: 30_000 },
  )
  assert.match(rows[0]!.arguments_commitment, /^s:[0-9a-f]{64}$/)
  assert.match(rows[1]!.result_commitment, /^s:[0-9a-f]{64}$/)
  assert.equal(rows[0]!.fingerprint, '~')
  assert.match(rows[0]!.subject, /^~[0-9a-f]{32}$/)
  assert.equal((await cli('reveal', answer.callId, '--reason', 'x')).exit, 0)
  const { exit, out, err } = await cli('audit', '--json')
  assert.deepEqual([exit, (JSON.parse(out) as { findings: unknown[] }).findings], [0, []], err)
})
