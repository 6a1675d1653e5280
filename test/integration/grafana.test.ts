/** Grafana's ClickHouse data source against the SQL endpoint: its own questions, as its driver sends them over HTTP. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { gunzipSync } from 'node:zlib'
import { auditDefaults } from '../../services/audit/config.ts'
import { sqlHandler } from '../../services/audit/http.ts'
import { createGate } from '../../services/audit/sql/gate.ts'
import type { Clickhouse } from '../../shared/clickhouse/connect.ts'
import { insertEvents } from '../../shared/clickhouse/events.ts'
import {
  asRecord,
  openHistory,
  openServedHistory,
  rowOf,
  silent,
  temporaryFolder,
  unrecorded,
} from '../helpers/clickhouse.ts'
import { asked, hostile } from '../helpers/grafana.ts'
import { testListener } from '../helpers/listener.ts'
import { officeDay } from '../helpers/office-day.ts'

test("Grafana's data source over the embedded engine", async t => {
  await using folder = await temporaryFolder()
  await using clickhouse = await openHistory(folder.path)
  await questions(t, clickhouse)
})

test("Grafana's data source over a server", async t => {
  await using folder = await temporaryFolder()
  await using clickhouse = await openServedHistory(folder.path)
  await questions(t, clickhouse)
})

async function questions(t: test.TestContext, clickhouse: Clickhouse): Promise<void> {
  await insertEvents(
    clickhouse,
    officeDay().map((event, offset) => rowOf(asRecord(event, { partition: 0, offset }))),
  )
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
        secret === 'k' ? { agent: 'grafana', tenant: 'acme', readHistory: true } : undefined,
      log: silent,
    }),
  )
  const ask = async (sql: string) => {
    const response = await fetch(`${http.url}/?database=holdfast`, {
      method: 'POST',
      body: sql,
      headers: { 'x-clickhouse-user': 'grafana', 'x-clickhouse-key': 'k' },
    })
    return response.text()
  }

  await t.test(
    'health check, schema browser, variables, time series, logs and ad-hoc filters are answered',
    async () => {
      for (const { sql, expects } of asked) assert.match(await ask(sql), expects, sql)
    },
  )

  await t.test('an ad-hoc filter reaches no further than a statement', async () => {
    for (const { sql, expects } of hostile) assert.match(await ask(sql), expects, sql)
  })

  await t.test('the driver gets Native blocks of its version, compressed, and at most its row limit', async () => {
    const search =
      'database=holdfast&default_format=Native&client_protocol_version=54460&enable_http_compression=1&limit=2'
    for (const { sql } of asked.filter(({ sql }) => sql.startsWith('SELECT'))) {
      const response = await fetch(`${http.url}/?${search}`, {
        method: 'POST',
        body: sql,
        headers: {
          authorization: `Basic ${Buffer.from('grafana:k').toString('base64')}`,
          'accept-encoding': 'gzip',
          'user-agent': 'grafana/12.1.0 clickhouse-go/2.40.0 (lv:go/1.24; os:linux)',
        },
      })
      assert.equal(response.status, 200, sql)
      const bytes = Buffer.from(await response.arrayBuffer())
      const block = bytes[0] === 0x1f ? gunzipSync(bytes) : bytes
      // Block information, one byte of columns, one of rows.
      assert.deepEqual([...block.subarray(0, 3)], [1, 0, 2], sql)
      assert.ok((block[9] ?? 0) <= 2, `${block[9]} rows: ${sql}`)
    }
  })
}
