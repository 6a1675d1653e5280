import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { after, before } from 'node:test'
import { auditDefaults } from '../../services/audit/config.ts'
import { type Audit, start as startAudit } from '../../services/audit/start.ts'
import { type Rendered, renderOutcome, renderReport } from '../../services/front/outcome/render.ts'
import { codes } from '../../shared/call/codes.ts'
import type { OutcomeRecord } from '../../shared/call/record.ts'
import type { Listener } from '../../shared/internal/listener.ts'
import { runCli } from '../helpers/cli.ts'
import { silent } from '../helpers/clickhouse.ts'
import { testListener } from '../helpers/listener.ts'
import { createMemoryJournal } from './audit-memory-journal.ts'

const key = 'hf_the_key'
const common = {
  operationId: '01A',
  fingerprint: 'ff',
  epoch: 1,
  round: 1,
  sequence: 2,
  attempts: 1,
  firstSeenAt: 1_795_000_000_000,
  callId: '01A',
}
const about = {
  tenant: 'default',
  keyspace: 'bot',
  agent: 'bot',
  conversation: undefined,
  server: 'pay',
  tool: 'transfer',
  expiresAt: undefined,
  expired: false,
}
const succeeded: OutcomeRecord = {
  ...about,
  key: 'invoice 1042/ü?',
  operation: { ...common, state: 'succeeded', finishedAt: 1_795_000_001_000, evidence: 'upstream' },
  answer: { kind: 'result', raw: '{"content":[],"big":12345678901234567890}' },
}
const unknown: OutcomeRecord = {
  ...about,
  key: 'invoice-7',
  operation: { ...common, operationId: '01B', callId: '01B', state: 'unknown', code: 'timeout', owner: 'b1' },
  answer: undefined,
}
const names = { serverOfScope: (name: string) => name }
const question = { by: 'key', servers: ['pay'], key: 'k' } as const

/** The HTTP API as front renders it, over two records; it keeps what it was asked. */
const asked: URL[] = []
function answer(url: URL): Rendered {
  asked.push(url)
  const [, , what, server, given] = url.pathname.split('/').map(decodeURIComponent)
  if (what === 'report')
    return renderReport(
      { since: Date.parse(url.searchParams.get('since') ?? ''), records: [succeeded, unknown], limit: 200 },
      names,
    )
  if (server !== undefined && server !== 'pay')
    return problem('bad_request', `There is no server ${JSON.stringify(server)} here.`)
  const record = [succeeded, unknown].find(
    each => each.key === given || each.operation.callId === url.searchParams.get('callId'),
  )
  if (given === 'later') return renderOutcome({ kind: 'unavailable' }, question, names)
  return renderOutcome(record ? { kind: 'record', record } : { kind: 'not_found' }, question, names)
}
const problem = (code: 'bad_request' | 'unauthorized', message: string): Rendered => ({
  http: codes[code].http,
  text: JSON.stringify({ code, message }),
})

let cwd: string
let api: Server
let listener: Listener
let audit: Audit
let here: { cwd: string; env: Record<string, string> }

before(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'holdfast-cli-ask-'))
  api = createServer((request, response) => {
    const isKnown = request.headers.authorization === `Bearer ${key}`
    const { http, text } = isKnown
      ? answer(new URL(request.url ?? '', 'http://x'))
      : problem('unauthorized', 'The API key is wrong.')
    response.writeHead(http, { 'content-type': 'application/json' }).end(text)
  })
  await new Promise<void>(resolve => api.listen(0, '127.0.0.1', resolve))
  listener = await testListener()
  audit = await startAudit({
    config: auditDefaults,
    listener,
    journal: createMemoryJournal(),
    clickhouse: { path: join(cwd, 'history') },
    authenticate: async secret => (secret === key ? { agent: 'dev', tenant: 'default', readHistory: true } : undefined),
    log: silent,
  })
  const data = join(cwd, 'data')
  await mkdir(data)
  const outcomes = `http://127.0.0.1:${(api.address() as AddressInfo).port}/v1`
  await writeFile(join(data, 'ready.json'), JSON.stringify({ mcp: 'unused', outcomes, sql: audit.url, key }))
  here = { cwd, env: { HOLDFAST_DATA: data } }
})
after(async () => {
  await audit.stop()
  await listener.close()
  await new Promise(resolve => api.close(resolve))
  await rm(cwd, { recursive: true })
})

