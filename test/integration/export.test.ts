/** Exports over the embedded engine and over a server: every event once, whole or not at all, no faster than it is taken. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { auditDefaults } from '../../services/audit/config.ts'
import { exportEvents } from '../../services/audit/export/export.ts'
import { sqlHandler } from '../../services/audit/http.ts'
import { createGate } from '../../services/audit/sql/gate.ts'
import type { Clickhouse } from '../../shared/clickhouse/connect.ts'
import { insertEvents } from '../../shared/clickhouse/events.ts'
import type { Reader } from '../../shared/clickhouse/reader.ts'
import type { NewRecord } from '../../shared/journal/port.ts'
import { runCli } from '../helpers/cli.ts'
import {
  asRecord,
  openHistory,
  openServedHistory,
  rowOf,
  silent,
  temporaryFolder,
  unrecorded,
} from '../helpers/clickhouse.ts'
import { testListener } from '../helpers/listener.ts'
import { day, officeDay } from '../helpers/office-day.ts'

type Fields = Record<string, unknown>
type Ocsf = Fields & {
  readonly class_uid: number
  readonly message: string
  readonly activity_id: number
  readonly metadata: Fields
  readonly api: Fields
  readonly unmapped: Fields
}

const keys = new Map([
  ['k', { agent: 'auditor', tenant: 'acme', readHistory: true }],
  ['bot', { agent: 'bot', tenant: 'acme', readHistory: false }],
])

const span = { from: Date.parse(`${day.from}Z`), to: Date.parse(`${day.to}Z`) }
/** What a reader of one tenant may see of the day: once, though it was told twice. */
const expected = officeDay().filter(
  ({ tenant, time }, index, all) =>
    index < all.length / 2 && tenant !== 'globex' && Date.parse(time) >= span.from && Date.parse(time) < span.to,
)

async function fill(clickhouse: Clickhouse): Promise<void> {
  const records = officeDay().map((event, offset) => asRecord(event, { partition: 0, offset }))
  await insertEvents(clickhouse, records.map(rowOf))
}

test('exports over the embedded engine', async t => {
  await using folder = await temporaryFolder()
  await using clickhouse = await openHistory(folder.path)
  await fill(clickhouse)
  await exports(t, clickhouse)

  await t.test('a client that stops taking stops the engine, whatever there is', async () => {
    await clickhouse.client.command({
      query: `insert into holdfast.events (event_id, tenant, type, time, journal_time, journal_offset, arguments)
        select toString(number), 'many', 'call.requested', toDateTime64('2026-11-25 00:00:00', 3) + number / 100,
          '2026-11-25 00:00:00', number, repeat('x', 500) from numbers(20000)`,
    })
    let blocks = 0
    const counted = (reader: Reader): Reader => ({
      ...reader,
      async *stream(sql, format) {
        for await (const chunk of reader.stream(sql, format)) {
          blocks += 1
          yield chunk
        }
      },
    })
    const source = {
      openReader: async (options: Parameters<Clickhouse['openReader']>[0]) =>
        counted(await clickhouse.openReader(options)),
    }
    const many = { tenant: 'many', from: span.from, to: span.to + 86_400_000 }
    const taken = exportEvents({ clickhouse: source }, { ...many, format: 'jsonl' })
    await taken.next()
    await taken.return(undefined)
    assert.ok(blocks <= 2, `${blocks} blocks were read for the first`)
    let lines = 0
    let largest = 0
    for await (const chunk of exportEvents({ clickhouse: source }, { ...many, format: 'csv' })) {
      lines += String(chunk).split('\r\n').length - 1
      largest = Math.max(largest, chunk.length)
    }
    const ofTheService = expected.filter(({ tenant }) => tenant === '').length
    assert.equal(lines, 1 + 20_000 + ofTheService)
    // At most a granule of the table: 8,192 rows.
    assert.ok(largest < 8_192 * 1_000, `${largest} bytes were held at once`)
  })
})

test('exports over a server', async t => {
  await using folder = await temporaryFolder()
  await using clickhouse = await openServedHistory(folder.path)
  await fill(clickhouse)
  await exports(t, clickhouse)
})

