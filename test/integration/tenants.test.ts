/**
 * A reader sees the rows of its own tenant and those of the service, whatever it asks. Two lines of defence, each tried
 * alone: the filter of the connection, and the judge of statements before it.
 */
import assert from 'node:assert/strict'
import test from 'node:test'
import { auditDefaults } from '../../services/audit/config.ts'
import { createGate } from '../../services/audit/sql/gate.ts'
import { runSql } from '../../services/audit/sql/run.ts'
import { openTables, tenantTables } from '../../shared/clickhouse/chdb.ts'
import type { Clickhouse } from '../../shared/clickhouse/connect.ts'
import { insertEvents } from '../../shared/clickhouse/events.ts'
import type { Reader } from '../../shared/clickhouse/reader.ts'
import type { HoldfastEvent } from '../../shared/events/event.ts'
import { asRecord, openHistory, openServedHistory, rowOf, select, temporaryFolder } from '../helpers/clickhouse.ts'

/** Rows of the other tenant differ in everything that could be told: texts, times, months, numbers. */
const marks: Record<string, string> = { acme: 'ours', globex: 'qx7' }

const event = (tenant: string, number: number): HoldfastEvent => ({
  type: 'call.dispatched',
  stream: `${marks[tenant]}-${number}`,
  sequence: 1,
  time: new Date(Date.UTC(2026, tenant === 'acme' ? 5 : 8, 1 + number)).toISOString(),
  source: 'holdfast/broker',
  tenant,
  agent: `${marks[tenant]}-bot`,
  callId: `${marks[tenant]}-${number}`,
  operationId: `${marks[tenant]}-${number}`,
  server: 'pay',
  tool: 'transfer',
  effect: 'write',
  key: `${marks[tenant]}-key-${number}`,
  state: 'executing',
  epoch: 1,
  round: 1,
  resultBytes: tenant === 'acme' ? 1 : 999_999,
  arguments: JSON.stringify({ whose: marks[tenant] }),
})

/** What only a row of the other tenant, or a condition that has seen one, can bring into an answer. No statement has it. */
const leaks = (text: string) => /qx7|SEEN|999999|2026-09|202609/.test(text)