test('outcome finds a key with any characters and says first whether it happened', async () => {
  const { exit, out, err } = await runCli(['outcome', 'pay', 'invoice 1042/ü?'], here)
  assert.equal(exit, 0, err)
  assert.match(out, /^succeeded\n/)
  assert.match(out, /^ +tool +transfer$/m)
  assert.match(out, /^ +evidence +upstream$/m)
})

test('outcome by call says in words what an unknown means, and waits as long as it is told', async () => {
  const { exit, out } = await runCli(['outcome', '--call', '01B', '--wait', '30s'], here)
  assert.equal(exit, 0)
  assert.match(out, /^unknown \(timeout\)\nThe server did not answer within the time-out\. It may have happened/)
  assert.equal(asked.at(-1)?.searchParams.get('waitMs'), '30000')
})

test('outcome --json passes the record on byte for byte', async () => {
  const { out } = await runCli(['outcome', 'pay', 'invoice 1042/ü?', '--json'], here)
  assert.ok(out.includes('{"content":[],"big":12345678901234567890}'), out)
})

test('a key that never ran is an answer; what cannot be read, and a refusal, are failures in one sentence', async () => {
  const absent = await runCli(['outcome', 'pay', 'never'], here)
  assert.equal(absent.exit, 0)
  assert.match(absent.out, /^not_found\n/)
  const later = await runCli(['outcome', 'pay', 'later'], here)
  assert.equal(later.exit, 1)
  assert.match(later.err, /^Holdfast refused with status 503 \(outcome_unavailable\): /)
  const wrong = await runCli(['outcome', 'pya', 'k'], here)
  assert.equal(wrong.exit, 1)
  assert.equal(wrong.err, 'Holdfast refused with status 400 (bad_request): There is no server "pya" here.\n')
  const denied = await runCli(['report', '--key', 'another'], here)
  assert.equal(denied.exit, 1)
  assert.match(denied.err, /\(unauthorized\): The API key is wrong\.\n$/)
})

test('report counts and lists what is confirmed and what is not, since a time or for a duration', async () => {
  const { exit, out, err } = await runCli(['report', '--since', '2026-11-20T00:00:00Z', '--conversation', 'c1'], here)
  assert.equal(exit, 0, err)
  assert.match(out, /^Since 2026-11-20T00:00:00\.000Z: 1 confirmed, 0 failed, 0 not executed, 0 pending, 1 unknown\.$/m)
  assert.match(out, /^unknown +pay:transfer +invoice-7 +01B /m)
  assert.equal(asked.at(-1)?.searchParams.get('conversation'), 'c1')
  const before = Date.now()
  const { since } = JSON.parse((await runCli(['report', '--since', '2h', '--json'], here)).out)
  assert.ok(Math.abs(Date.parse(since) - (before - 7_200_000)) < 60_000, since)
})

test('an address where something else answers is one sentence', async () => {
  const { exit, err } = await runCli(['report', '--url', audit.url, '--key', key], here)
  assert.equal(exit, 1)
  assert.match(err, /does not answer like Holdfast \(status 404\)/)
})

test('sql prints a table, JSON, or the format the query asks for', async () => {
  const pretty = await runCli(['sql', "select 1 as one, 'ü' as text"], here)
  assert.equal(pretty.exit, 0, pretty.err)
  assert.match(pretty.out, /one.*text/)
  assert.match(pretty.out, /│.*1.*│.*ü/)
  assert.ok(!pretty.out.includes('\u001b'))
  const json = JSON.parse((await runCli(['sql', '--json', 'select count() as n from holdfast.calls'], here)).out)
  assert.deepEqual(json.data, [{ n: json.data[0].n }])
  assert.equal(Number(json.data[0].n), 0)
  assert.equal((await runCli(['sql', 'select 1, 2 format CSV'], here)).out, '1,2\n')
})

test('sql reads a query from standard input', async () => {
  assert.equal((await runCli(['sql', '-'], { ...here, stdin: "select 'from stdin' format TSV\n" })).out, 'from stdin\n')
})

test('a query that is refused or wrong is one line without a trace', async () => {
  for (const query of ['drop table holdfast.events', 'select nonsense', "select * from file('x')"]) {
    const { exit, out, err } = await runCli(['sql', query], here)
    assert.equal(exit, 1, query)
    assert.equal(out, '')
    assert.equal(err.trimEnd().split('\n').length, 1, err)
    assert.doesNotMatch(err, /^Code:|Stack trace/)
  }
})
