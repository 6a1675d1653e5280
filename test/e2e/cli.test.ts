import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { type Lab, startLab } from '../helpers/upstream/lab.ts'
import { eventually, type Node, outcomeOf, startNode } from '../helpers/node.ts'

const bin = fileURLToPath(new URL('../../services/cli/bin.js', import.meta.url))

let lab: Lab
let node: Node
/** Where the commands run: nothing in it, so that only the environment says where Holdfast is. */
let elsewhere: string

before(async () => {
  elsewhere = mkdtempSync(join(tmpdir(), 'holdfast-elsewhere-'))
  lab = await startLab({ era: 'modern' })
  node = await startNode({
    yaml: `
servers: { lab: { url: ${lab.url}, timeout: 5s, tools: { big: { effect: write } } } }
roles: { all: { allow: ["*"] } }
agents:
  dev: { roles: [all], readHistory: true }
  bot: { roles: [all] }
`,
  })
})

after(async () => {
  await node?.[Symbol.asyncDispose]()
  await lab?.stop()
  rmSync(elsewhere, { recursive: true, force: true })
})

type Ran = { readonly exit: number | null; readonly out: string; readonly err: string }

async function holdfast(words: readonly string[], env: Record<string, string> = here(), stdin = ''): Promise<Ran> {
  const child = spawn(process.execPath, [bin, ...words], {
    cwd: elsewhere,
    env: { PATH: process.env['PATH'], ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  child.stdin.end(stdin)
  let out = ''
  let err = ''
  child.stdout.on('data', chunk => (out += String(chunk)))
  child.stderr.on('data', chunk => (err += String(chunk)))
  const exit = await new Promise<number | null>(resolve => child.once('close', resolve))
  assert.doesNotMatch(out + err, /^ +at |node:internal|should not happen/m)
  return { exit, out, err }
}

const here = () => ({
  HOLDFAST_DATA: join(node.folder, 'data'),
  HOLDFAST_CONFIG: join(node.folder, 'holdfast.yaml'),
})

async function json(words: readonly string[], env?: Record<string, string>) {
  const { exit, out, err } = await holdfast([...words, '--json'], env)
  assert.equal(exit, 0, err)
  return JSON.parse(out)
}

/** One plain sentence on stderr, nothing on stdout. */
function assertSentence({ exit, out, err }: Ran, words: RegExp): void {
  assert.equal(exit, 1, err)
  assert.equal(out, '')
  assert.match(err, words)
  assert.equal(err.trimEnd().split('\n').length, 1, err)
}

test('check: a good configuration is fine; a bad one is told in full, with line and column, and exit code 1', async () => {
  const good = await holdfast(['check'])
  assert.equal(good.exit, 0, good.err)
  assert.match(good.out, /is fine \(version /)
  assert.equal((await json(['check'])).ok, true)

  const bad = join(elsewhere, 'bad.yaml')
  writeFileSync(
    bad,
    'servers:\n  pay: { urll: x }\nroles: { r: { allow: ["pay:*"] } }\nagents:\n  a: { roles: [rr] }\nx: 1\n',
  )
  const told = await holdfast(['check', bad])
  assert.equal(told.exit, 1)
  for (const line of [
    /bad\.yaml:2:10: unknown setting `urll`/,
    /bad\.yaml:5:\d+: there is no role `rr`/,
    /bad\.yaml:6:1: unknown/,
  ]) {
    assert.match(told.out, line)
  }
  const asJson = await holdfast(['check', bad, '--json'])
  assert.equal(asJson.exit, 1)
  const { ok, problems } = JSON.parse(asJson.out)
  assert.equal(ok, false)
  assert.equal(problems.length, told.out.trimEnd().split('\n').length)
})

test('keys: one that is made works over MCP at once, is listed without its secret, and stops within seconds of its revocation', async () => {
  const made = await json(['keys', 'create', '--agent', 'bot', '--name', 'e2e', '--expires', '1d'])
  assert.match(made.key, /^hf_/)
  const client = await node.modern({ path: '/lab', key: made.key })
  const write = () => client.callTool({ name: 'write', arguments: { idempotency_key: 'by-bot' } })
  const answer = await write()
  assert.equal(outcomeOf(answer).state, 'succeeded')

  const listed = await holdfast(['keys', 'list'])
  assert.equal(listed.exit, 0, listed.err)
  assert.match(listed.out, new RegExp(`^${made.keyId} +active +bot `, 'm'))
  assert.ok(!listed.out.includes(made.key.split('_')[2]))
  const entries = await json(['keys', 'list'])
  assert.equal(entries.find((entry: { keyId: string }) => entry.keyId === made.keyId).state, 'active')

  const revoked = await holdfast(['keys', 'revoke', made.keyId])
  assert.equal(revoked.exit, 0, revoked.err)
  const at = performance.now()
  const { mcp, outcomes } = node.ready()
  await eventually(
    async () => {
      const { status } = await fetch(`${outcomes}/lab/by-bot`, { headers: { authorization: `Bearer ${made.key}` } })
      return status === 401 ? true : undefined
    },
    { withinMs: 5_000, what: 'the end of the key' },
  )
  assert.ok(performance.now() - at < 3_000, `it worked for ${(performance.now() - at).toFixed(0)} ms more`)
  const refused = await fetch(mcp, { method: 'POST', headers: { authorization: `Bearer ${made.key}` }, body: '{}' })
  assert.equal(refused.status, 401)
  assert.match(refused.headers.get('www-authenticate') ?? '', /^Bearer/)
  await assert.rejects(write())
  assertSentence(await holdfast(['keys', 'revoke', 'nobody']), /^There is no key nobody/)
  assertSentence(await holdfast(['keys', 'create', '--agent', 'bto']), /^There is no agent bto .*bot/)
})

test('a key of an agent that may not read the history opens MCP and not SQL, and each making and ending is on record', async () => {
  const { key, keyId } = await json(['keys', 'create', '--agent', 'bot'])
  const { sql } = node.ready()
  const response = await fetch(sql, { method: 'POST', headers: { authorization: `Bearer ${key}` }, body: 'select 1' })
  assert.equal(response.status, 403)
  assertSentence(await holdfast(['sql', 'select 1', '--key', key]), /bot may not read the history/)
  await json(['keys', 'revoke', keyId])
  const recorded = await eventually(
    async () => {
      const rows = await node.sql<{ type: string }>(
        `select type from holdfast.events where stream like '%${keyId}%' order by sequence`,
      )
      return rows.length >= 2 ? rows : undefined
    },
    { what: 'the events of the key' },
  )
  assert.deepEqual(
    recorded.map(({ type }) => type),
    ['key.created', 'key.revoked'],
  )
})

test('outcome: by key and by call, a key that never ran, and what is wrong with a question', async () => {
  const client = await node.legacy({ path: '/lab' })
  const answer = await client.callTool({ name: 'write', arguments: { a: 1, idempotency_key: 'asked by cli/#' } })
  const { callId } = outcomeOf(answer)
  const byKey = await holdfast(['outcome', 'lab', 'asked by cli/#'])
  assert.equal(byKey.exit, 0, byKey.err)
  assert.match(byKey.out, /^succeeded\n/)
  assert.match(byKey.out, new RegExp(callId))
  const byCall = await json(['outcome', '--call', callId])
  assert.equal(byCall.state, 'succeeded')
  assert.equal(byCall.key, 'asked by cli/#')
  assert.deepEqual(byCall.result.content, answer.content)

  const absent = await holdfast(['outcome', 'lab', 'never-ran'])
  assert.equal(absent.exit, 0, absent.err)
  assert.match(absent.out, /^not_found\n/)
  assertSentence(await holdfast(['outcome', 'lba', 'k']), /There is no server "lba"/)
  assertSentence(await holdfast(['outcome', 'lab', 'k', '--key', 'wrong']), /unauthorized/)
  assert.equal((await holdfast(['outcome'])).exit, 2)
})

test('report: counts what happened and what did not', async () => {
  const client = await node.modern({ path: '/lab' })
  await client.callTool({ name: 'write', arguments: { report: 1, idempotency_key: 'report-done' } })
  await client.callTool({ name: 'fail', arguments: { idempotency_key: 'report-failed' } })
  await client.callTool({
    name: 'write',
    arguments: { report: 2, behave: 'reset_after', idempotency_key: 'report-lost' },
  })
  const report = await json(['report', '--since', '1h'])
  const keysIn = (list: string) => report[list].map((entry: { key: string }) => entry.key)
  assert.ok(keysIn('confirmed').includes('report-done'))
  assert.ok(keysIn('failed').includes('report-failed'))
  assert.ok(keysIn('unknown').includes('report-lost'))
  const told = await holdfast(['report'])
  assert.equal(told.exit, 0, told.err)
  assert.match(told.out, /^unknown +lab:write +report-lost /m)
  assert.match(told.out, / 1 failed, .* 1 unknown\./)
})

test('sql: tables and JSON from the running history; a wrong or forbidden query is one line', async () => {
  const rows = await eventually(
    async () => {
      const { data } = await json(['sql', `select state from holdfast.calls where idempotency_key = 'report-lost'`])
      return data.length > 0 ? data : undefined
    },
    { what: 'the row of report-lost' },
  )
  assert.deepEqual(rows, [{ state: 'unknown' }])
  const table = await holdfast(['sql', 'select 1 as one'])
  assert.match(table.out, /one/)
  assert.equal((await holdfast(['sql', '-'], here(), 'select 2 format TSV')).out, '2\n')
  assertSentence(await holdfast(['sql', 'drop table holdfast.events']), /can only be read/)
  assertSentence(await holdfast(['sql', 'select nonsense']), /nonsense/)
})

test('tools: what each tool is taken for and who says so', async () => {
  const { exit, out, err } = await holdfast(['tools'])
  assert.equal(exit, 0, err)
  assert.match(out, /^lab:write +write +nobody says otherwise$/m)
  assert.match(out, /^lab:echo +read +the server says readOnlyHint: true$/m)
  assert.match(out, /^lab:big +write +the configuration says so$/m)
  const [listed] = await json(['tools', 'lab'])
  assert.equal(listed.server, 'lab')
  assert.deepEqual(listed.tools.map(({ tool }: { tool: string }) => tool).toSorted(), [
    'ask',
    'big',
    'echo',
    'fail',
    'find',
    'write',
  ])
  assertSentence(await holdfast(['tools', 'lba']), /^There is no server lba .*lab/)
})

test('where nothing runs every command that asks says so in a sentence', async () => {
  const nowhere = { HOLDFAST_DATA: join(elsewhere, 'none') }
  for (const words of [['outcome', 'lab', 'k'], ['report'], ['sql', 'select 1'], ['keys', 'list']]) {
    assertSentence(await holdfast(words, nowhere), /^Holdfast is not running here/)
  }
  assertSentence(
    await holdfast(['report', '--url', 'http://127.0.0.1:1', '--key', 'k'], nowhere),
    /^Nothing answers at /,
  )
  assert.equal((await holdfast(['outcmoe'], nowhere)).exit, 2)
})
