import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { fileURLToPath } from 'node:url'
import { startBank } from '../../examples/bank/start.ts'
import { startNode } from '../helpers/node.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))

/** Runs `npm run demo`'s program over a data folder, with a temporary folder of its own to leave nothing in. */
async function runDemo(dataFolder: string): Promise<{ code: number | null; output: string; left: string[] }> {
  const temporary = mkdtempSync(join(tmpdir(), 'holdfast-demo-test-'))
  chmodSync(temporary, 0o755) // under root PostgreSQL is another user and has to get through
  const child: ChildProcess = spawn(process.execPath, ['--import', 'tsx', 'examples/demo/main.ts'], {
    cwd: root,
    env: { ...process.env, HOLDFAST_DATA: dataFolder, TMPDIR: temporary },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', chunk => (output += String(chunk)))
  const [code] = (await once(child, 'close')) as [number | null]
  // The folder of tsx's cache is not the demo's.
  const left = readdirSync(temporary).filter(name => !name.startsWith('tsx-'))
  rmSync(temporary, { recursive: true, force: true })
  return { code, output, left }
}

/** What differs from run to run. */
function withoutAccidents(text: string): string {
  const run = /invoice ([0-9a-f]{6})"/.exec(text)?.[1] ?? assert.fail(`no invoice in:\n${text}`)
  return text
    .replaceAll(run, 'RUN')
    .replaceAll(/\b01[0-9A-HJKMNP-TV-Z]{24}\b/g, 'CALL')
    .replaceAll(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, 'REFERENCE')
    .replaceAll(/\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d\.\d{3}/g, 'TIME')
    .replaceAll(/127\.0\.0\.1:\d+/g, 'ADDRESS')
}

const count = (text: string, part: string) => text.split(part).length - 1

test('without a Holdfast the demo starts one, tells its story from real answers, prints what README shows, and leaves nothing behind', async () => {
  const { code, output, left } = await runDemo(join(tmpdir(), 'holdfast-demo-test-no-such-folder'))
  assert.equal(code, 0, output)
  assert.equal(count(output, '< MAY HAVE HAPPENED.'), 2)
  assert.match(output, /< alice has 100\.00 EUR\.[^]*< alice has 75\.00 EUR\./)
  assert.match(output, /NOTHING WAS SENT for this request\. The same change was sent under another key/)
  assert.match(output, /"state": "unknown"/)
  assert.equal(count(output, '< Transferred 25.00 EUR from bob to alice.'), 2)
  assert.match(output, /│ unknown +│[^]*│ unknown +│[^]*│ conflicted +│[^]*│ succeeded +│[^]*│ succeeded +│/)
  assert.match(output, /│ connection_lost │/)
  assert.deepEqual(left, [])

  const readme = readFileSync(join(root, 'README.md'), 'utf8')
  const transcript =
    /<!-- npm run demo -->\n```text\n([^]*?)```/.exec(readme)?.[1] ?? assert.fail('README has no transcript')
  const printed = withoutAccidents(output).split('\n')
  const shown = withoutAccidents(transcript)
    .split('\n')
    .filter(line => line.trim() !== '' && line.trim() !== '…')
  assert.ok(shown.length > 15)
  let from = 0
  for (const line of shown) {
    const at = printed.indexOf(line, from)
    assert.ok(
      at >= 0,
      `README shows what the demo does not print (any more, or here):\n${line}\n\n${printed.join('\n')}`,
    )
    from = at + 1
  }
})

test('beside a running Holdfast the demo uses that one, can be told again over the same data, and stops nothing', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-demo-bank-'))
  const bank = await startBank({ port: 0, dataDir: folder })
  const node = await startNode({ yaml: configuration(bank.url, true) })
  try {
    for (const transfers of [2, 4]) {
      const { code, output } = await runDemo(join(node.folder, 'data'))
      assert.equal(code, 0, output)
      assert.ok(output.startsWith(`Holdfast: the one that runs at ${node.ready().mcp}.`), output)
      assert.equal(bank.ledger.transfers().length, transfers)
    }
    assert.equal((await fetch(new URL('/readyz', node.ready().mcp))).status, 200)
  } finally {
    await node[Symbol.asyncDispose]()
    await bank.stop()
    rmSync(folder, { recursive: true })
  }
})

test('what is not as narrated ends the demo with exit code 1 and the reason', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-demo-bank-'))
  const bank = await startBank({ port: 0, dataDir: folder })
  const node = await startNode({ yaml: configuration(bank.url, false) })
  try {
    const { code, output } = await runDemo(join(node.folder, 'data'))
    assert.equal(code, 1, output)
    assert.match(output, /Not as narrated: .*dev may not read the history/)
  } finally {
    await node[Symbol.asyncDispose]()
    await bank.stop()
    rmSync(folder, { recursive: true })
  }
})

const configuration = (url: string, readHistory: boolean) => `
servers: { bank: { url: ${url} } }
roles: { all: { allow: ["*"] } }
agents: { dev: { roles: [all], readHistory: ${readHistory} } }
`
