/** What README.md and docs/start.md promise of `npm start`. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { type Bank, startBank } from '../../examples/bank/start.ts'
import { eventually, type Node, outcomeOf, startNode } from '../helpers/node.ts'

const pathOf = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url))
const transfer = { from: 'alice', to: 'bob', amount: 25, memo: 'readme', idempotency_key: 'readme/1 paid' }

let bank: Bank
let bankFolder: string
let node: Node

/** The example configuration with addresses that do not collide with a Holdfast somebody runs here. */
before(async () => {
  bankFolder = mkdtempSync(join(tmpdir(), 'holdfast-readme-'))
  bank = await startBank({ port: 0, dataDir: bankFolder })
  const yaml = readFileSync(pathOf('examples/holdfast.yaml'), 'utf8')
    .replace('http://127.0.0.1:4001/mcp', bank.url)
    .replace('../node_modules', pathOf('node_modules'))
    .replace('${data}/files', '${FOLDER}')
  node = await startNode({ yaml })
  const client = await node.legacy({ path: '/bank' })
  assert.equal(outcomeOf(await client.callTool({ name: 'transfer', arguments: transfer })).state, 'succeeded')
})

after(async () => {
  await node?.[Symbol.asyncDispose]()
  await bank?.stop()
  rmSync(bankFolder, { recursive: true, force: true })
})

const get = (url: string, key: string) => fetch(url, { headers: { authorization: `Bearer ${key}` } })

test('the ready line comes with the addresses, the key and the line for a client, as they work', () => {
  const { mcp, outcomes, sql, key } = node.ready()
  const printed = node.output()
  assert.match(printed, /Holdfast is ready \(\d+\.\d s\), in front of: bank, files/)
  for (const part of [mcp, `${outcomes}/{server}/{key}`, sql, key])
    assert.ok(printed.includes(part), `${part}\n${printed}`)
  const line = `claude mcp add --transport http holdfast ${mcp} --header "Authorization: Bearer ${key}"`
  assert.ok(printed.includes(line), printed)
})

test('README names the line for a client as npm start prints it', () => {
  const { mcp, key } = node.ready()
  const readme = readFileSync(pathOf('README.md'), 'utf8')
  const line = /claude mcp add .*/.exec(readme)?.[0] ?? assert.fail('no such line')
  const filledIn = line.replace('http://127.0.0.1:8080/mcp', mcp).replace(/Bearer [^"]*/, `Bearer ${key}`)
  assert.ok(node.output().includes(filledIn), `${filledIn}\n${node.output()}`)
})

test('ready.json holds mcp, outcomes, sql and key, for its owner only', () => {
  const path = join(node.folder, 'data', 'ready.json')
  assert.deepEqual(Object.keys(JSON.parse(readFileSync(path, 'utf8'))), ['mcp', 'outcomes', 'sql', 'key'])
  assert.equal(statSync(path).mode & 0o777, 0o600)
})

test('the outcome of a key can be asked for over HTTP with the key of ready.json, and not without', async () => {
  const { outcomes, key } = node.ready()
  const url = `${outcomes}/bank/${encodeURIComponent(transfer.idempotency_key)}`
  const answer = await get(url, key)
  assert.equal(answer.status, 200)
  const { state, tool, attempts } = (await answer.json()) as Record<string, unknown>
  assert.deepEqual({ state, tool, attempts }, { state: 'succeeded', tool: 'transfer', attempts: 1 })
  assert.equal((await get(`${outcomes}/bank/never-used`, key)).status, 404)
  assert.equal((await fetch(url)).status, 401)
})

test('the history answers SQL over HTTP with the same key, and not without', async () => {
  const { sql, key } = node.ready()
  const query = `select state, attempts from holdfast.calls where idempotency_key = '${transfer.idempotency_key}' and state = 'succeeded'`
  const row = await eventually(
    async () => {
      const answer = await fetch(sql, { method: 'POST', body: query, headers: { authorization: `Bearer ${key}` } })
      return (await answer.text()) || undefined
    },
    { what: 'the row' },
  )
  assert.equal(row, 'succeeded\t1\n')
  assert.equal((await fetch(sql, { method: 'POST', body: query })).status, 401)
})

test('every query that docs show runs', async () => {
  const queries = readdirSync(pathOf('docs'))
    // Those of queries.md have parameters: test/integration/questions.test.ts asks them.
    .filter(name => name.endsWith('.md') && name !== 'queries.md')
    .flatMap(name => [...readFileSync(pathOf(`docs/${name}`), 'utf8').matchAll(/^```sql\n([^]*?)^```$/gm)])
    .map(([, query]) => query ?? '')
  assert.ok(queries.length >= 8, `only ${queries.length} were found`)
  for (const query of queries) await assert.doesNotReject(node.sql(query), query)
  const gaps = queries.find(query => query.includes('having last != recorded')) ?? assert.fail('no query for gaps')
  assert.deepEqual(await node.sql(gaps), [])
})

test('the key stays the same over restarts, and what was done is still known', async () => {
  const { key } = node.ready()
  assert.equal(await node.interrupt(), 0, node.output())
  await node.start()
  assert.equal(node.ready().key, key)
  const client = await node.modern({ path: '/bank' })
  const again = await client.callTool({ name: 'transfer', arguments: transfer })
  assert.equal(outcomeOf(again).replayed, true)
  assert.equal(bank.ledger.transfers().length, 1)
})

test('with nothing configured npm start runs the example over .holdfast, or names who holds the port of its bank', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-npm-start-'))
  chmodSync(folder, 0o755)
  const isTaken = await isListening(4001)
  const child = spawn(process.execPath, ['--import', import.meta.resolve('tsx'), pathOf('services/single/main.ts')], {
    cwd: folder,
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'], HOLDFAST_FRONT_PORT: '0', HOLDFAST_AUDIT_PORT: '0' },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let printed = ''
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', chunk => (printed += String(chunk)))
  const closed = once(child, 'close') as Promise<[number | null]>
  try {
    if (isTaken) {
      assert.equal((await closed)[0], 1)
      return assert.match(printed, /port 4001 is in use by .*holdfast\.yaml of your own/)
    }
    const isOver = () => printed.includes('Ctrl-C stops it.') || child.exitCode !== null
    await eventually(async () => isOver() || undefined, { withinMs: 60_000, what: 'the ready line' })
    assert.match(printed, /in front of: bank, files \(examples\/holdfast\.yaml\)/)
    assert.ok(existsSync(join(folder, '.holdfast', 'ready.json')))
    child.kill('SIGINT')
    assert.equal((await closed)[0], 0, printed)
  } finally {
    if (child.exitCode === null && child.signalCode === null && child.kill('SIGTERM')) await closed
    rmSync(folder, { recursive: true, force: true })
  }
})

function isListening(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect({ port, host: '127.0.0.1' })
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}
