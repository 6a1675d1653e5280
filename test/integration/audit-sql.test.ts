import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { gzipSync } from 'node:zlib'
import { ClickHouseError, ClickHouseLogLevel, createClient } from '@clickhouse/client'
import { auditDefaults } from '../../services/audit/config.ts'
import { sqlHandler } from '../../services/audit/http.ts'
import { createGate } from '../../services/audit/sql/gate.ts'
import type { Clickhouse } from '../../shared/clickhouse/connect.ts'
import { insertEvents } from '../../shared/clickhouse/events.ts'
import type { HoldfastEvent } from '../../shared/events/event.ts'
import {
  asRecord,
  openHistory,
  openServedHistory,
  rowOf,
  select,
  silent,
  temporaryFolder,
  unrecorded,
} from '../helpers/clickhouse.ts'
import { testListener } from '../helpers/listener.ts'

const keys = new Map([
  ['key-acme', { agent: 'auditor', tenant: 'acme', readHistory: true }],
  ['key-globex', { agent: 'auditor-2', tenant: 'globex', readHistory: true }],
  ['key-bot', { agent: 'bot', tenant: 'acme', readHistory: false }],
])

const event = (tenant: string, number: number): HoldfastEvent => ({
  type: 'call.denied',
  stream: `${tenant}-${number}`,
  sequence: 1,
  time: new Date(Date.UTC(2026, 10, 20, 10) + number * 1000).toISOString(),
  source: 'holdfast/front',
  tenant,
  agent: `${tenant}-bot`,
  callId: `${tenant}-${number}`,
  code: 'denied',
  arguments: JSON.stringify({ secret: `${tenant}-secret-${number}` }),
})

test('the SQL endpoint', async t => {
  await using folder = await temporaryFolder()
  await using clickhouse = await openHistory(folder.path)
  await endpoint(t, { clickhouse, folder: folder.path })
  await rightsOfTheEngine(t, clickhouse)
})

test('the SQL endpoint over a server', async t => {
  await using folder = await temporaryFolder()
  await using clickhouse = await openServedHistory(folder.path)
  await endpoint(t, { clickhouse, folder: folder.path })
})

type Endpoint = { readonly clickhouse: Clickhouse; readonly folder: string }

