/** What images run: the built JavaScript, over the real stores, as the sources do. */
import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { type Bank, startBank } from '../../examples/bank/start.ts'
import { build } from '../../infra/build/build.ts'
import { services } from '../../infra/docker/services.ts'
import { eventually, outcomeOf, startNode } from '../helpers/node.ts'

let folder: string
let bank: Bank
const built = (path: string) => join(folder, 'dist', path)

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-build-'))
  bank = await startBank({ port: 0, dataDir: join(folder, 'bank') })
  await build(built(''))
})

after(async () => {
  await bank?.stop()
  rmSync(folder, { recursive: true, force: true })
})

test('the built program dispatches, answers a repeat from the record, and shows both in the history', async () => {
  const yaml = readFileSync(built('examples/holdfast.yaml'), 'utf8')
    .replace('http://127.0.0.1:4001/mcp', bank.url)
    .replace('../node_modules', fileURLToPath(new URL('../../node_modules', import.meta.url)))
    .replace('${data}/files', '${FOLDER}')
  await using node = await startNode({ yaml, program: [built('services/single/main.js')] })
  const client = await node.modern({ path: '/bank' })
  const transfer = {
    name: 'transfer',
    arguments: { from: 'alice', to: 'bob', amount: 25, memo: 'built', idempotency_key: 'built/1' },
  }
  const first = outcomeOf(await client.callTool(transfer))
  const second = outcomeOf(await client.callTool(transfer))
  assert.equal(first.state, 'succeeded')
  assert.deepEqual([second.state, second.replayed, second.of], ['succeeded', true, first.callId])
  const calls = await eventually(async () => {
    const rows = await node.sql<{ attempts: number }>('select attempts from calls order by requested_at')
    return rows.length === 2 ? rows : undefined
  })
  assert.deepEqual(calls.map(call => Number(call.attempts)).sort(), [0, 1])
  assert.equal(await node.interrupt(), 0)
})

test('every program of the image is there, and the migrations beside it', () => {
  for (const { name } of services) {
    const source = fileURLToPath(new URL(`../../services/${name}/main.ts`, import.meta.url))
    assert.equal(existsSync(built(`services/${name}/main.js`)), existsSync(source), name)
  }
  for (const path of ['services/cli/main.js', 'infra/postgres/0001_journal.sql', 'infra/clickhouse/0001_events.sql'])
    assert.ok(existsSync(built(path)), path)
})
