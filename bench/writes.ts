/**
 * Keyed writes with a no-op upstream through journal, claim, completion and reply, with relay and sink running, against
 * the floor in the same run: Node `pg`, INSERT ON CONFLICT and UPDATE, two durable commits per write, a connection per
 * caller. Prints the ratio; says nothing about absolute speed, which is the machine's.
 *
 *   npm run bench [-- --seconds 5 --rounds 3]
 */
import { parseArgs } from 'node:util'
import { fingerprint } from '../shared/call/fingerprint.ts'
import { load, noopResult, openHoldfast, openStores } from './holdfast.ts'

const { values } = parseArgs({
  options: { seconds: { type: 'string', default: '4' }, rounds: { type: 'string', default: '3' } },
})
const milliseconds = Number(values.seconds) * 1000
const rounds = Number(values.rounds)

/** Callers, and the least ratio to the floor that Holdfast promises itself. */
const cases = [
  { callers: 1, target: 0.3 },
  { callers: 16, target: 0.6 },
  { callers: 64, target: 0.8 },
]

const stores = await openStores()
const { pool } = stores
const floor = await openFloor()
const holdfast = await openHoldfast(stores)

console.log(`callers  floor/s  holdfast/s  ratio  target   p50 ms   p99 ms  CPU ms/call`)
let missed = 0
for (const { callers, target } of cases) {
  const runs = []
  for (let round = 0; round < rounds; round += 1) {
    const base = await load({ callers, milliseconds }, () => floor.write())
    runs.push({ base, own: await load({ callers, milliseconds }, () => holdfast.write()) })
  }
  // The middle run by its ratio: the machine is shared, and one bad round says nothing.
  runs.sort((a, b) => a.own.perSecond / a.base.perSecond - b.own.perSecond / b.base.perSecond)
  const { base, own } = runs[Math.floor(runs.length / 2)] as (typeof runs)[number]
  const ratio = own.perSecond / base.perSecond
  if (ratio < target) missed += 1
  console.log(
    [
      String(callers).padStart(7),
      base.perSecond.toFixed(0).padStart(8),
      own.perSecond.toFixed(0).padStart(11),
      ratio.toFixed(2).padStart(6),
      target.toFixed(1).padStart(7),
      own.p50.toFixed(1).padStart(8),
      own.p99.toFixed(1).padStart(8),
      own.cpuMs.toFixed(2).padStart(12),
    ].join(' '),
  )
}
const { rows, seconds } = await holdfast.settled()
console.log(
  `history: ${rows} events of ${holdfast.written()} writes, complete ${seconds.toFixed(1)} s after the last answer`,
)
await holdfast.stop()
await stores.close()
process.exit(missed > 0 ? 1 : 0)

async function openFloor() {
  await pool.query(`create table floor (
    key text primary key, fingerprint text not null, state text not null, result text,
    created_at timestamptz not null default now()) with (fillfactor = 80)`)
  const insert = {
    name: 'floor_insert',
    text: `insert into floor (key, fingerprint, state) values ($1, $2, 'executing') on conflict do nothing`,
  }
  const update = { name: 'floor_update', text: `update floor set state = 'succeeded', result = $2 where key = $1` }
  let next = 0
  return {
    async write() {
      const key = `floor-${next++}`
      await pool.query(insert, [key, fingerprint('write', { key })])
      await pool.query(update, [key, noopResult])
    },
  }
}
