/**
 * The history against its targets: at most 210 bytes a row for typical calls, an agent's window of two hours out of 10
 * million rows within 30 ms, 40,000 rows/s inserted without fsync and 25,000 with it. Over the embedded engine, through the
 * sink's own statement. Exits 1 while a target is missed.
 *
 *   npm run bench:history [-- --rows 200000 --large 10000000 --batch 2000]
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { openChdb } from '../../shared/clickhouse/chdb.ts'
import { type Clickhouse, connectClickhouse } from '../../shared/clickhouse/connect.ts'
import { type EventRow, insertEvents } from '../../shared/clickhouse/events.ts'
import { typicalRows } from './typical.ts'

const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '200000' },
    large: { type: 'string', default: '10000000' },
    batch: { type: 'string', default: '2000' },
  },
})
const large = Number(values.large)
const hour = 3_600_000
const since = Date.parse('2026-11-01T00:00:00.000Z')
/** A month of rows in `large` of them. */
const stepMs = Math.max(1, Math.floor((28 * 24 * hour) / Math.max(large, 1)))

const folder = await mkdtemp(join(tmpdir(), 'holdfast-bench-history-'))
let missed = 0
try {
  const rows = typicalRows(Number(values.rows), { from: since, stepMs: 40 })
  for (const [fsync, aim] of [
    [false, 40_000],
    [true, 25_000],
  ] as const) {
    const path = join(folder, fsync ? 'fsync' : 'no-fsync')
    if (!fsync) await withoutFsync(path)
    const clickhouse = await connectClickhouse({ path })
    const cpu = process.cpuUsage()
    const perSecond = await insertAll(clickhouse, rows)
    const { user, system } = process.cpuUsage(cpu)
    judge(`rows/s inserted, fsync ${fsync ? 'on' : 'off'}`, perSecond, '>=', aim)
    console.log(`    ${((user + system) / rows.length).toFixed(1)} µs of CPU a row, this process and the engine in it`)
    await clickhouse.close()
    if (fsync) await tellSizes(path)
  }
  if (large > 0) await windows()
} finally {
  await rm(folder, { recursive: true, force: true })
}
process.exit(missed === 0 ? 0 : 1)

function judge(what: string, value: number, relation: '>=' | '<=', aim: number): void {
  const isMet = relation === '>=' ? value >= aim : value <= aim
  if (!isMet) missed += 1
  console.log(
    `${what.padEnd(44)} ${value.toFixed(1).padStart(10)}   aim ${relation} ${aim}   ${isMet ? 'met' : 'MISSED'}`,
  )
}

/** Migrated by the owner, who may also turn fsync off for this table. */
async function withoutFsync(path: string): Promise<void> {
  await (await connectClickhouse({ path })).close()
  const engine = await openChdb(path, 'owner')
  const session = engine.session()
  await session.queryAsync(
    'alter table holdfast.events modify setting fsync_after_insert = 0, fsync_part_directory = 0',
  )
  session.close()
  await engine.close()
}

async function insertAll(clickhouse: Clickhouse, rows: readonly EventRow[]): Promise<number> {
  const batch = Number(values.batch)
  await insertEvents(clickhouse, rows.slice(0, batch))
  const startedAt = performance.now()
  for (let from = batch; from < rows.length; from += batch)
    await insertEvents(clickhouse, rows.slice(from, from + batch))
  return (rows.length - batch) / ((performance.now() - startedAt) / 1_000)
}

async function owned<Row>(path: string, statements: readonly string[]): Promise<Row[]> {
  const engine = await openChdb(path, 'owner')
  const session = engine.session()
  try {
    let text = ''
    for (const sql of statements) text = (await session.queryAsync(sql, { format: 'JSONEachRow' })).text()
    return text.split('\n').flatMap(line => (line === '' ? [] : [JSON.parse(line) as Row]))
  } finally {
    session.close()
    await engine.close()
  }
}