/** Statements that would show the other tenant's rows if anything did. */
const attempts = [
  'SELECT * FROM holdfast.events',
  'SELECT * FROM events',
  'SELECT * FROM `holdfast` . "events"',
  "SELECT * FROM holdfast.events WHERE tenant = 'globex'",
  "SELECT * FROM holdfast.events WHERE tenant = 'globex' OR 1",
  "SELECT * FROM holdfast.events AS e WHERE NOT (e.tenant = 'acme')",
  "SELECT * FROM (SELECT * FROM (SELECT * FROM events)) WHERE tenant != 'acme'",
  'WITH e AS (SELECT * FROM holdfast.events) SELECT * FROM e',
  'WITH e AS (SELECT * FROM holdfast.events) SELECT a.* FROM e AS a, e AS b LIMIT 500',
  'WITH RECURSIVE r AS (SELECT call_id, 1 AS n FROM events UNION ALL SELECT e.call_id, n + 1 FROM events AS e, r WHERE n < 2) SELECT * FROM r',
  'SELECT a.*, b.* FROM events AS a FULL OUTER JOIN events AS b ON a.call_id = b.tenant',
  'SELECT b.* FROM (SELECT 1 AS one) AS a CROSS JOIN events AS b',
  'SELECT b.* FROM (SELECT 1 AS x) AS a ANY LEFT JOIN events AS b ON a.x = b.sequence',
  'SELECT b.* FROM (SELECT 1 AS x) AS a RIGHT ANTI JOIN events AS b ON a.x = b.round + 7',
  'SELECT * FROM (SELECT number FROM numbers(20)) AS a PASTE JOIN events AS b',
  'SELECT a.time, b.* FROM events AS a ASOF JOIN events AS b ON a.server = b.server AND a.time <= b.time',
  'SELECT * FROM events UNION ALL SELECT * FROM events',
  'SELECT call_id FROM events INTERSECT SELECT call_id FROM events',
  "SELECT call_id FROM events EXCEPT SELECT call_id FROM events WHERE tenant = 'acme'",
  'SELECT (SELECT groupArray(call_id) FROM events)',
  'SELECT number FROM numbers(999998 + 1, 1) WHERE number IN (SELECT result_bytes FROM events)',
  "SELECT 1 WHERE (SELECT max(result_bytes) FROM events) = 999998 + 1 AND throwIf(1, upper('seen'))",
  "SELECT throwIf(tenant = 'globex', upper('seen')) FROM events",
  "SELECT count() FROM events WHERE throwIf(arguments LIKE '%q%7%', upper('seen'))",
  "SELECT toUInt64(arguments) FROM events WHERE tenant = 'globex'",
  "SELECT toDate(key) FROM (SELECT idempotency_key AS key FROM events WHERE startsWith(tenant, 'g'))",
  'SELECT max(time), max(journal_time), max(result_bytes) FROM events',
  'SELECT min(journal_time), max(journal_time) FROM events',
  "SELECT DISTINCT toYYYYMM(journal_time) AS m, formatDateTime(max(journal_time), '%F') FROM events GROUP BY m",
  'SELECT DISTINCT _partition_id, _part FROM events',
  "SELECT uniqExact(tenant) > 1 ? upper('seen') : '' FROM events",
  "SELECT if(count() > 10, upper('seen'), '') FROM events",
  "SELECT if(count() > 10, upper('seen'), '') FROM holdfast.calls",
  "SELECT if((SELECT count() FROM holdfast.operations) > 10, upper('seen'), '')",
  'SELECT * FROM holdfast.calls',
  'SELECT * FROM holdfast.operations',
  'SELECT * FROM holdfast.attempts',
  'SELECT * FROM holdfast.unknowns',
  "SELECT * FROM holdfast.calls WHERE tenant = 'globex'",
  'SELECT c.* FROM holdfast.calls AS c RIGHT JOIN events AS e ON c.call_id = e.call_id',
  'SELECT groupArray(tenant) OVER () FROM events',
  'SELECT * FROM events QUALIFY row_number() OVER (ORDER BY time DESC) < 100',
  'SELECT * FROM events ORDER BY time DESC LIMIT 1 WITH TIES',
  'SELECT * FROM events LIMIT 100 BY tenant',
  'SELECT tenant, count() FROM events GROUP BY tenant WITH TOTALS',
  'SELECT tenant, count() FROM events GROUP BY ROLLUP(tenant)',
  'SELECT * FROM events SAMPLE 1',
  'SELECT * FROM events FINAL',
  'SELECT arrayJoin([tenant, call_id]) FROM events',
  "SELECT COLUMNS('.*') FROM events",
  "SELECT * REPLACE ('x' AS source) FROM events",
  'SELECT tenant AS log_comment, * FROM events',
  "SELECT getSetting('log_comment') AS tenant, * FROM events",
  "WITH 'globex' AS tenant SELECT * FROM events",
  "SELECT 'globex' AS tenant, call_id FROM events WHERE tenant = 'globex'",
  'SELECT * FROM events PREWHERE 1',
  "SELECT * FROM events PREWHERE throwIf(tenant = 'globex', upper('seen')) = 0",
  'SELECT * FROM {t:Identifier}',
  'SELECT {c:Identifier} FROM events',
  "SELECT * FROM merge('holdfast', 'events')",
  "SELECT * FROM merge('.*', '.*')",
  "SELECT * FROM loop('holdfast', 'events') LIMIT 100",
  "SELECT * FROM remote('127.0.0.1', holdfast.events)",
  "SELECT * FROM remote('127.0.0.1', 'holdfast', 'events', 'default', '')",
  "SELECT * FROM remoteSecure('127.0.0.1', holdfast.events)",
  "SELECT * FROM cluster('default', holdfast.events)",
  "SELECT * FROM clusterAllReplicas('default', holdfast.events)",
  'SELECT * FROM view(SELECT * FROM holdfast.events)',
  "SELECT * FROM viewIfPermitted(SELECT * FROM holdfast.events ELSE null('x Int8'))",
  "SELECT * FROM viewExplain('EXPLAIN', '', (SELECT * FROM holdfast.events))",
  "SELECT * FROM mergeTreeIndex('holdfast', 'events')",
  "SELECT * FROM mergeTreeProjection('holdfast', 'events', 'x')",
  "SELECT * FROM mergeTreeParts('holdfast', 'events')",
  "SELECT * FROM dictionary('holdfast.events')",
  "SELECT dictGet('holdfast.events', 'tenant', 1)",
  "SELECT joinGet('holdfast.events', 'tenant', 1)",
  "SELECT * FROM executable('cat', 'TSV', 'a String')",
  "SELECT * FROM file('data/**', 'LineAsString')",
  "SELECT ('globex', 'x') IN holdfast.events",
  "SELECT 'globex' GLOBAL IN (SELECT tenant FROM events) ? upper('seen') : ''",
  "SELECT 'globex' IN (SELECT tenant FROM events) ? upper('seen') : ''",
  'SELECT * FROM system.parts',
  'SELECT * FROM system.parts_columns',
  'SELECT * FROM system.query_log',
  'SELECT * FROM system.processes',
  'SELECT * FROM system.part_log',
  'SELECT * FROM system.text_log',
  'SELECT * FROM system.row_policies',
  'SELECT * FROM system.settings',
  'SELECT * FROM system.data_skipping_indices',
  'SELECT * FROM information_schema.statistics',
  'DESCRIBE TABLE (SELECT * FROM events)',
  'EXPLAIN SELECT * FROM events',
  'EXPLAIN indexes = 1 SELECT * FROM events',
  'EXPLAIN PIPELINE SELECT * FROM events',
  'SELECT * FROM (EXPLAIN SELECT * FROM events)',
  'SELECT * FROM events SETTINGS additional_table_filters = {}',
  "SELECT * FROM events SETTINGS log_comment = 'globex'",
  "SELECT * FROM events SETTINGS readonly = 0, log_comment = 'globex'",
  "SET log_comment = 'globex'",
  'SET readonly = 0',
  'SET additional_table_filters = {}',
  'CREATE TEMPORARY TABLE t AS SELECT * FROM events',
  'CREATE VIEW holdfast.v SQL SECURITY NONE AS SELECT * FROM holdfast.events',
  "CREATE DICTIONARY holdfast.d (a String) PRIMARY KEY a SOURCE(CLICKHOUSE(TABLE 'events')) LAYOUT(FLAT()) LIFETIME(1)",
  "ATTACH TABLE holdfast.mine UUID '00000000-0000-0000-0000-000000000001' (a Int8) ENGINE = MergeTree ORDER BY a",
  "SELECT 1; SELECT * FROM events SETTINGS log_comment = 'globex'",
  'EXECUTE AS default SELECT * FROM events',
]

