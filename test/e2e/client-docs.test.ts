import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { after, before } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { type Bank, startBank } from '../../examples/bank/start.ts'
import { type Node, startNode } from '../helpers/node.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))
const run = promisify(execFile)

let folder: string
let bank: Bank
let node: Node
before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-client-docs-'))
  bank = await startBank({ port: 0, dataDir: folder })
  node = await startNode({
    yaml: `
servers: { bank: { url: ${bank.url}, timeout: 10s } }
roles: { all: { allow: ["*"] } }
agents: { dev: { roles: [all] } }
`,
  })
})
after(async () => {
  await node?.[Symbol.asyncDispose]()
  await bank?.stop()
  rmSync(folder, { recursive: true })
})

test('the program of docs/client.md prints what the page says it prints, and the bank has each transfer once', async () => {
  const page = readFileSync(join(root, 'docs/client.md'), 'utf8')
  const blocks = (kind: string) =>
    [...page.matchAll(/^```(\w+)\n([^]*?)^```$/gm)].filter(([, info]) => info === kind).map(([, , text]) => text ?? '')
  const program = blocks('js').join('\n')
  assert.ok(blocks('js').length >= 3)
  // Inside the package, or it could not import it by its name.
  const place = mkdtempSync(join(root, 'test', 'docs-program-'))
  try {
    writeFileSync(join(place, 'page.mjs'), program)
    const { mcp, key } = node.ready()
    const env = { ...process.env, HOLDFAST_MCP: mcp, HOLDFAST_KEY: key }
    const { stdout } = await run(process.execPath, ['--import', 'tsx', join(place, 'page.mjs')], { cwd: root, env })
    assert.equal(stdout, blocks('text').join(''))
  } finally {
    rmSync(place, { recursive: true })
  }
  assert.deepEqual(
    bank.ledger.transfers().map(({ cents }) => cents),
    [2500, 500],
  )
})

test('the example agent finds out what became of its payments, beside the Holdfast that runs', async () => {
  const env = { ...process.env, HOLDFAST_DATA: join(node.folder, 'data') }
  const before = bank.ledger.transfers().length
  const { stdout } = await run(process.execPath, ['--import', 'tsx', 'examples/agent/main.ts'], { cwd: root, env })
  assert.match(stdout, /the connection dropped; asked, and it had happened/)
  assert.match(stdout, /unconfirmed \(connection_lost\), not failed/)
  assert.match(stdout, /Everything above was asserted\.\n$/)
  assert.equal(bank.ledger.transfers().length - before, 2)
})