/** As merges leave it in time, indexes included. */
async function tellSizes(path: string): Promise<void> {
  const [whole] = await owned<{ rows: string; bytes: string }>(path, [
    'optimize table holdfast.events final',
    `select sum(rows) as rows, sum(bytes_on_disk) as bytes from system.parts
     where active and database = 'holdfast' and table = 'events'`,
  ])
  judge('bytes a row, as stored, typical calls', Number(whole?.bytes) / Number(whole?.rows), '<=', 210)
  const columns = await owned<{ name: string; bytes: number }>(path, [
    `select name, round(data_compressed_bytes / ${whole?.rows}, 1) as bytes from system.columns
     where database = 'holdfast' and table = 'events' order by data_compressed_bytes desc limit 14`,
  ])
  console.log(`    ${columns.map(({ name, bytes }) => `${name} ${bytes}`).join(', ')}`)
}

/** Rows made by the engine itself: as many agents, hours and ids as a month of typical calls has. */
async function windows(): Promise<void> {
  const path = join(folder, 'large')
  await withoutFsync(path)
  const time = `fromUnixTimestamp64Milli(${since} + number * ${stepMs}, 'UTC')`
  const filled = performance.now()
  const step = 50_000
  const inserts = Array.from({ length: Math.ceil(large / step) }, (_, index) => {
    const rows = Math.min(step, large - index * step)
    return `insert into holdfast.events (event_id, stream, sequence, type, time, source, tenant, agent, keyspace, call_id,
      operation_id, server, tool, effect, idempotency_key, fingerprint, arguments, arguments_commitment, state, epoch, round,
      attempt, journal_topic, journal_partition, journal_offset, journal_time, data)
      select concat(stream, ':', toString(sequence)), hex(MD5(toString(intDiv(number, 2)))) as stream, number % 2 + 1 as sequence,
        if(sequence = 1, 'call.dispatched', 'call.succeeded'), ${time}, 'holdfast/broker', 'default',
        concat('agent-', toString(intDiv(number, 2) % 40)) as agent, agent, stream, stream, 'payments',
        ['transfer', 'create_invoice', 'update_contact'][intDiv(number, 2) % 3 + 1], 'write', concat('invoice-', stream),
        lower(hex(SHA256(stream))), concat('{"amount":', toString(number % 1000), ',"to":"', stream, '"}'),
        lower(hex(SHA256(concat('a', stream)))), if(sequence = 1, 'executing', 'succeeded'), 1, 1, 1, 'holdfast.events',
        number % 12, intDiv(number, 12), ${time}, '{}'
      from numbers(${index * step}, ${rows}) settings async_insert = 0`
  })
  await owned(path, inserts)
  console.log(`    ${large} rows made in ${((performance.now() - filled) / 1_000).toFixed(0)} s`)
  const clickhouse = await connectClickhouse({ path })
  const times: number[] = []
  let found = 0
  for (let turn = 0; turn < 60; turn += 1) {
    const from = new Date(since + ((turn * 7_919) % (27 * 24)) * hour).toISOString().slice(0, 19).replace('T', ' ')
    const startedAt = performance.now()
    const answer = await clickhouse.client.query({
      query: `select time, type, server, tool, idempotency_key, state, code from holdfast.events
        where tenant = 'default' and agent = 'agent-${turn % 40}' and time >= '${from}'
          and time < toDateTime64('${from}', 3, 'UTC') + interval 2 hour order by time`,
      format: 'JSONCompactEachRow',
    })
    found += (await answer.json<unknown>()).length
    times.push(performance.now() - startedAt)
  }
  await clickhouse.close()
  const sorted = times.slice(10).toSorted((one, other) => one - other)
  judge(`ms for an agent's two hours, median (${Math.round(found / 60)} rows)`, sorted[25] as number, '<=', 30)
  console.log(`    slowest of 50: ${(sorted.at(-1) as number).toFixed(1)} ms`)
}
