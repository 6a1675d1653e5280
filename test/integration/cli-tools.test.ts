import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { after, before } from 'node:test'
import { fileURLToPath } from 'node:url'
import { parse } from 'yaml'
import { type Bank, startBank } from '../../examples/bank/start.ts'
import { startLab } from '../helpers/upstream/lab.ts'
import { runCli } from '../helpers/cli.ts'

const filesystem = fileURLToPath(
  new URL('../../node_modules/@modelcontextprotocol/server-filesystem/dist/index.js', import.meta.url),
)

let cwd: string
let bank: Bank

before(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'holdfast-cli-tools-'))
  await mkdir(join(cwd, '.holdfast', 'files'), { recursive: true })
  bank = await startBank({ port: 0, dataDir: join(cwd, 'bank') })
})
after(async () => {
  await bank.stop()
  await rm(cwd, { recursive: true })
})

async function configure(text: string) {
  await writeFile(join(cwd, 'holdfast.yaml'), text)
  return { cwd, env: { PATH: process.env.PATH ?? '' } }
}

test('tools shows for each tool of each server what it was taken for, and who says so', async () => {
  const here = await configure(`servers:
  bank:
    url: ${bank.url}
    tools: { open_account: { effect: write } }
  files:
    command: [node, ${JSON.stringify(filesystem)}, "\${data}/files"]
`)
  const { exit, out, err } = await runCli(['tools'], here)
  assert.equal(exit, 0, err)
  assert.match(out, /^bank:transfer +write +nobody says otherwise$/m)
  assert.match(out, /^bank:open_account +write +the configuration says so$/m)
  assert.match(out, /^bank:get_balance +read +the server says readOnlyHint: true$/m)
  assert.match(out, /^files:edit_file +write +nobody says otherwise$/m)
  const [only, ...others] = JSON.parse((await runCli(['tools', 'bank', '--json'], here)).out)
  assert.deepEqual(others, [])
  assert.deepEqual(
    only.tools.find((tool: { tool: string }) => tool.tool === 'transfer'),
    { tool: 'transfer', effect: 'write', source: 'default' },
  )
})

test('a server that cannot be reached is named, and the others are still shown', async () => {
  const here = await configure(`servers:\n  bank: { url: "${bank.url}" }\n  gone: { url: "http://127.0.0.1:1/mcp" }\n`)
  const { exit, out, err } = await runCli(['tools'], here)
  assert.equal(exit, 1)
  assert.match(out, /^bank:transfer /m)
  assert.match(err, /^Not all servers could be asked: gone: /)
  const wrong = await runCli(['tools', 'bnk'], here)
  assert.match(wrong.err, /^There is no server bnk in .* \(did you mean `bank`\?\)\n$/)
})

test('--suggest prints YAML that can be pasted, and leaves out what is already said', async () => {
  const inputSchema = { type: 'object' }
  const named = ['get_note', 'list notes', 'find_note', 'search_old', 'add_note', 'get_or_add']
  const tools = [
    ...named.map(name => ({ name, inputSchema })),
    { name: 'get_all', inputSchema, annotations: { readOnlyHint: true } },
  ]
  const lab = await startLab({ era: 'modern', tools })
  try {
    const here = await configure(
      `servers:\n  lab:\n    url: ${lab.url}\n    tools: { find_note: { effect: read }, search_old: { effect: write } }\n`,
    )
    const { exit, out, err } = await runCli(['tools', '--suggest'], here)
    assert.equal(exit, 0, err)
    assert.deepEqual(parse(out), {
      servers: { lab: { tools: { get_note: { effect: 'read' }, 'list notes': { effect: 'read' } } } },
    })
    assert.match(out, /get_note: \{ effect: read \} # its name begins with "get"/)
    // Nothing was applied: it is still a write.
    assert.match((await runCli(['tools'], here)).out, /^lab:get_note +write +nobody says otherwise$/m)
    const files = await configure(`servers:\n  bank: { url: "${bank.url}" }\n`)
    assert.match((await runCli(['tools', '--suggest'], files)).out, /^# Nothing to suggest/)
  } finally {
    await lab.stop()
  }
})
