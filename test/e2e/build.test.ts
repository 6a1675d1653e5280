/** What images run: the built JavaScript, over the real stores, as the sources do. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { type Bank, startBank } from '../../examples/bank/start.ts'
import { build } from '../../infra/build/build.ts'
import { services } from '../../infra/docker/services.ts'
import { freePort, startCluster } from '../helpers/cluster.ts'
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

test('front, broker and audit of the image make a cluster, and stop when they are told to', async () => {
  await using cluster = await startCluster({
    yaml: `
servers: { bank: { url: ${bank.url}, timeout: 5s, tools: { transfer: { effect: write } } } }
roles: { all: { allow: ["*"] } }
agents: { dev: { roles: [all], readHistory: true } }
`,
    fronts: 1,
    brokers: 1,
    program: service => ['--enable-source-maps', built(`services/${service}/main.js`)],
  })
  const client = await cluster.modern(cluster.fronts, { path: '/bank' })
  const transfer = { from: 'alice', to: 'bob', amount: 5, memo: 'built', idempotency_key: 'built/2' }
  assert.equal(outcomeOf(await client.callTool({ name: 'transfer', arguments: transfer })).state, 'succeeded')
  await eventually(async () => {
    const rows = await cluster.sql("select state from calls where idempotency_key = 'built/2'")
    return rows.length === 1 ? rows : undefined
  })
  for (const member of cluster.members) {
    const health = await healthCheck(member.service, new URL(member.url).port)
    assert.deepEqual({ service: member.service, ...health }, { service: member.service, code: 0, ready: true })
    assert.equal(await member.terminate(), 0, member.log())
    assert.equal((await healthCheck(member.service, new URL(member.url).port)).code, 1)
  }
})

/** As the image's HEALTHCHECK asks, in a container where only this service listens. */
async function healthCheck(service: string, port: string): Promise<{ code: number; ready: boolean | undefined }> {
  const nobody = String(await freePort())
  const ports = { HOLDFAST_FRONT_PORT: nobody, HOLDFAST_BROKER_PORT: nobody, HOLDFAST_AUDIT_PORT: nobody }
  const script = fileURLToPath(new URL('../../infra/docker/health.js', import.meta.url))
  const child = spawn(process.execPath, [script], {
    env: { ...ports, [`HOLDFAST_${service.toUpperCase()}_PORT`]: port },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const text = Buffer.concat(await child.stdout.toArray()).toString()
  const code = child.exitCode ?? ((await once(child, 'exit'))[0] as number)
  return { code, ready: text.startsWith('{') ? (JSON.parse(text) as { ready: boolean }).ready : undefined }
}

test('every program of the image is there, and the migrations beside it', () => {
  for (const { name } of services) {
    assert.ok(existsSync(built(`services/${name}/main.js`)), name)
  }
  for (const path of ['services/cli/main.js', 'infra/postgres/0001_journal.sql', 'infra/clickhouse/0001_events.sql'])
    assert.ok(existsSync(built(path)), path)
})
