/** From a folder with servers of a client to an agent behind Holdfast: import, start, and the line for the client. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { type Answer, outcomeOf, textOf } from '../helpers/node.ts'

const bin = fileURLToPath(new URL('../../services/cli/bin.js', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'holdfast-three-'))
const children: ChildProcess[] = []

after(async () => {
  for (const child of children.filter(({ exitCode }) => exitCode === null)) {
    child.kill('SIGTERM')
    await once(child, 'exit')
  }
  rmSync(folder, { recursive: true, force: true })
})

const page = readFileSync(new URL('../../docs/import.md', import.meta.url), 'utf8')
const blockOf = (kind: string): string =>
  new RegExp(`\`\`\`${kind}\\n([^]*?)\`\`\``).exec(page)?.[1] ?? assert.fail(kind)

async function freePort(): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return String(port)
}

/** What a person types in the folder. Resolves with what it printed: at its end, or when it says so. */
async function holdfast(words: string[], env: Record<string, string>, until?: string): Promise<string> {
  const child = spawn(process.execPath, [bin, ...words], { cwd: folder, env: { ...process.env, ...env } })
  children.push(child)
  let printed = ''
  const closed = once(child, 'close')
  const said = new Promise<void>(resolve => {
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', chunk => {
        printed += String(chunk)
        if (until !== undefined && printed.includes(until)) resolve()
      })
  })
  await Promise.race([said, closed])
  if (until === undefined) assert.equal(child.exitCode, 0, printed)
  else assert.ok(printed.includes(until), printed)
  return printed
}

type Pointed = { mcpServers: { holdfast: { url: string; headers: { Authorization: string } } } }

test('filesystem, memory and sqlite of a .mcp.json stand behind Holdfast after three commands, within five minutes', async t => {
  chmodSync(folder, 0o755)
  mkdirSync(join(folder, 'notes'))
  symlinkSync(fileURLToPath(new URL('../../node_modules', import.meta.url)), join(folder, 'node_modules'))
  // The folder of docs/import.md; only the graph is kept here, instead of beside the server's program.
  const { mcpServers } = JSON.parse(blockOf('json')) as { mcpServers: Record<string, object> }
  mcpServers.memory = { ...mcpServers.memory, env: { MEMORY_FILE_PATH: join(folder, 'memory.jsonl') } }
  writeFileSync(join(folder, '.mcp.json'), JSON.stringify({ mcpServers }))
  const env = { HOLDFAST_FRONT_PORT: await freePort(), HOLDFAST_AUDIT_PORT: '0' }
  const startedAt = performance.now()

  const imported = await holdfast(['import'], env)
  assert.match(imported, /^filesystem:write_file +write +recipe server-filesystem$/m)
  assert.match(imported, /^sqlite:read_records +read +recipe mcp-sqlite$/m)
  const documented = blockOf('text').replace('127.0.0.1:8080', `127.0.0.1:${env.HOLDFAST_FRONT_PORT}`).split('\n')
  for (const printed of documented.filter(text => text !== '…'))
    assert.ok(
      imported.split('\n').includes(printed),
      `docs/import.md shows a line that is not printed: ${printed}\n${imported}`,
    )
  await holdfast(['start'], { ...env, TICKETS_TOKEN: 'as in the file' }, 'Holdfast is ready')

  // The third: the printed line instead of the servers, and the key in the client's environment.
  const line = /Point the client at Holdfast.*\n.*\n +(.*)\n/.exec(imported)?.[1] ?? ''
  const { holdfast: pointed } = (JSON.parse(`{${line}}`) as Pointed).mcpServers
  const { key } = JSON.parse(readFileSync(join(folder, '.holdfast', 'ready.json'), 'utf8')) as { key: string }
  const headers = { Authorization: pointed.headers.Authorization.replace('${HOLDFAST_KEY}', key) }
  const client = new Client({ name: 'agent', version: '1' }, { versionNegotiation: { mode: 'auto' } })
  await client.connect(new StreamableHTTPClientTransport(new URL(pointed.url), { requestInit: { headers } }))
  const call = async (name: string, args: Record<string, unknown>) =>
    (await client.callTool({ name, arguments: args }, { timeout: 120_000 })) as unknown as Answer

  const write = { path: join(folder, 'notes', 'a.txt'), content: 'hello', idempotency_key: 'note-a' }
  assert.equal(outcomeOf(await call('filesystem__write_file', write)).state, 'succeeded')
  const seconds = (performance.now() - startedAt) / 1000
  t.diagnostic(`three commands and the first write: ${seconds.toFixed(1)} s`)
  assert.ok(seconds < 300)

  assert.equal(outcomeOf(await call('filesystem__write_file', write)).replayed, true)
  const entities = [{ name: 'ann', entityType: 'person', observations: [] }]
  const remembered = await call('memory__create_entities', { entities, idempotency_key: 'ann' })
  assert.equal(outcomeOf(remembered).state, 'succeeded', textOf(remembered))
  const sql = 'create table notes (text text)'
  assert.equal(outcomeOf(await call('sqlite__query', { sql, idempotency_key: 'table' })).state, 'succeeded')
  assert.match(textOf(await call('sqlite__list_tables', {})), /notes/)
  await client.close()
})
