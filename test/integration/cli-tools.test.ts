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
  const { definition, ...transfer } = only.tools.find((tool: { tool: string }) => tool.tool === 'transfer')
  assert.deepEqual(transfer, { tool: 'transfer', effect: 'write', source: 'default' })
  assert.match(definition, /^[0-9a-f]{64}$/)
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

test('check names the recipe that fits a server, and with --servers every tool that is not what it was', async () => {
  const fits = await configure(
    `servers:\n  files:\n    command: [node, ${JSON.stringify(filesystem)}, "\${data}/files"]\n`,
  )
  assert.match((await runCli(['check'], fits)).out, /^files .* none; one fits: recipe: server-filesystem$/m)

  const inputSchema = { type: 'object' }
  const tools = ['read_file', 'write_file', 'move_file', 'shred_file'].map(name => ({ name, inputSchema }))
  const lab = await startLab({ era: 'modern', tools })
  try {
    const here = await configure(
      `servers:\n  files: { url: "${lab.url}", recipe: server-filesystem }\n  gone: { url: "http://127.0.0.1:1/mcp" }\n`,
    )
    assert.equal((await runCli(['check'], here)).exit, 0)
    const { exit, out, err } = await runCli(['check', '--servers'], here)
    assert.equal(exit, 1)
    assert.equal(err, 'There are 5 problems.\n')
    const changed = 'is defined otherwise than in 2026.8.31, which recipe server-filesystem was written for'
    assert.ok(
      out.includes(`files:read_file ${changed} (that it is a read is not believed until you say effect: read)`),
      out,
    )
    assert.ok(out.includes(`files:write_file ${changed} (see that its recover: still holds, or write your own)`))
    assert.ok(out.includes(`files:move_file ${changed}\n`))
    assert.match(out, /^files:shred_file is not in recipe server-filesystem/m)
    assert.match(out, /^gone could not be asked: /m)
    // And a changed read is a write.
    assert.match((await runCli(['tools', 'files'], here)).out, /^files:read_file +write +nobody says otherwise$/m)
  } finally {
    await lab.stop()
  }
})