/** What holds whatever the history's store is. */
async function endpoint(t: test.TestContext, { clickhouse, folder }: Endpoint): Promise<void> {
  const events = [...Array(10).keys()].flatMap(number => [event('acme', number), event('globex', number)])
  await insertEvents(
    clickhouse,
    events.map((each, offset) => rowOf(asRecord(each, { partition: 0, offset }))),
  )
  const http = await testListener()
  http.serve(
    '/',
    sqlHandler({
      ...unrecorded,
      clickhouse,
      gate: createGate({ running: 1, waiting: 1 }),
      exports: createGate(auditDefaults.exports),
      limits: { ...auditDefaults.limits, seconds: 2, resultRows: 1_000, resultBytes: 1_000_000 },
      authenticate: async secret => keys.get(secret),
      log: silent,
    }),
  )
  t.after(() => http.close())

  const ask = async (
    sql: string,
    search = '',
    headers: Record<string, string> = { authorization: 'Bearer key-acme' },
  ) => {
    const response = await fetch(`${http.url}/?${search}`, { method: 'POST', body: sql, headers })
    return { status: response.status, text: await response.text(), headers: response.headers }
  }

  await t.test(
    'every place where a client of ClickHouse puts a password is read, and no other key opens it',
    async () => {
      const basic = (secret: string) => `Basic ${Buffer.from(`anyone:${secret}`).toString('base64')}`
      const places: [string, Record<string, string>][] = [
        ['', { authorization: 'Bearer key-acme' }],
        ['', { authorization: basic('key-acme') }],
        ['', { 'x-clickhouse-user': 'default', 'x-clickhouse-key': 'key-acme' }],
        ['user=default&password=key-acme', {}],
      ]
      for (const [search, headers] of places) assert.equal((await ask('SELECT 1', search, headers)).text, '1\n')
      const refused: [string, Record<string, string>][] = [
        ['', {}],
        ['', { authorization: basic('nope') }],
        ['password=', {}],
        ['', { 'x-clickhouse-key': 'key' }],
      ]
      for (const [search, headers] of refused) {
        const { status, text, headers: answered } = await ask('SELECT 1', search, headers)
        assert.equal(status, 401)
        assert.match(text, /^Code: 516\. DB::Exception: .*\(AUTHENTICATION_FAILED\)/)
        assert.equal(answered.get('x-clickhouse-exception-code'), '516')
      }
      const bot = await ask('SELECT 1', '', { authorization: 'Bearer key-bot' })
      assert.equal(bot.status, 403)
      assert.match(bot.text, /bot may not read the history/)
    },
  )

  await t.test('a reader sees the rows of its own tenant, in tables and views, whatever the query', async () => {
    const queries = [
      'SELECT DISTINCT tenant FROM holdfast.events',
      'SELECT DISTINCT tenant FROM events',
      'SELECT DISTINCT tenant FROM holdfast.calls',
      'SELECT DISTINCT tenant FROM (SELECT * FROM holdfast.events AS e)',
      'WITH everything AS (SELECT * FROM holdfast.events) SELECT DISTINCT tenant FROM everything',
      'SELECT DISTINCT a.tenant FROM holdfast.events a FULL JOIN holdfast.events b ON a.call_id = b.call_id',
      "SELECT DISTINCT tenant FROM holdfast.events WHERE tenant = 'globex' OR 1 = 1",
      "SELECT DISTINCT tenant FROM holdfast.events WHERE throwIf(tenant != 'acme') = 0",
    ]
    for (const query of queries) assert.equal((await ask(query)).text, 'acme\n', query)
    assert.equal((await ask('SELECT count() FROM events', '', { authorization: 'Bearer key-globex' })).text, '10\n')
    const leak = await ask("SELECT throwIf(arguments LIKE '%globex%', 'seen') FROM holdfast.events FORMAT Null")
    assert.equal(leak.status, 200)
  })

  await t.test('what is not reading, or reaches outside the history, is refused with a sentence', async () => {
    const outfile = join(folder, 'stolen.csv')
    const refused: [string, RegExp][] = [
      ["INSERT INTO holdfast.events (event_id) VALUES ('x')", /can only be read.*READONLY/],
      ['DROP TABLE holdfast.events', /can only be read/],
      ['ALTER TABLE holdfast.events DELETE WHERE 1', /can only be read/],
      ['TRUNCATE TABLE holdfast.events', /can only be read/],
      ['CREATE TABLE holdfast.mine (a Int8) ENGINE = Memory', /can only be read/],
      ['CREATE TEMPORARY TABLE mine (a Int8)', /can only be read/],
      ["ATTACH TABLE holdfast.mine FROM '/tmp' (a Int8) ENGINE = MergeTree ORDER BY a", /can only be read/],
      ['DETACH TABLE holdfast.events', /can only be read/],
      ['RENAME TABLE holdfast.events TO holdfast.gone', /can only be read/],
      ['OPTIMIZE TABLE holdfast.events', /can only be read/],
      ['SYSTEM FLUSH LOGS', /can only be read/],
      ['KILL QUERY WHERE 1', /can only be read/],
      ['SET readonly = 0', /can only be read/],
      ['USE system', /can only be read/],
      ['GRANT ALL ON *.* TO default', /can only be read/],
      ['EXECUTE AS default SELECT 1', /can only be read/],
      ['SELECT 1 PARALLEL WITH SELECT 2', /can only be read/],
      ["BACKUP TABLE holdfast.events TO Disk('x', 'y')", /can only be read/],
      ['SHOW PROCESSLIST', /can only be read/],
      ['SHOW GRANTS', /can only be read/],
      ["SHOW SETTINGS LIKE 'log%'", /SETTINGS is not available/],
      ['EXPLAIN ESTIMATE SELECT count() FROM holdfast.events', /can only be read/],
      ['EXPLAIN AST DROP TABLE holdfast.events', /SELECT only/],
      ['SELECT 1; SELECT 2', /Multi-statements are not allowed/],
      ['SELECT 1; DROP TABLE holdfast.events', /Multi-statements are not allowed/],
      [`SELECT 1 INTO OUTFILE '${outfile}'`, /INTO OUTFILE is not available/],
      [`SELECT 1 /* harmless */ INTO\n-- really\nOUTFILE '${outfile}' FORMAT CSV`, /INTO OUTFILE is not available/],
      [`EXPLAIN SELECT 1 INTO OUTFILE '${outfile}'`, /INTO OUTFILE is not available/],
      [`SHOW TABLES INTO OUTFILE '${outfile}'`, /INTO OUTFILE is not available/],
      ["SELECT file('/etc/hostname')", /file is not available/],
      ["SELECT FILE('/etc/hostname')", /not available/],
      ["SELECT arrayMap(file, ['/etc/hostname'])", /file is not available/],
      ["SELECT arrayMap(`file`, ['/etc/hostname'])", /file is not available/],
      ["SELECT COLUMNS('x') APPLY file FROM (SELECT '/etc/hostname' AS x)", /file is not available/],
      ["SELECT * FROM file('/etc/hostname', 'LineAsString')", /not available/],
      ["SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString', 'a String')", /not available/],
      ["SELECT * FROM s3('http://127.0.0.1:1/x', 'CSV', 'a String')", /not available/],
      ["SELECT * FROM remote('127.0.0.1', holdfast.events)", /not available/],
      ["SELECT * FROM mysql('127.0.0.1:1', 'a', 'b', 'c', 'd')", /not available/],
      ["SELECT * FROM executable('x', 'TSV', 'a String')", /not available/],
      ["SELECT * FROM merge('holdfast', 'events')", /table function merge is not available/],
      ["SELECT * FROM mergeTreeIndex('holdfast', 'events')", /table function mergeTreeIndex is not available/],
      ["SELECT * FROM cluster('default', holdfast.events)", /table function cluster is not available/],
      ["SELECT * FROM loop('holdfast', 'events')", /table function loop is not available/],
      ['DESCRIBE TABLE s3Cluster(a)', /table function s3Cluster is not available/],
      ["SELECT dictGet('x', 'y', 1)", /dictGet is not available/],
      ["SELECT joinGet('holdfast.events', 'n', 1)", /joinGet is not available/],
      ['SELECT sleep(3)', /sleep is not available/],
      ['SELECT * FROM system.processes', /system\.processes is not available/],
      ['SELECT * FROM `system`.`parts`', /system\.parts is not available/],
      ["SELECT 'a' IN system.users", /system\.users is not available/],
      ['DESCRIBE TABLE system.query_log', /system\.query_log is not available/],
      ['SELECT * FROM {t:Identifier}', /system\.parts is not available/],
      ['SELECT * FROM holdfast.events SETTINGS max_result_rows = 0', /SETTINGS is not available/],
      ['SELECT * FROM (SELECT 1 SETTINGS max_threads = 1)', /SETTINGS is not available/],
      ['SELECT * FROM holdfast.events PREWHERE 1', /Write WHERE/],
      ['SELECT 1 \0', /NUL/],
      ['SELECTT 1', /Code: 62\. DB::Exception: Syntax error/],
      ['', /Send one SQL statement/],
    ]
    for (const [sql, expected] of refused) {
      const { status, text, headers } = await ask(sql, 'param_t=system.parts')
      assert.match(text, expected, sql)
      assert.match(text, /^Code: \d+\. DB::Exception: [^]*\([A-Z_]+\)\n$/, sql)
      assert.ok(status >= 400, sql)
      assert.equal(headers.get('x-clickhouse-exception-code'), /\d+/.exec(text)?.[0])
    }
    assert.equal(existsSync(outfile), false)
    const [row] = await select<{ rows: string }>(clickhouse, 'select toString(count()) as rows from holdfast.events')
    assert.equal(row?.rows, '20')
  })

  await t.test(
    'every function of the engine that asks a model or a dictionary is refused, a later one too',
    async () => {
      const outside = await ask(
        "SELECT name FROM system.functions WHERE categories IN ('AI', 'Dictionary', 'Embedded Dictionary')",
      )
      const names = outside.text.trim().split('\n')
      assert.ok(names.length > 20)
      for (const name of names) {
        assert.match((await ask(`SELECT ${name}(1)`)).text, /is not available here.*ACCESS_DENIED/, name)
      }
    },
  )

  await t.test("limits are errors with the engine's own code, never a cut answer", async () => {
    const rows = await ask('SELECT number FROM numbers(2000)')
    assert.match(rows.text, /^Code: 396\. .*\(TOO_MANY_ROWS_OR_BYTES\)\n$/)
    const bytes = await ask('SELECT randomPrintableASCII(10000) FROM numbers(900)')
    assert.match(bytes.text, /^Code: 396\./)
    const time = await ask('SELECT count() FROM numbers(100000000000) WHERE sipHash64(number) = 1')
    assert.match(time.text, /^Code: 159\. .*\(TIMEOUT_EXCEEDED\)\n$/)
    assert.equal(time.status, 408)
    const memory = await ask('SELECT length(groupArray(number)) FROM numbers(100000000)')
    assert.match(memory.text, /^Code: 241\. .*\(MEMORY_LIMIT_EXCEEDED\)\n$/)
    const long = await ask(`SELECT '${'x'.repeat(300_000)}'`)
    assert.equal(long.status, 413)
  })

  await t.test('a full house is told so at once', async () => {
    const slow = 'SELECT count() FROM numbers(100000000000) WHERE sipHash64(number) = 1'
    const answers = await Promise.all([ask(slow), ask(slow), ask('SELECT 1')])
    assert.equal(answers.filter(({ text }) => text.startsWith('Code: 202.')).length, 1)
    assert.equal((await ask('SELECT 1')).text, '1\n')
  })

  await t.test('statement, parameters, formats and headers as ClickHouse has them', async () => {
    const get = await fetch(
      `${http.url}/?query=${encodeURIComponent('SELECT 1 AS a FORMAT JSONEachRow')}&password=key-acme`,
    )
    assert.equal(await get.text(), '{"a":1}\n')
    assert.equal(get.headers.get('x-clickhouse-format'), 'JSONEachRow')
    assert.equal((await ask(' FORMAT CSV', `query=${encodeURIComponent('SELECT 1, 2')}`)).text, '1,2\n')
    const shaped = await ask(
      'SELECT {a:String} AS s, {b:Array(UInt8)} AS l, {c:DateTime64(3)} AS c',
      `param_a=${encodeURIComponent("o'\\nclock")}&param_b=[1,2]&param_c=2026-11-20 10:00:00.125&default_format=JSONCompactEachRow&query_id=mine-1&wait_end_of_query=1&max_result_rows=99999999`,
    )
    assert.equal(shaped.text, '["o\'\\nclock", [1,2], "2026-11-20 10:00:00.125"]\n')
    assert.equal(shaped.headers.get('x-clickhouse-query-id'), 'mine-1')
    assert.equal(shaped.headers.get('x-clickhouse-format'), 'JSONCompactEachRow')
    const summary = JSON.parse(
      (await ask('SELECT count() FROM events')).headers.get('x-clickhouse-summary') ?? '{}',
    ) as Record<string, string>
    assert.equal(typeof summary['read_rows'], 'string')
    assert.equal(
      (await ask("SELECT ' FORMAT CSV' AS x", 'default_format=TSV')).headers.get('x-clickhouse-format'),
      'TSV',
    )
    assert.match((await ask('SELECT 1', 'database=system')).text, /UNKNOWN_DATABASE/)
    assert.equal((await ask("SELECT toUInt64('secret')")).text.match(/\([A-Z_]+\)/g)?.length, 1)
    assert.match((await ask('SELECT 1', 'max_ast_depth=1')).text, /cannot be set here/)
    assert.equal(
      (await ask('SELECT toUInt64(1) AS a', 'default_format=JSONEachRow&output_format_json_quote_64bit_integers=1'))
        .text,
      '{"a":"1"}\n',
    )
    const packed = await fetch(`${http.url}/?enable_http_compression=1`, {
      method: 'POST',
      body: gzipSync('SELECT 1'),
      headers: { authorization: 'Bearer key-acme', 'content-encoding': 'gzip', 'accept-encoding': 'gzip' },
    })
    assert.equal(packed.headers.get('content-encoding'), 'gzip')
    assert.equal(await packed.text(), '1\n')
  })

  await t.test('health needs no key', async () => {
    assert.equal(await (await fetch(`${http.url}/ping`)).text(), 'Ok.\n')
    assert.equal((await fetch(`${http.url}/livez`)).status, 200)
    assert.equal((await fetch(`${http.url}/readyz`)).status, 200)
    assert.equal((await fetch(`${http.url}/nothing`)).status, 404)
  })

  await t.test("ClickHouse's own client works: rows, parameters, streams, compression, errors", async () => {
    for (const compression of [false, true]) {
      const client = createClient({
        url: http.url,
        username: 'default',
        password: 'key-acme',
        database: 'holdfast',
        compression: { response: compression, request: false },
        log: { level: ClickHouseLogLevel.OFF },
      })
      assert.equal((await client.ping({ select: true })).success, true)
      assert.equal((await client.ping()).success, true)
      const result = await client.query({
        query: 'SELECT call_id, agent FROM calls WHERE call_id = {id:String} ORDER BY call_id',
        query_params: { id: 'acme-3' },
        format: 'JSONEachRow',
      })
      assert.deepEqual(await result.json(), [{ call_id: 'acme-3', agent: 'acme-bot' }])
      const json = await (
        await client.query({ query: 'SELECT count() AS n FROM holdfast.events', format: 'JSON' })
      ).json<{ n: string }>()
      assert.equal(Number(json.data[0]?.n), 10)
      let streamed = 0
      for await (const rows of (
        await client.query({ query: 'SELECT number FROM numbers(500)', format: 'JSONCompactEachRow' })
      ).stream())
        streamed += rows.length
      assert.equal(streamed, 500)
      await assert.rejects(client.command({ query: 'DROP TABLE holdfast.events' }), (error: unknown) => {
        assert.ok(error instanceof ClickHouseError)
        assert.equal(error.code, '164')
        assert.equal(error.type, 'READONLY')
        return true
      })
      await assert.rejects(
        client.insert({ table: 'holdfast.events', values: [{ event_id: 'x' }], format: 'JSONEachRow' }),
        /can only be read/,
      )
      await assert.rejects(
        client.query({ query: 'SELECT nothing FROM events' }),
        (error: unknown) => error instanceof ClickHouseError && error.type === 'UNKNOWN_IDENTIFIER',
      )
      await client.close()
    }
  })

  await t.test("what Grafana's data source asks is answered", async () => {
    const questions: [string, RegExp][] = [
      ['SELECT displayName(), version(), revision(), timezone()', /\t\d+\.\d+\.[^\t]*\t\d+\tUTC\n$/],
      ['SELECT timeZone()', /^UTC\n$/],
      ['SELECT version()', /^\d+\./],
      ['SHOW DATABASES', /holdfast/],
      ['SHOW TABLES FROM "holdfast"', /^attempts\ncalls\ncheckpoints\nevents\n/],
      ['DESC TABLE "holdfast"."calls"', /^call_id\tString/],
      ["SELECT name, type FROM system.columns WHERE database = 'holdfast' AND table = 'events'", /agent/],
      ["SELECT name FROM system.tables WHERE database = 'holdfast'", /operations/],
      ['SELECT DISTINCT server FROM "holdfast"."calls" LIMIT 1000', /^\n$/],
      [
        'SELECT toStartOfInterval(toDateTime(requested_at), INTERVAL 60 second) AS time, count(*) AS calls FROM holdfast.calls WHERE (requested_at >= toDateTime(1700000000)) AND (requested_at <= toDateTime(1900000000)) GROUP BY time ORDER BY time ASC',
        /^2026-11-20 10:00:00\t10\n$/,
      ],
      [
        'SELECT time AS log_time, reason AS log_line FROM holdfast.events WHERE time >= fromUnixTimestamp64Milli(1700000000000) ORDER BY time DESC LIMIT 100',
        /2026-11-20/,
      ],
      ['EXPLAIN SELECT * FROM holdfast.calls', /Read/],
      ['SHOW CREATE TABLE holdfast.events', /CREATE TABLE holdfast\.events/],
      ['EXISTS TABLE holdfast.calls', /^1\n$/],
      ["SELECT * FROM information_schema.tables WHERE table_schema = 'holdfast' AND table_name = 'calls'", /calls/],
    ]
    for (const [sql, expected] of questions) assert.match((await ask(sql)).text, expected, sql)
    const native = await fetch(`${http.url}/?default_format=Native&client_protocol_version=54460&database=holdfast`, {
      method: 'POST',
      body: 'SELECT 1',
      headers: { 'x-clickhouse-user': 'default', 'x-clickhouse-key': 'key-acme' },
    })
    assert.equal(native.status, 200)
  })
}

