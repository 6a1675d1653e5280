import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { startBank } from '../../examples/bank/start.ts'
import { classify, type Seen } from '../../shared/call/seen.ts'
import { callOf, upstreamsFor } from '../helpers/upstream/harness.ts'
import { startSdkServer } from '../helpers/upstream/sdk-server.ts'

type Result = { content: [{ text: string }]; structuredContent: Record<string, unknown> }
const resultOf = (seen: Seen): Result => {
  assert.equal(seen.kind, 'result', JSON.stringify(seen))
  return JSON.parse((seen as Extract<Seen, { kind: 'result' }>).raw) as Result
}

async function bankOf(t: TestContext, dataDir: string, port = 0) {
  const bank = await startBank({ port, dataDir })
  let stopped: Promise<void> | undefined
  const stop = () => (stopped ??= bank.stop())
  t.after(stop)
  return { ...bank, stop }
}

function temporaryFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-bank-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

test('bank (v1 SDK, legacy): transfers, balances and refusals are plain answers', async t => {
  const bank = await bankOf(t, temporaryFolder(t))
  const upstreams = upstreamsFor(t, [{ id: 'bank', url: bank.url }])
  assert.equal((await upstreams.serverInfo('bank')).era, 'legacy')
  const tools = await upstreams.tools('bank')
  assert.deepEqual(tools.map(tool => tool.name).sort(), ['get_balance', 'list_transfers', 'open_account', 'transfer'])
  const done = resultOf(
    await upstreams.dispatch(callOf('bank', 'transfer', { from: 'alice', to: 'bob', amount: 12.34, memo: 'lunch' })),
  )
  assert.match(done.content[0].text, /Transferred 12.34 EUR from alice to bob. alice now has 87.66 EUR./)
  const balance = resultOf(await upstreams.dispatch(callOf('bank', 'get_balance', { account: 'bob' })))
  assert.deepEqual(balance.structuredContent, { account: 'bob', balance: 62.34 })
  const refused = await upstreams.dispatch(callOf('bank', 'transfer', { from: 'alice', to: 'bob', amount: 1000 }))
  assert.match(resultOf(refused).content[0].text, /Insufficient funds/)
  assert.equal(classify(refused).state, 'failed')
  assert.equal(bank.ledger.transfers().length, 1)
})

test('bank: a lost reply is unknown, and the money has moved once', async t => {
  const bank = await bankOf(t, temporaryFolder(t))
  const upstreams = upstreamsFor(t, [{ id: 'bank', url: bank.url }])
  const seen = await upstreams.dispatch(
    callOf('bank', 'transfer', { from: 'alice', to: 'bob', amount: 1, lose_reply: true }),
  )
  assert.equal(seen.kind, 'lost')
  assert.deepEqual(classify(seen), { state: 'unknown', code: 'connection_lost' })
  assert.equal(bank.ledger.transfers().length, 1)
})

test('bank: the ledger survives a restart, and its lost sessions are turned away before anything is done', async t => {
  const folder = temporaryFolder(t)
  const first = await bankOf(t, folder)
  const upstreams = upstreamsFor(t, [{ id: 'bank', url: first.url }])
  const order = { from: 'alice', to: 'shop', amount: 5 }
  await upstreams.dispatch(callOf('bank', 'transfer', order))
  await first.stop()
  const second = await bankOf(t, folder, Number(new URL(first.url).port))
  assert.equal(second.ledger.balance('shop'), 500)
  let away = await upstreams.dispatch(callOf('bank', 'list_transfers'))
  // The kept-alive socket of the old process may take a first request with it: seen as lost, as it must be.
  if (away.kind === 'lost') away = await upstreams.dispatch(callOf('bank', 'list_transfers'))
  assert.equal(away.kind === 'http' && away.session && away.status === 404, true, JSON.stringify(away))
  resultOf(await upstreams.dispatch(callOf('bank', 'transfer', order)))
  assert.equal(second.ledger.balance('shop'), 1000)
  const lines = readFileSync(join(folder, 'ledger.jsonl'), 'utf8').trim().split('\n')
  const ids = lines.map(line => (JSON.parse(line) as { id: string }).id)
  assert.equal(new Set(ids).size, lines.length)
})

test('v2 SDK server (modern): results, progress, mirrored headers and changed tools', async t => {
  const server = await startSdkServer()
  t.after(server.stop)
  const upstreams = upstreamsFor(t, [{ id: 'notes', url: server.url }])
  assert.equal((await upstreams.serverInfo('notes')).era, 'modern')
  const heard: unknown[] = []
  const noted = await upstreams.dispatch(
    callOf('notes', 'note', { text: 'x' }, { onProgress: progress => heard.push(progress) }),
  )
  assert.deepEqual(resultOf(noted).structuredContent.count, 1)
  assert.deepEqual(heard, [{ progress: 1, total: 2, message: 'written' }])
  const shouted = await upstreams.dispatch(callOf('notes', 'shout', { text: 'hello', region: 'Zürich' }))
  assert.equal(resultOf(shouted).content[0].text, 'Zürich: HELLO')
  const changed = new Promise<void>(resolve => upstreams.onToolsChanged('notes', resolve))
  // Whether the stream is open already cannot be seen from here: add until it is heard.
  let added = 0
  const adding = setInterval(() => server.addTool(`added_${(added += 1)}`), 50)
  await changed.finally(() => clearInterval(adding))
  assert.equal(
    (await upstreams.tools('notes')).some(tool => tool.name === 'added_1'),
    true,
  )
  assert.deepEqual(server.notes, ['x'])
})
