/**
 * The sink is killed again and again in the middle of its inserts. Twenty times here; `npm run test:history` does it 300
 * times: HOLDFAST_KILLS says how often, SEED repeats the moments that were chosen.
 */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import test from 'node:test'
import { fileURLToPath } from 'node:url'
import { startLocalClickhouse } from '../../infra/clickhouse/local/start.ts'
import { connectClickhouse } from '../../shared/clickhouse/connect.ts'
import { ConfigError } from '../../shared/errors.ts'
import { openHistory, select, silent, type TestHistory, temporaryFolder } from '../helpers/clickhouse.ts'

const kills = Number(process.env['HOLDFAST_KILLS'] ?? 20)
const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000)
/** Of one history; then another one is begun. */
const count = 12_000

type Tally = { killed: number; inserting: number; rows: number }

const child = fileURLToPath(new URL('audit-kill-child.ts', import.meta.url))
const start = (place: string, commits: string): ChildProcess =>
  spawn(process.execPath, ['--import', 'tsx', child, place, String(count), commits], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })

/** @returns whether it was killed, and in the middle of an insert; it is not when it finished first */
async function killWithin(running: ChildProcess, ms: number): Promise<{ killed: boolean; inserting: boolean }> {
  let said = ''
  running.stdout!.on('data', (data: Buffer) => {
    if (said === '') setTimeout(() => running.kill('SIGKILL'), ms)
    said += data
  })
  const [code, signal] = (await once(running, 'close')) as [number | null, string | null]
  if (signal !== 'SIGKILL') assert.equal(code, 0)
  return { killed: signal === 'SIGKILL', inserting: signal === 'SIGKILL' && said.endsWith('<') }
}

/** Kills until it was done `times` times or everything is in; then it is let finish, and the table is asked. */
async function round(
  { place, commits, open }: { place: string; commits: string; open: () => Promise<TestHistory> },
  { times, random }: { times: number; random: (below: number) => number },
): Promise<Tally> {
  let killed = 0
  let inserting = 0
  for (let isDone = false; killed < times && !isDone; ) {
    const end = await killWithin(start(place, commits), random(150))
    isDone = !end.killed
    killed += end.killed ? 1 : 0
    inserting += end.inserting ? 1 : 0
  }
  assert.deepEqual((await once(start(place, commits), 'close'))[0], 0)
  await using history = await open()
  const [row] = await select<Record<string, string>>(
    history,
    `select toString(count()) as rows, toString(uniqExact(journal_partition, journal_offset)) as places,
       toString(uniqExact(event_id)) as facts, toString(uniqExact(toYYYYMM(journal_time))) as months from holdfast.events`,
  )
  assert.deepEqual(row, { rows: String(count), places: String(count), facts: String(count), months: '3' })
  return { killed, inserting, rows: count }
}

function randomOf(from: number) {
  let state = from
  return (below: number) => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648
    return Math.floor((state / 2_147_483_648) * below)
  }
}

async function killUntil(target: number, once: (left: number) => Promise<Tally>): Promise<Tally> {
  const tally = { killed: 0, inserting: 0, rows: 0 }
  while (tally.killed < target) {
    const { killed, inserting, rows } = await once(target - tally.killed)
    tally.killed += killed
    tally.inserting += inserting
    tally.rows += rows
  }
  return tally
}

const tell = ({ killed, inserting, rows }: Tally) =>
  `SEED=${seed}: killed ${killed} times, ${inserting} of them in the middle of an insert; ${rows} rows, 0 lost, 0 doubled`

test('killed with its engine again and again in the middle of its inserts, the sink loses nothing and doubles nothing', async t => {
  t.diagnostic(`SEED=${seed}`)
  const random = randomOf(seed)
  const tally = await killUntil(Math.ceil(kills * 0.85), async times => {
    await using folder = await temporaryFolder()
    const place = join(folder.path, 'history')
    const at = { place, commits: join(folder.path, 'commits'), open: () => openHistory(place) }
    // Awaited here: the folder goes when this ends.
    return await round(at, { times, random })
  })
  t.diagnostic(tell(tally))
})

test('killed while the server lives and may still be inserting, the sink loses nothing and doubles nothing', async t => {
  t.diagnostic(`SEED=${seed}`)
  const random = randomOf(seed + 1)
  const tally = await killUntil(Math.floor(kills * 0.15), async times => {
    await using folder = await temporaryFolder()
    await using local = await startLocalClickhouse({ dataDir: join(folder.path, 'history'), port: 0, log: silent })
    const open = async () => {
      const clickhouse = await connectClickhouse({ url: local.url })
      return { ...clickhouse, [Symbol.asyncDispose]: () => clickhouse.close() }
    }
    return await round({ place: local.url, commits: join(folder.path, 'commits'), open }, { times, random })
  })
  t.diagnostic(tell(tally))
})

test('a folder that another process holds is refused, and says what to do', async () => {
  await using folder = await temporaryFolder()
  const holder = start(folder.path, join(folder.path, 'commits'))
  await once(holder.stdout!, 'data')
  await assert.rejects(connectClickhouse({ path: folder.path }), (error: unknown) => {
    assert.ok(error instanceof ConfigError)
    assert.match(error.message, /could not be opened: stop the process that holds it/)
    return true
  })
  holder.kill('SIGKILL')
  await once(holder, 'close')
})