async function fill(clickhouse: Clickhouse): Promise<void> {
  const events = [...Array(10).keys()].flatMap(number => [event('acme', number), event('globex', number)])
  await insertEvents(
    clickhouse,
    events.map((each, offset) => rowOf(asRecord(each, { partition: 0, offset }))),
  )
}

const limits = { ...auditDefaults.limits, seconds: 10 }
const parameters = new Map([
  ['t', 'holdfast.events'],
  ['c', 'tenant'],
])

const asked = (sql: string) => ({
  sql,
  parameters,
  settings: new Map<string, string>(),
  defaultFormat: 'TSV',
  protocolVersion: 0,
  queryId: 'q',
  gzip: false,
})

/** The statements whose answer, or error, shows a row of `globex`. */
async function leaking(ask: (sql: string) => Promise<string>): Promise<string[]> {
  const found: string[] = []
  for (const sql of attempts) if (leaks(await ask(sql))) found.push(sql)
  return found
}

const endpoint = (clickhouse: Clickhouse, tenant: string) => async (sql: string) => {
  const gate = createGate({ running: 1, waiting: 1 })
  const answer = await runSql({ clickhouse, gate, limits }, tenant, asked(sql))
  return 'http' in answer ? answer.text : new TextDecoder().decode(answer.bytes)
}

async function holds(clickhouse: Clickhouse): Promise<void> {
  await fill(clickhouse)
  assert.deepEqual(await leaking(endpoint(clickhouse, 'acme')), [])
}

/** The same statements do show their rows to whom they belong. */
async function shows(clickhouse: Clickhouse): Promise<void> {
  const own = await leaking(endpoint(clickhouse, 'globex'))
  assert.ok(own.length > 40, `only ${own.length} statements show anything at all: the others prove nothing`)
}

test('no statement shows a reader another tenant, over the embedded engine', async () => {
  await using folder = await temporaryFolder()
  await using clickhouse = await openHistory(folder.path)
  await holds(clickhouse)
  await shows(clickhouse)
})

test('no statement shows a reader another tenant, over a server', async () => {
  await using folder = await temporaryFolder()
  await using clickhouse = await openServedHistory(folder.path)
  await holds(clickhouse)
})

const directly = (reader: Reader) => (sql: string) =>
  reader.run(sql, 'TSV').then(
    ({ bytes }) => new TextDecoder().decode(bytes),
    (error: Error) => error.message,
  )

/** What the engine reads past its own row policies: first keys of granules, and the months that parts are of. */
const pastThePolicy = [
  "SELECT * FROM mergeTreeIndex('holdfast', 'events')",
  'SELECT * FROM system.parts',
  'SELECT * FROM system.parts_columns',
]

test("the embedded engine's row policy alone holds, without the judge before it, but for what describes the files", async () => {
  await using folder = await temporaryFolder()
  await using clickhouse = await openHistory(folder.path)
  await fill(clickhouse)
  const reader = await clickhouse.openReader({ tenant: 'acme', limits, parameters, settings: new Map() })
  try {
    assert.deepEqual(await leaking(directly(reader)), pastThePolicy)
  } finally {
    reader.close()
  }
})

test('every table of the history is either filtered by tenant or holds nothing of anybody', async () => {
  await using folder = await temporaryFolder()
  await using clickhouse = await openHistory(folder.path)
  const tables = await select<{ name: string; tenant: number }>(
    clickhouse,
    `select t.name as name, countIf(c.name = 'tenant') as tenant from system.tables t
     join system.columns c on c.database = t.database and c.table = t.name
     where t.database = 'holdfast' and t.engine not like '%View' group by name order by name`,
  )
  const known = [...tenantTables, ...openTables.map(({ name }) => name)].sort()
  assert.deepEqual(
    tables.map(({ name }) => name),
    known,
    'a new table is added to tenantTables or to openTables of shared/clickhouse/chdb.ts',
  )
  for (const { name, tenant } of tables)
    assert.equal(Number(tenant) > 0, (tenantTables as readonly string[]).includes(name), name)
})