async function exports(t: test.TestContext, clickhouse: Clickhouse): Promise<void> {
  await using folder = await temporaryFolder()
  const http = await testListener()
  t.after(() => http.close())
  const taken: string[] = []
  http.serve(
    '/',
    sqlHandler({
      ...unrecorded,
      journal: {
        append: async (records: readonly NewRecord[]) => {
          taken.push(...records.map(({ value }) => value))
          return []
        },
      },
      clickhouse,
      gate: createGate(auditDefaults.queries),
      exports: createGate(auditDefaults.exports),
      limits: auditDefaults.limits,
      authenticate: async secret => keys.get(secret),
      log: silent,
    }),
  )
  const take = (words: readonly string[]) =>
    runCli(['export', '--from', day.from, '--to', day.to, ...words, '--url', http.url, '--key', 'k'], {
      cwd: folder.path,
    })
  const ids = expected.map(({ stream, sequence }) => `${stream}:${sequence}`).sort()

  await t.test('JSON lines: every event of the tenant in the time asked for, once', async () => {
    const { out, exit, err } = await take(['--format', 'jsonl'])
    assert.equal(exit, 0, err)
    const rows = out
      .trimEnd()
      .split('\n')
      .map(line => JSON.parse(line) as Record<string, unknown>)
    assert.deepEqual(rows.map(row => row['event_id']).sort(), ids)
    const resolved = rows.find(row => row['type'] === 'call.resolved')
    assert.deepEqual([resolved?.['reason'], resolved?.['time']], ['seen in the books', '2026-11-24 10:06:00.000'])
  })

  await t.test('CSV: the same, names first, quotes doubled', async () => {
    const { out } = await take(['--format', 'csv'])
    const lines = out.trimEnd().split('\r\n')
    assert.ok(lines[0]?.startsWith('event_id,stream,sequence,type,'))
    assert.equal(lines.length, expected.length + 1)
    assert.ok(out.includes('"{""to"":""ada""}"'))
  })

  await t.test('OCSF: what the classes require is there, and each field at the place the table gives it', async () => {
    const { out } = await take(['--format', 'ocsf'])
    const events = out
      .trimEnd()
      .split('\n')
      .map(line => JSON.parse(line) as Ocsf)
    assert.equal(events.length, expected.length)
    for (const event of events) {
      for (const name of ['class_uid', 'category_uid', 'activity_id', 'type_uid', 'severity_id', 'time', 'metadata'])
        assert.ok(event[name] !== undefined, `${name} of ${event.message}`)
      assert.equal(event.type_uid, event.class_uid * 100 + event.activity_id)
      const needs = event.class_uid === 6002 ? ['app'] : ['actor', 'api', 'src_endpoint']
      for (const name of needs) assert.ok(event[name] !== undefined, `${name} of ${event.message}`)
      if (event.class_uid === 6003) assert.equal(typeof event.api.operation, 'string')
    }
    const sent = events.find(({ metadata }) => metadata.uid === 'acme-A:1')
    assert.deepEqual(
      { ...sent, metadata: undefined, unmapped: undefined },
      {
        metadata: undefined,
        unmapped: undefined,
        message: 'call.dispatched payments:transfer',
        category_uid: 6,
        class_uid: 6003,
        class_name: 'API Activity',
        activity_id: 99,
        activity_name: 'Write',
        type_uid: 600_399,
        status_id: 99,
        severity_id: 1,
        time: span.from + 60_000,
        start_time: span.from + 60_000,
        ai_agent: { uid: 'support-bot', instance_uid: 'case-1' },
        actor: { app_name: 'claude-code' },
        src_endpoint: { name: 'claude-code' },
        api: {
          service: { name: 'payments' },
          operation: 'transfer',
          version: 'hash-1',
          request: { uid: 'invoice-1', data: '{"to":"ada"}' },
        },
        policy: { name: 'payments:*', version: 'v1' },
        action_id: 1,
        trace: { uid: 'a'.repeat(32) },
      },
    )
    assert.equal(sent?.['unmapped'].call_id, 'acme-A')
    const lost = events.find(({ metadata }) => metadata.uid === 'acme-A:2')
    assert.deepEqual([lost?.['status_id'], lost?.['severity_id'], lost?.['status_code']], [0, 3, 'timeout'])
  })

  await t.test("Parquet: one file, readable by ClickHouse's own reader", async () => {
    const { exit, err } = await take(['--format', 'parquet', '--out', 'events.parquet'])
    assert.equal(exit, 0, err)
    const path = join(folder.path, 'events.parquet')
    assert.equal(readFileSync(path).subarray(0, 4).toString(), 'PAR1')
    assert.ok(!existsSync(`${path}.part`))
    const count = execFileSync(process.execPath, [
      '-e',
      `console.log(require('chdb').query("select count(), uniqExact(event_id), countIf(idempotency_key = 'invoice-1') from file('${path}', Parquet)", 'CSV'))`,
    ])
    assert.equal(count.toString().trim(), `${expected.length},${expected.length},4`)
  })

  await t.test('what cannot be exported is said', async () => {
    for (const [words, expectedError] of [
      [['--format', 'xml'], /--format must be one of csv, jsonl, parquet, ocsf/],
      [['--format', 'parquet'], /Say with --out where the Parquet file shall be/],
      [['--format', 'csv', '--to', '2026-11-01'], /--from must be before --to/],
    ] as const) {
      const { exit, err } = await take(words)
      assert.equal(exit, 2)
      assert.match(err, expectedError)
    }
    const nowhere = await take(['--format', 'csv', '--out', 'no/such/folder.csv'])
    assert.match(nowhere.err, /cannot be written \(ENOENT\): correct --out/)
    const asked = (search: string, key: string) =>
      fetch(`${http.url}/export?${search}`, { headers: { authorization: `Bearer ${key}` } })
    assert.equal((await asked('format=csv&from=1&to=2', 'nobody')).status, 401)
    assert.equal((await asked('format=csv&from=1&to=2', 'bot')).status, 403)
    assert.match(await (await asked('format=csv&from=2&to=1', 'k')).text(), /from before to/)
    assert.match(await (await asked('format=csv&from=0);drop&to=1', 'k')).text(), /times in milliseconds/)
  })

  await t.test('who took what is on record before it is given, without the key', async () => {
    taken.length = 0
    await (await fetch(`${http.url}/export?format=csv&from=1&to=2&password=k`)).text()
    const [record = ''] = taken
    const { agent, statement } = JSON.parse(record) as Fields
    assert.deepEqual([agent, statement], ['auditor', 'EXPORT format=csv from=1 to=2'])
  })
}
