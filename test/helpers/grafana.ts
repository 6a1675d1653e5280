/**
 * What Grafana's ClickHouse data source (4.20.0) asks, as its sources say it: the health check and the hello of its driver,
 * schema browser, variables, queries with macros expanded (`pkg/macros`), ad-hoc filters (`src/data/adHocFilter.ts`).
 */
export type Asked = { readonly sql: string; readonly expects: RegExp }

const from = Math.floor(Date.UTC(2026, 10, 24, 9) / 1000)
const to = Math.floor(Date.UTC(2026, 10, 24, 13) / 1000)

/** Over TSV; the driver asks for Native. The day is that of `office-day.ts`, the tenant `acme`. */
export const asked: readonly Asked[] = [
  { sql: 'SELECT displayName(), version(), revision(), timezone()', expects: /\t\d+\.\d+\.[^\t]*\t\d+\tUTC\n$/ },
  { sql: 'SELECT 1', expects: /^1\n$/ },
  { sql: 'SELECT version()', expects: /^\d+\.\d+/ },
  { sql: 'SELECT timezone()', expects: /^UTC\n$/ },
  { sql: 'SHOW DATABASES', expects: /^holdfast$/m },
  { sql: 'SHOW TABLES FROM "holdfast"', expects: /^calls$/m },
  { sql: 'SHOW TABLES', expects: /^events$/m },
  { sql: 'DESC TABLE "holdfast"."calls"', expects: /^call_id\tString/ },
  { sql: 'DESC TABLE "calls"', expects: /^call_id\tString/ },
  {
    sql: `
      SELECT
        name, is_aggregate, case_insensitive, alias_to, origin, description,
        syntax, arguments, returned_value, examples, categories
      FROM system.functions
      LIMIT 10000
    `,
    expects: /^quantile\t1/m,
  },
  { sql: 'SELECT name FROM system.databases ORDER BY name', expects: /^holdfast$/m },
  { sql: "SELECT name FROM system.tables WHERE database = 'holdfast' ORDER BY name", expects: /^operations$/m },
  {
    sql: "SELECT name FROM system.columns WHERE database = 'holdfast' AND table = 'calls' ORDER BY name",
    expects: /^agent$/m,
  },
  {
    sql: "SELECT name, type, table FROM system.columns WHERE database IN ('holdfast')",
    expects: /^agent\t.*\tcalls$/m,
  },
  {
    sql: "SELECT name, type, table FROM system.columns WHERE database IN ('holdfast') AND table = 'events'",
    expects: /^tenant\t/m,
  },
  { sql: 'SELECT DISTINCT server FROM holdfast.calls LIMIT 1000', expects: /^payments$/m },
  // $__timeInterval, $__timeFilter
  {
    sql: `SELECT toStartOfInterval(toDateTime(requested_at), INTERVAL 3600 second) as "time", count(*) as "calls" FROM "holdfast"."calls" WHERE ( requested_at >= toDateTime(${from}) AND requested_at <= toDateTime(${to}) ) GROUP BY time ORDER BY time ASC LIMIT 1000`,
    expects: /^2026-11-24 10:00:00\t14\n$/,
  },
  // $__timeInterval_ms, $__timeFilter_ms
  {
    sql: `SELECT toStartOfInterval(toDateTime64(time, 3), INTERVAL 3600000 millisecond) as t, quantile(0.99)(duration_ms) FROM holdfast.events WHERE time >= fromUnixTimestamp64Milli(${from}000) AND time <= fromUnixTimestamp64Milli(${to}000) AND duration_ms > 0 GROUP BY t ORDER BY t`,
    expects: /^2026-11-24 10:00:00.000\t/,
  },
  // logs, $__fromTime and $__toTime
  {
    sql: `SELECT time as "timestamp", reason as "body", type as "level" FROM "holdfast"."events" WHERE ( timestamp >= toDateTime(${from}) ) AND ( timestamp <= toDateTime(${to}) ) ORDER BY timestamp DESC LIMIT 1000`,
    expects: /seen in the books/,
  },
  // ad-hoc filters
  {
    sql: "SELECT count(*) FROM \"holdfast\".\"calls\" LIMIT 1000 settings additional_table_filters={'holdfast.calls' : ' server = \\'payments\\' AND tool ILIKE \\'%balance%\\' '}",
    expects: /^2\n$/,
  },
  {
    sql: "SELECT c.agent, count() FROM calls c JOIN holdfast.events e ON c.call_id = e.call_id WHERE e.type = 'call.lost' GROUP BY c.agent settings additional_table_filters={'calls' : ' agent = \\'ops-bot\\' '}",
    expects: /^ops-bot\t4\n$/,
  },
  { sql: 'SELECT count() FROM events SETTINGS additional_table_filters={}', expects: /^\d+\n$/ },
]

/** Ad-hoc filters that reach for what is not theirs: each is refused, or sees nothing. */
export const hostile: readonly Asked[] = [
  {
    sql: "SELECT DISTINCT tenant FROM events settings additional_table_filters={'events' : ' 1 OR tenant = \\'globex\\' '}",
    expects: /^(?:acme\n|\n)+$/,
  },
  {
    sql: "SELECT 1 FROM events settings additional_table_filters={'events' : ' tenant IN (SELECT name FROM system.users) '}",
    expects: /system\.users is not available/,
  },
  {
    sql: "SELECT 1 FROM events settings additional_table_filters={'events' : ' file(\\'/etc/passwd\\') != \\'\\' '}",
    expects: /file is not available/,
  },
  {
    sql: "SELECT 1 FROM events settings additional_table_filters={'events' : ' 1) INTO OUTFILE \\'/tmp/x\\' -- '}",
    expects: /Code: \d+/,
  },
  {
    sql: "SELECT 1 FROM events settings additional_table_filters={'system.users' : ' 1 '}",
    expects: /system\.users is not available/,
  },
  {
    sql: "SELECT 1 FROM events settings additional_table_filters={'events' : ' 1 '}, max_result_rows = 0",
    expects: /SETTINGS is not available/,
  },
  {
    sql: "SELECT 1 FROM events settings additional_table_filters={'events' : ' throwIf(tenant = \\'globex\\', \\'seen\\') = 0 '} FORMAT Null",
    expects: /^$/,
  },
]
