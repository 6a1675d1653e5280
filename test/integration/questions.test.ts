/** Every question of docs/queries.md, asked over the SQL endpoint as `holdfast ask` does, over a day that is known. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { auditDefaults } from '../../services/audit/config.ts'
import { sqlHandler } from '../../services/audit/http.ts'
import { flagOf, type ParameterName, parametersOf, questions } from '../../services/audit/questions/catalogue.ts'
import { createGate } from '../../services/audit/sql/gate.ts'
import { insertEvents } from '../../shared/clickhouse/events.ts'
import { runCli } from '../helpers/cli.ts'
import { asRecord, openHistory, rowOf, silent, temporaryFolder, unrecorded } from '../helpers/clickhouse.ts'
import { testListener } from '../helpers/listener.ts'
import { day, officeDay } from '../helpers/office-day.ts'

type Values = Partial<Record<ParameterName, string>>
type Cell = string | number | null
type Expected = { readonly given?: Values; readonly columns: string; readonly rows: readonly (readonly Cell[])[] }

/** The answers over `officeDay`, counted by hand. */
const answers: Readonly<Record<string, Expected>> = {
  'agent-window': {
    given: { agent: 'support-bot' },
    columns: 'call_id state of',
    rows: [
      ['acme-A', 'succeeded', ''],
      ['acme-B', 'succeeded', ''],
      ['acme-B2', 'attached', 'acme-B'],
      ['acme-B3', 'succeeded', 'acme-B'],
      ['acme-E', 'not_executed', ''],
      ['acme-E2', 'failed', ''],
      ['acme-R', 'succeeded', ''],
    ],
  },
  'unknown-outcomes': {
    columns: 'operation_id doubt state evidence settled_at settled_by reason',
    rows: [
      ['acme-A', 'timeout', 'succeeded', 'person', '2026-11-24 10:06:00.000', 'anna', 'seen in the books'],
      ['acme-C', 'connection_lost', 'succeeded', 'late_answer', '2026-11-24 10:20:41.000', '', ''],
      ['acme-D', 'connection_lost', 'unknown', '', null, '', ''],
    ],
  },
  'without-authority': { columns: 'call_id agent lacks', rows: [['acme-F', 'ops-bot', 'rule']] },
  refusals: {
    columns: 'call_id type code policy_rule',
    rows: [
      ['acme-D2', 'call.conflicted', 'possible_duplicate', 'payments:*'],
      ['acme-X', 'call.denied', 'denied', '!payments:close_account'],
      ['acme-Y', 'call.not_accepted', 'idempotency_key_required', 'payments:*'],
    ],
  },
  'who-touched': {
    given: { subject: 'ada' },
    columns: 'call_id agent state',
    rows: [
      ['acme-A', 'support-bot', 'succeeded'],
      ['acme-E', 'support-bot', 'not_executed'],
      ['acme-E2', 'support-bot', 'failed'],
    ],
  },
  'history-reads': { columns: 'agent type statement rows', rows: [['auditor', 'history.queried', 'select 1', 7]] },
  'settled-by-people': {
    columns: 'operation_id person state reason',
    rows: [['acme-A', 'anna', 'succeeded', 'seen in the books']],
  },
  'sent-more-than-once': { columns: 'operation_id attempts epoch round state', rows: [['acme-E', 2, 2, 1, 'failed']] },
  'key-changes': { columns: 'type agent credential', rows: [['key.created', 'support-bot', 'c0ffee']] },
  'policy-versions': {
    columns: 'policy_version first_used calls',
    rows: [
      ['v1', '2026-11-24 10:01:00.000', 13],
      ['v2', '2026-11-24 10:57:00.000', 1],
    ],
  },
  'missing-steps': { columns: 'stream last recorded', rows: [['acme-G', 3, 2]] },
  'one-key': {
    given: { idempotency_key: 'invoice-2' },
    columns: 'type sequence call_id',
    rows: [
      ['call.dispatched', 1, 'acme-B'],
      ['call.attached', 1, 'acme-B2'],
      ['call.succeeded', 2, 'acme-B'],
      ['call.replayed', 1, 'acme-B3'],
    ],
  },
  'one-call': {
    given: { call: 'acme-D' },
    columns: 'type call_id code',
    rows: [
      ['call.dispatched', 'acme-D', ''],
      ['call.lost', 'acme-D', 'connection_lost'],
      ['call.conflicted', 'acme-D2', 'possible_duplicate'],
    ],
  },
  'duplicates-prevented': {
    columns: 'agent tool replayed attached same_change_other_key other_change_same_key',
    rows: [
      ['support-bot', 'transfer', 1, 1, 0, 0],
      ['ops-bot', 'send', 0, 0, 1, 0],
    ],
  },
  'new-keys-after-doubt': { columns: 'agent client refused changes', rows: [['ops-bot', 'codex', 1, 1]] },
  'fan-out': {
    columns: 'conversation calls writes tools servers agents unknown',
    rows: [
      ['case-1', 7, 6, 2, 1, 1, 0],
      ['case-2', 7, 5, 4, 2, 1, 1],
    ],
  },
  conversation: {
    given: { conversation: 'case-1' },
    columns: 'call_id duration_ms',
    rows: [
      ['acme-A', 30_000],
      ['acme-B', 200],
      ['acme-B2', 100],
      ['acme-B3', 0],
      ['acme-E', 50],
      ['acme-E2', 400],
      ['acme-R', 40],
    ],
  },
  trace: { given: { trace: 'a'.repeat(32) }, columns: 'call_id agent', rows: [['acme-A', 'support-bot']] },
  'tool-definitions': {
    given: { server: 'payments' },
    columns: 'tool tool_hash first_seen calls',
    rows: [
      ['transfer', 'hash-1', '2026-11-24 10:01:00.000', 4],
      ['transfer', 'hash-2', '2026-11-24 10:40:00.000', 3],
    ],
  },
  'key-sources': {
    columns: 'agent key_source calls',
    rows: [
      ['ops-bot', 'argument', 3],
      ['ops-bot', 'meta', 1],
      ['ops-bot', 'none', 1],
      ['support-bot', 'argument', 6],
    ],
  },
  'tool-latency': {
    columns: 'tool effect ended p50_ms p99_ms failed without_answer percent',
    rows: [
      ['transfer', 'write', 5, 400, 30_000, 1, 0, 20],
      ['send', 'write', 2, 2_000, 2_000, 0, 1, 50],
      ['get_balance', 'read', 2, 40, 40, 0, 1, 50],
    ],
  },
  'open-unknowns': { columns: 'operation_id code attempts', rows: [['acme-D', 'connection_lost', 1]] },
  errors: {
    columns: 'server ended code times',
    rows: [
      ['mail', 'lost', 'connection_lost', 2],
      ['mail', 'not_accepted', 'idempotency_key_required', 1],
      ['payments', 'denied', 'denied', 1],
      ['payments', 'not_executed', 'not_sent', 1],
      ['payments', 'lost', 'timeout', 1],
      ['payments', 'failed', 'upstream_error', 1],
    ],
  },
  'lost-reads': { columns: 'call_id agent', rows: [['acme-S', 'ops-bot']] },
  traffic: {
    given: { interval: '1800' },
    columns: 'at calls writes succeeded failed unknown refused',
    rows: [
      ['2026-11-24 10:00:00', 5, 5, 4, 0, 0, 0],
      ['2026-11-24 10:30:00', 9, 6, 2, 1, 1, 3],
    ],
  },
  settling: {
    columns: 'server evidence operations median_seconds',
    rows: [
      ['mail', 'late_answer', 1, 40],
      ['mail', 'open', 1, null],
      ['payments', 'person', 1, 270],
    ],
  },
  'journal-delay': {
    columns: 'at rows p50_ms most_ms',
    rows: [
      ['2026-11-24 10:00:00', 56, 20, 20],
      ['2026-11-24 11:00:00', 4, 20, 20],
    ],
  },
  restarts: {
    columns: 'started_at stopped_at service policy_version',
    rows: [['2026-11-24 10:00:00.000', '2026-11-24 11:01:00.000', 'holdfast/single', 'v1']],
  },
  unreadable: {
    columns: 'reason commitment',
    rows: [['the value is not a JSON object', 'sha256:00']],
  },
}

