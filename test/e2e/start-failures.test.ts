import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test, type TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { type Lab, startLab } from '../helpers/upstream/lab.ts'
import { type Node, outcomeOf, startNode } from '../helpers/node.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))

let lab: Lab
let node: Node

before(async () => {
  lab = await startLab({ era: 'modern' })
  node = await startNode({ yaml: goodConfig() })
})

after(async () => {
  await node?.[Symbol.asyncDispose]()
  await lab?.stop()
})

const goodConfig = () => `
servers: { lab: { url: ${lab.url} } }
roles: { all: { allow: ["*"] } }
agents: { dev: { roles: [all] } }
`

type Ended = { readonly code: number | null; readonly out: string; readonly err: string }

/** Runs the program until it ends by itself; one that starts after all is ended and fails the test. */
async function runToEnd(
  t: TestContext,
  { yaml, env = {} }: { yaml: string; env?: Record<string, string> },
): Promise<Ended> {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-start-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  // PostgreSQL runs as another user when the tests run as root, and must come through.
  chmodSync(folder, 0o755)
  const config = join(folder, 'holdfast.yaml')
  writeFileSync(config, yaml)
  const child = spawn(process.execPath, ['--import', 'tsx', join(root, 'services/single/main.ts')], {
    cwd: root,
    env: {
      ...process.env,
      HOLDFAST_CONFIG: config,
      HOLDFAST_DATA: join(folder, 'data'),
      HOLDFAST_FRONT_PORT: '0',
      HOLDFAST_AUDIT_PORT: '0',
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let out = ''
  let err = ''
  child.stdout.on('data', chunk => {
    out += String(chunk)
    if (out.includes('Holdfast is ready')) child.kill('SIGTERM')
  })
  child.stderr.on('data', chunk => (err += String(chunk)))
  const code = await new Promise<number | null>(resolve => child.once('close', resolve))
  assert.doesNotMatch(out, /Holdfast is ready/)
  return { code, out, err }
}

/** Exit code 1, the words, and nothing that only a programmer could read. */
function assertRefused({ code, err }: Ended, ...expected: readonly RegExp[]): void {
  assert.equal(code, 1, err)
  for (const words of expected) assert.match(err, words)
  assert.doesNotMatch(err, /^ +at |node:internal|\.ts:\d|its own fault/m)
}

const problems = ({ err }: Ended) => err.split('\n').filter(line => /^ {2}\S/.test(line))

test('a configuration with many mistakes names each of them with line and column', async t => {
  const ended = await runToEnd(t, {
    yaml: `servers:
  lab:
    urll: http://127.0.0.1:1/mcp
    timeout: soon
  Big_Name: { url: "http://127.0.0.1:1/mcp" }
  both: { url: "http://127.0.0.1:1/mcp", command: [x], concurrency: 0 }
roles:
  all: { alow: ["*"] }
agents:
  dev: { roles: [missing] }
limitz: {}
`,
  })
  assertRefused(
    ended,
    /holdfast\.yaml:3:5: unknown setting `urll` \(did you mean `url`\?\)/,
    /holdfast\.yaml:4:14: .*timeout/,
    /holdfast\.yaml:5:3: .*Big_Name/,
    /holdfast\.yaml:6:\d+: /,
    /holdfast\.yaml:8:10: unknown setting `alow` \(did you mean `allow`\?\)/,
    /holdfast\.yaml:10:\d+: .*missing/,
    /holdfast\.yaml:11:1: unknown setting `limitz` \(did you mean `limits`\?\)/,
  )
  assert.ok(problems(ended).length >= 8, ended.err)
})

test('text that is no YAML is refused with line and column', async t => {
  assertRefused(await runToEnd(t, { yaml: 'servers:\n  lab: { url: "http://x\n' }), /holdfast\.yaml:\d+:\d+: /)
  assertRefused(await runToEnd(t, { yaml: 'servers:\n\tlab: 1\n' }), /holdfast\.yaml:2:1: /)
  assertRefused(await runToEnd(t, { yaml: '- a\n- b\n' }), /holdfast\.yaml/)
  assertRefused(await runToEnd(t, { yaml: '' }), /holdfast\.yaml/)
})

test('a secret that is missing in the environment is named with the place that asks for it', async t => {
  const yaml = `servers:
  lab:
    url: http://127.0.0.1:1/mcp
    headers: { Authorization: "Bearer \${env:HOLDFAST_TEST_NO_SUCH_TOKEN}" }
`
  assertRefused(await runToEnd(t, { yaml }), /holdfast\.yaml:4:\d+: .*HOLDFAST_TEST_NO_SUCH_TOKEN/)
  assertRefused(await runToEnd(t, { yaml, env: { HOLDFAST_TEST_NO_SUCH_TOKEN: '' } }), /HOLDFAST_TEST_NO_SUCH_TOKEN/)
})

test('a configuration file that is not there, and variables that make no sense, are refused in a sentence each', async t => {
  const missing = join(tmpdir(), 'holdfast-no-such-file.yaml')
  assertRefused(await runToEnd(t, { yaml: '', env: { HOLDFAST_CONFIG: missing } }), /holdfast-no-such-file\.yaml/)
  const ended = await runToEnd(t, {
    yaml: goodConfig(),
    env: { HOLDFAST_FRONT_PORT: 'eighty', HOLDFAST_AUDIT_PORT: '70000', HOLDFAST_DEV_KEY: 'short' },
  })
  assertRefused(ended, /HOLDFAST_FRONT_PORT/, /HOLDFAST_AUDIT_PORT/)
})

test('a port in use is refused, naming who holds it and the variable to set', async t => {
  const holder = createServer().listen(0, '127.0.0.1')
  t.after(() => holder.close())
  await new Promise(resolve => holder.once('listening', resolve))
  const port = String((holder.address() as AddressInfo).port)
  for (const variable of ['HOLDFAST_FRONT_PORT', 'HOLDFAST_AUDIT_PORT']) {
    const ended = await runToEnd(t, { yaml: goodConfig(), env: { [variable]: port } })
    assertRefused(ended, new RegExp(`port ${port} is in use by .*\\(process ${process.pid}\\).*${variable}`))
    assert.equal(problems(ended).length, 1, ended.err)
  }
})

test('a data folder in use is refused, naming the process, and the one that has it goes on', async t => {
  const ended = await runToEnd(t, { yaml: goodConfig(), env: { HOLDFAST_DATA: join(node.folder, 'data') } })
  assertRefused(ended, new RegExp(`the data folder .* is in use by another Holdfast \\(process ${node.pid}\\)`))
  const client = await node.modern({ path: '/lab' })
  const answer = await client.callTool({ name: 'write', arguments: { idempotency_key: 'still-here' } })
  assert.equal(outcomeOf(answer).state, 'succeeded')
})

test('a data folder that cannot be one is refused in a sentence', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-start-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const file = join(folder, 'file')
  writeFileSync(file, 'not a folder')
  assertRefused(await runToEnd(t, { yaml: goodConfig(), env: { HOLDFAST_DATA: file } }), /HOLDFAST_DATA/)
  assertRefused(await runToEnd(t, { yaml: goodConfig(), env: { HOLDFAST_DATA: join(file, 'below') } }), /HOLDFAST_DATA/)
})

test('a database that does not answer is refused in a sentence that names it and not its password', async t => {
  const url = 'postgres://somebody:very-secret@127.0.0.1:1/none'
  const ended = await runToEnd(t, { yaml: goodConfig(), env: { DATABASE_URL: url } })
  assertRefused(ended, /DATABASE_URL|database|PostgreSQL/i)
  assert.doesNotMatch(ended.err + ended.out, /very-secret/)
})
