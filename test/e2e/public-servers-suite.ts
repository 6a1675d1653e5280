import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { type Bank, startBank } from '../../examples/bank/start.ts'
import { type Lab, startLab } from '../helpers/upstream/lab.ts'
import { type Answer, eventually, type Node, outcomeOf, type StartNode, textOf } from '../helpers/node.ts'

export function publicServersSuite(start: StartNode): void {
  const modules = fileURLToPath(new URL('../../node_modules', import.meta.url))
  const filesystem = join(modules, '@modelcontextprotocol/server-filesystem/dist/index.js')
  const sqlite = join(modules, 'mcp-sqlite/mcp-sqlite-server.js')

  let bankFolder: string
  let bank: Bank
  let lab: Lab
  let node: Node
  /** Where the filesystem server may write. */
  let files: string

  before(async () => {
    bankFolder = mkdtempSync(join(tmpdir(), 'holdfast-bank-'))
    files = mkdtempSync(join(tmpdir(), 'holdfast-files-'))
    bank = await startBank({ port: 0, dataDir: bankFolder })
    lab = await startLab({ era: 'modern' })
    node = await start({
      yaml: `
servers:
  bank: { url: ${bank.url}, timeout: 5s }
  lab: { url: ${lab.url}, timeout: 5s }
  files: { command: [node, ${filesystem}, ${files}], timeout: 10s }
  db:
    command: [node, ${sqlite}, "\${FOLDER}/test.db"]
    timeout: 10s
    tools: { read_records: { effect: read } }
roles: { all: { allow: ["*"] } }
agents: { dev: { roles: [all], readHistory: true } }
`,
    })
  })

  after(async () => {
    await node?.[Symbol.asyncDispose]()
    await Promise.all([bank?.stop(), lab?.stop()])
    for (const folder of [bankFolder, files]) rmSync(folder, { recursive: true, force: true })
  })

  type Client = { callTool(call: { name: string; arguments: Record<string, unknown> }): Promise<unknown> }
  const eras = ['modern', 'legacy'] as const
  const connect = (era: (typeof eras)[number], path: string): Promise<Client> =>
    era === 'modern' ? node.modern({ path }) : node.legacy({ path })

  const call = async (client: Client, name: string, args: Record<string, unknown>) =>
    (await client.callTool({ name, arguments: args })) as Answer

  for (const era of eras) {
    test(`bank: a lost reply is unknown, the money moves once, and neither the same nor a new key moves it again (${era})`, async () => {
      const client = await connect(era, '/bank')
      const order = { from: 'alice', to: 'bob', amount: era === 'modern' ? 11 : 12, lose_reply: true }
      const transfers = () => bank.ledger.transfers().filter(({ cents }) => cents === order.amount * 100)
      const key = `invoice-${era}`
      const lost = await call(client, 'transfer', { ...order, idempotency_key: key })
      assert.equal(outcomeOf(lost).state, 'unknown', textOf(lost))
      assert.match(textOf(lost), /MAY HAVE HAPPENED/)
      assert.equal(transfers().length, 1)

      const again = await call(client, 'transfer', { ...order, idempotency_key: key })
      assert.equal(outcomeOf(again).state, 'unknown')
      assert.equal(transfers().length, 1)

      const twin = await call(client, 'transfer', { ...order, idempotency_key: `${key}-again` })
      assert.equal(outcomeOf(twin).code, 'possible_duplicate')
      assert.match(textOf(twin), new RegExp(outcomeOf(lost).callId))
      assert.equal(transfers().length, 1)

      const balance = await call(client, 'get_balance', { account: 'bob' })
      assert.deepEqual(balance.structuredContent, {
        account: 'bob',
        balance: (bank.ledger.balance('bob') as number) / 100,
      })
      const deliberate = {
        ...order,
        lose_reply: false,
        idempotency_key: `${key}-second;after=${outcomeOf(lost).callId}`,
      }
      const second = await call(client, 'transfer', deliberate)
      assert.equal(outcomeOf(second).state, 'succeeded', textOf(second))
      assert.equal(transfers().length, 2)
    })

    test(`bank: the server's refusal is its own words, final for its key, and the structured answer fits its schema (${era})`, async () => {
      const client = await connect(era, '/bank')
      const before = bank.ledger.transfers().length
      const tooMuch = { from: 'carol', to: 'bob', amount: 9_999, idempotency_key: `too-much-${era}` }
      const refused = await call(client, 'transfer', tooMuch)
      assert.equal(refused.isError, true)
      assert.equal(outcomeOf(refused).state, 'failed')
      assert.match(textOf(refused), /Insufficient funds/)
      assert.equal(outcomeOf(await call(client, 'transfer', tooMuch)).replayed, true)
      assert.equal(bank.ledger.transfers().length, before)
      const paid = { from: 'alice', to: 'shop', amount: 1, memo: era, idempotency_key: `paid-${era}` }
      const first = await call(client, 'transfer', paid)
      const replay = await call(client, 'transfer', paid)
      assert.deepEqual(replay.structuredContent, first.structuredContent)
      assert.equal(bank.ledger.transfers().filter(({ memo }) => memo === era).length, 1)
    })

    test(`filesystem over stdio: an edit repeated with its key is applied once, and reads need no key (${era})`, async () => {
      const client = await connect(era, '/files')
      const path = join(files, `${era}.txt`)
      const write = { path, content: 'one\n', idempotency_key: `write-${era}` }
      const written = await call(client, 'write_file', write)
      assert.equal(outcomeOf(written).state, 'succeeded', textOf(written))
      const edit = { path, edits: [{ oldText: 'one', newText: 'one one' }], idempotency_key: `edit-${era}` }
      const first = await call(client, 'edit_file', edit)
      assert.equal(outcomeOf(first).state, 'succeeded', textOf(first))
      const again = await call(client, 'edit_file', edit)
      assert.equal(outcomeOf(again).replayed, true)
      assert.equal(textOf(again), textOf(first))
      assert.equal(outcomeOf(await call(client, 'write_file', write)).replayed, true)
      assert.equal(readFileSync(path, 'utf8'), 'one one\n')
      const read = await call(client, 'read_text_file', { path })
      assert.equal(read.isError ?? false, false, textOf(read))
      assert.match(textOf(read), /^one one/)
      const keyless = await call(client, 'write_file', { path, content: 'no key' })
      assert.equal(outcomeOf(keyless).code, 'idempotency_key_required')
      assert.equal(readFileSync(path, 'utf8'), 'one one\n')
    })

    test(`mcp-sqlite: create_record with one key makes one row (${era})`, async () => {
      const client = await connect(era, '/db')
      const table = `payments_${era}`
      const create = {
        sql: `create table ${table} (id integer primary key, amount real)`,
        idempotency_key: `table-${era}`,
      }
      const created = await call(client, 'query', create)
      assert.equal(outcomeOf(created).state, 'succeeded', textOf(created))
      const record = { table, data: { amount: 12.5 }, idempotency_key: `row-${era}` }
      const first = await call(client, 'create_record', record)
      assert.equal(outcomeOf(first).state, 'succeeded', textOf(first))
      const again = await call(client, 'create_record', record)
      assert.equal(outcomeOf(again).replayed, true)
      assert.equal(textOf(again), textOf(first))
      const rows = JSON.parse(textOf(await call(client, 'read_records', { table }))) as unknown[]
      assert.equal(rows.length, 1)
    })
  }

  /** The filesystem server's own process, not the shell that guards it: the argument names its folder. */
  function childOf(folder: string): number {
    const lines = execFileSync('ps', ['-ww', '-eo', 'pid=,args='], { encoding: 'utf8' }).split('\n')
    const found = lines.filter(line => /^ *\d+ node /.test(line) && line.includes(filesystem) && line.includes(folder))
    assert.equal(found.length, 1, found.join('\n'))
    return Number.parseInt(found[0] as string, 10)
  }

  test('a stdio server that was killed is started again: the next call works and nothing is done twice', async () => {
    const client = await node.modern({ path: '/files' })
    const path = join(files, 'killed.txt')
    await call(client, 'write_file', { path, content: 'a', idempotency_key: 'before-kill' })
    const pid = childOf(files)
    process.kill(pid, 'SIGKILL')
    await eventually(async () => (existsSync(`/proc/${pid}`) ? undefined : true), { what: 'the end of the child' })
    const edit = { path, edits: [{ oldText: 'a', newText: 'aa' }], idempotency_key: 'after-kill' }
    const after = await call(client, 'edit_file', edit)
    assert.equal(outcomeOf(after).state, 'succeeded', textOf(after))
    assert.notEqual(childOf(files), pid)
    await call(client, 'edit_file', edit)
    await call(client, 'write_file', { path, content: 'a', idempotency_key: 'before-kill' })
    assert.equal(readFileSync(path, 'utf8'), 'aa')
  })

  test('all servers stand behind one address, each tool under the name of its server', async () => {
    const client = await node.modern()
    const { tools } = await client.listTools()
    const names = tools.map(({ name }) => name)
    for (const name of ['bank__transfer', 'files__edit_file', 'db__create_record', 'lab__write', 'holdfast_outcome']) {
      assert.ok(names.includes(name), `${name} of ${names.join(' ')}`)
    }
    mkdirSync(join(files, 'folder'), { recursive: true })
    const listed = await call(client, 'files__list_directory', { path: files })
    assert.match(textOf(listed), /\[DIR\] folder/)
  })

  test('a server that is down keeps its tools, also after a restart; a write says nothing was sent, and runs once it is back', async () => {
    const port = lab.port
    const args = { what: 'down', idempotency_key: 'down' }
    const listed = async () => (await (await node.modern({ path: '/lab' })).listTools()).tools.map(({ name }) => name)
    const whenUp = await listed()
    assert.ok(whenUp.includes('write'))
    await lab.stop()
    assert.deepEqual(await listed(), whenUp)
    const first = await call(await node.legacy({ path: '/lab' }), 'write', args)
    assert.equal(outcomeOf(first).state, 'not_executed', textOf(first))
    assert.match(textOf(first), /^NOTHING WAS SENT\./)

    assert.equal(await node.interrupt(), 0)
    await node.start()
    assert.deepEqual(await listed(), whenUp)
    const second = await call(await node.modern({ path: '/lab' }), 'write', args)
    assert.equal(outcomeOf(second).state, 'not_executed', textOf(second))

    lab = await startLab({ era: 'modern', port })
    const ran = await eventually(
      async () => {
        const answer = await call(await node.modern({ path: '/lab' }), 'write', args)
        return outcomeOf(answer).state === 'not_executed' ? undefined : answer
      },
      { what: 'the write, once its server is back' },
    )
    assert.equal(outcomeOf(ran).state, 'succeeded', textOf(ran))
    assert.ok((outcomeOf(ran).epoch as number) >= 3)
    assert.equal(lab.effects().length, 1)
    assert.equal(outcomeOf(await call(await node.legacy({ path: '/lab' }), 'write', args)).replayed, true)
    assert.equal(lab.effects().length, 1)
  })
}
