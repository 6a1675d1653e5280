/**
 * The cost of a keyed write as the table of keys grows: the same writes through journal, claim, completion and reply (relay
 * and sink running) over 10 thousand to 5 million settled operations. Beside the speed, which is the machine's, it
 * prints how many pages PostgreSQL touched per write: a figure that noise does not move.
 *
 *   npm run bench:growth [-- --seconds 5 --sizes 10000,100000,1000000,5000000]
 */
import { parseArgs } from 'node:util'
import { load, type Load, openHoldfast, openStores } from './holdfast.ts'

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '5' },
    sizes: { type: 'string', default: '10000,100000,1000000,5000000' },
  },
})
const milliseconds = Number(values.seconds) * 1000
const sizes = values.sizes.split(',').map(Number)
const callers = 16

const stores = await openStores()
const { pool } = stores
const holdfast = await openHoldfast(stores)
console.log('     keys  writes/s  of first   p50 ms   p99 ms  CPU ms/call  pages/write')
let first: Load | undefined
for (const size of sizes) {
  await fill(size)
  await load({ callers, milliseconds: 1_000 }, () => holdfast.write())
  const before = await touched()
  const written = holdfast.written()
  const measured = await load({ callers, milliseconds }, () => holdfast.write())
  const pages = ((await touched()) - before) / (holdfast.written() - written)
  first ??= measured
  console.log(
    [
      String(size).padStart(9),
      measured.perSecond.toFixed(0).padStart(9),
      (measured.perSecond / first.perSecond).toFixed(2).padStart(9),
      measured.p50.toFixed(1).padStart(8),
      measured.p99.toFixed(1).padStart(8),
      measured.cpuMs.toFixed(2).padStart(12),
      pages.toFixed(0).padStart(12),
    ].join(' '),
  )
}
await holdfast.stop()
await stores.close()
process.exit(0)

/** Settled operations of many keyspaces, as a year of use would leave them, until there are `size`. */
async function fill(size: number): Promise<void> {
  const { rows } = await pool.query<{ n: string }>('select count(*) as n from operations')
  const there = Number(rows[0]?.n)
  const step = 250_000
  for (let from = there; from < size; from += step) {
    await pool.query(
      `insert into operations (operation_id, scope, tenant, keyspace, server, key, tool, agent, fingerprint, change,
         twin_slot, state, call_id, epoch, round, sequence, attempts, evidence, first_seen_ms, dispatched_ms, finished_ms,
         retention_ms, expires_ms)
       select id, sha256(convert_to('scope' || id, 'UTF8')), 'default', 'agent-' || n % 500, 'payments', 'key-' || n, 'transfer',
         'agent-' || n % 500, sha256(convert_to('fingerprint' || id, 'UTF8')), sha256(convert_to('change' || id, 'UTF8')), '',
         'succeeded', id, 1, 1, 2, 1, 'answer', n, n, n, 86400000, n + 86400000 + now_ms()
       from (select n, '01K' || lpad(n::text, 23, '0') as id from generate_series($1::bigint, $2::bigint) as n) made`,
      [from, Math.min(from + step, size) - 1],
    )
  }
  await pool.query('vacuum analyze operations')
  await pool.query('checkpoint')
}

/** Pages of tables and indexes that were looked at, in memory or not, since the server started. */
async function touched(): Promise<number> {
  // Each backend reports its counts now and then, at most a second late.
  await new Promise(resolve => setTimeout(resolve, 1_500))
  const { rows } = await pool.query<{ pages: string }>(
    `select sum(heap_blks_hit + heap_blks_read + coalesce(idx_blks_hit, 0) + coalesce(idx_blks_read, 0)) as pages
     from pg_statio_user_tables where relname in ('operations', 'results', 'handled_commands')`,
  )
  return Number(rows[0]?.pages)
}
