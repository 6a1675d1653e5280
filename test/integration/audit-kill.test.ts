import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import test from 'node:test'
import { fileURLToPath } from 'node:url'
import { connectClickhouse } from '../../shared/clickhouse/connect.ts'
import { ConfigError } from '../../shared/errors.ts'
import { openHistory, select, temporaryFolder } from '../helpers/clickhouse.ts'

const count = 6_000

function startChild(path: string): ChildProcess {
  const child = fileURLToPath(new URL('audit-kill-child.ts', import.meta.url))
  return spawn(process.execPath, ['--import', 'tsx', child, path, String(count)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
}

test('a process killed again and again in the middle of its inserts loses nothing and doubles nothing', async t => {
  const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000)
  t.diagnostic(`SEED=${seed}`)
  let state = seed
  const random = (below: number) => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648
    return Math.floor((state / 2_147_483_648) * below)
  }
  await using folder = await temporaryFolder()
  let killed = 0
  for (let round = 0; round < 6; round += 1) {
    const child = startChild(folder.path)
    await once(child.stdout!, 'data')
    const timer = setTimeout(() => child.kill('SIGKILL'), random(120))
    const [code, signal] = (await once(child, 'exit')) as [number | null, string | null]
    clearTimeout(timer)
    if (signal === 'SIGKILL') killed += 1
    else assert.equal(code, 0)
  }
  t.diagnostic(`killed ${killed} of 6 times`)

  const last = startChild(folder.path)
  await once(last.stdout!, 'data')
  await assert.rejects(connectClickhouse({ path: folder.path }), (error: unknown) => {
    assert.ok(error instanceof ConfigError)
    assert.match(error.message, /could not be opened: stop the process that holds it/)
    return true
  })
  assert.equal((await once(last, 'exit'))[0], 0)

  await using history = await openHistory(folder.path)
  const [row] = await select<Record<string, string>>(
    history,
    'select toString(count()) as rows, toString(uniqExact(journal_partition, journal_offset)) as places, toString(uniqExact(event_id)) as facts from holdfast.events',
  )
  assert.deepEqual(row, { rows: String(count), places: String(count), facts: String(count) })
})