/** What only the embedded engine adds: row policies and grants. */
async function rightsOfTheEngine(t: test.TestContext, clickhouse: Clickhouse): Promise<void> {
  await t.test(
    'even unjudged, the connection of a reader cannot write, lift its limits or change its tenant',
    async () => {
      const reader = await clickhouse.openReader({
        tenant: 'acme',
        limits: auditDefaults.limits,
        parameters: new Map(),
        settings: new Map(),
      })
      const attempts = [
        "SET log_comment = 'globex'",
        'SET readonly = 0',
        'SET max_memory_usage = 0',
        "SELECT 1 SETTINGS log_comment = 'globex'",
        "INSERT INTO holdfast.events (event_id) VALUES ('x')",
        'DROP TABLE holdfast.events',
        "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString', 'a String')",
        "SELECT * FROM file('/etc/hostname', 'LineAsString')",
      ]
      for (const sql of attempts) await assert.rejects(reader.run(sql, 'TSV'), /READONLY|ACCESS_DENIED/, sql)
      const merged = await reader.run("SELECT DISTINCT tenant FROM merge('holdfast', 'events')", 'TSV')
      assert.equal(Buffer.from(merged.bytes).toString(), 'acme\n')
      const early = await reader.run("SELECT DISTINCT tenant FROM events PREWHERE throwIf(tenant != 'acme') = 0", 'TSV')
      assert.equal(Buffer.from(early.bytes).toString(), 'acme\n')
      reader.close()
    },
  )

  await t.test('the service itself may insert and read, and nothing else', async () => {
    for (const query of [
      'drop table holdfast.events',
      'alter table holdfast.events delete where 1',
      'truncate table holdfast.events',
      'create table holdfast.x (a Int8) engine = Memory',
      'optimize table holdfast.events',
      'drop database holdfast',
    ]) {
      await assert.rejects(clickhouse.client.command({ query }), /Not enough privileges/, query)
    }
  })
}