test('the questions of docs/queries.md', async t => {
  await using folder = await temporaryFolder()
  await using clickhouse = await openHistory(folder.path)
  const records = officeDay().map((event, offset) =>
    asRecord(event, { partition: 0, offset, time: Date.parse(event.time) + 20 }),
  )
  await insertEvents(clickhouse, records.map(rowOf))
  const http = await testListener()
  t.after(() => http.close())
  http.serve(
    '/',
    sqlHandler({
      ...unrecorded,
      clickhouse,
      gate: createGate(auditDefaults.queries),
      exports: createGate(auditDefaults.exports),
      limits: auditDefaults.limits,
      authenticate: async secret =>
        secret === 'k' ? { agent: 'auditor', tenant: 'acme', readHistory: true } : undefined,
      log: silent,
    }),
  )
  const ask = (words: readonly string[]) =>
    runCli(['ask', ...words, '--url', http.url, '--key', 'k'], { cwd: folder.path })

  assert.deepEqual(Object.keys(answers).sort(), questions.map(({ name }) => name).sort())
  for (const question of questions) {
    const { given = {}, columns, rows } = answers[question.name] as Expected
    await t.test(`${question.name}: ${question.asks}`, async () => {
      const values = parametersOf(question).flatMap(name => {
        const value = given[name] ?? (name === 'from' || name === 'to' ? day[name] : undefined)
        return value === undefined ? [] : [`--${flagOf(name)}`, value]
      })
      const { exit, out, err } = await ask([question.name, ...values, '--json'])
      assert.equal(exit, 0, err)
      const { data } = JSON.parse(out) as { data: Record<string, Cell>[] }
      assert.deepEqual(
        data.map(row => columns.split(' ').map(column => row[column])),
        rows,
      )
    })
  }

  await t.test('values of others never become part of the statement', async () => {
    const name = "x' or 1 = 1 --\\\t\n{agent:String}"
    const { exit, out, err } = await ask(['agent-window', '--agent', name, '--from', '30d', '--json'])
    assert.equal(exit, 0, err)
    assert.deepEqual((JSON.parse(out) as { data: unknown[] }).data, [])
  })

  await t.test('alone it lists what can be asked; what it cannot ask it says', async () => {
    const { out } = await ask([])
    for (const { name, asks } of questions) assert.ok(out.includes(name) && out.includes(asks), name)
    assert.match((await ask(['tool-latency', '--sql'])).out, /quantileExact\(0\.99\)/)
    for (const [words, expected] of [
      [['fanout'], /There is no question fanout \(.*fan-out.*\); holdfast ask lists them/],
      [['agent-window'], /Say --agent: the agent/],
      [['trace', '--trace', 'a', '--agent', 'b'], /trace has no --agent: it has --trace/],
      [['traffic', '--from', 'tuesday'], /--from must be a duration such as 2h/],
      [['traffic', '--interval', '0'], /--interval must be a whole number/],
    ] as const) {
      const { exit, err } = await ask(words)
      assert.equal(exit, 2)
      assert.match(err, expected)
    }
  })

  await t.test('a table that was cut says so, how much of it is shown, and how to get all', async () => {
    const sql = (words: readonly string[]) =>
      runCli(['sql', ...words, '--url', http.url, '--key', 'k'], { cwd: folder.path })
    const cut = await sql(['select number from numbers(5000)', '--rows', '3'])
    assert.match(cut.out, /\nCUT: 3 of 5000 rows are shown\. All of them: --rows 5000, or --json/)
    const whole = await sql(['select number from numbers(3)', '--rows', '3'])
    assert.doesNotMatch(whole.out, /CUT|Showed/)
    assert.equal((await sql(['select 1 where 0'])).out, 'No rows.\n')
    const tooMany = await sql(['select number from numbers(200000)', '--json'])
    assert.equal(tooMany.exit, 1)
    assert.match(tooMany.err, /Nothing is cut here: ask for less .* holdfast export/)
  })
})
