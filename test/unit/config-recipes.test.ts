import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import test from 'node:test'
import { loadConfig } from '../../shared/config/load.ts'
import { recipeFor, recipes } from '../../shared/config/recipes.ts'
import { toolSettings } from '../../shared/config/settings.ts'

const load = (settings: string) =>
  loadConfig({ text: `servers:\n  files:\n    command: [a]\n    recipe: server-filesystem\n${settings}`, env: {} })
const effectOf = (config: ReturnType<typeof load>, tool: string) => toolSettings(config, 'files', tool).effect

test('every recipe is a configuration without problems, says what it was tried with, and has a page', () => {
  assert.ok(recipes().length >= 6)
  for (const { name, tested, tools, about } of recipes()) {
    const config = loadConfig({ text: `servers:\n  x: { command: [a], recipe: ${name} }\n`, env: {} })
    assert.deepEqual(Object.keys(config.servers.x?.tools ?? {}), Object.keys(tools))
    assert.match(tested.version, /^\d+\.\d+\.\d+$/)
    assert.ok(about.length > 5)
    assert.ok(existsSync(new URL(`../../docs/recipes/${name}.md`, import.meta.url)), name)
  }
})

test('no recipe takes a tool for a read without naming the definition that this was decided for', () => {
  for (const { name, tools } of recipes())
    for (const [tool, { effect, definitions }] of Object.entries(tools))
      assert.ok(effect !== 'read' || Array.isArray(definitions), `${name}:${tool}`)
})

test('no recipe calls a probe consistent: others may have changed the same thing since', () => {
  assert.equal(JSON.stringify(recipes().map(({ tools }) => tools)).includes('"consistent":true'), false)
})

test("what the operator's file says of a tool wins over its recipe, setting by setting", () => {
  const plain = load('')
  assert.equal(effectOf(plain, 'read_file'), 'read')
  assert.equal(effectOf(plain, 'write_file'), 'write')
  assert.equal(plain.servers.files?.tools.write_file?.recover?.probe?.tool, 'read_text_file')

  const own = load(
    '    tools: { read_file: { effect: write }, write_file: { retention: 90d }, more: { effect: read } }\n',
  )
  assert.equal(effectOf(own, 'read_file'), 'write')
  assert.equal(own.servers.files?.tools.read_file?.definitions, undefined)
  assert.equal(toolSettings(own, 'files', 'write_file').retentionMs, 90 * 86_400_000)
  assert.notEqual(toolSettings(own, 'files', 'write_file').recover, undefined)
  assert.equal(effectOf(own, 'more'), 'read')

  assert.equal(effectOf(load('    defaults: { effect: write }\n'), 'read_file'), 'write')
  const read = load('    tools: { write_file: { effect: read } }\n')
  assert.equal(toolSettings(read, 'files', 'write_file').recover, undefined)
  const without = load('    tools: { write_file: { recover: null } }\n')
  assert.equal(toolSettings(without, 'files', 'write_file').recover, undefined)
  assert.equal(effectOf(without, 'write_file'), 'write')
})

test('a recipe is part of the policy version, and a misspelled one is told with its line', () => {
  const without = loadConfig({ text: 'servers: { files: { command: [a] } }', env: {} })
  assert.notEqual(load('').version, without.version)
  assert.throws(
    () => loadConfig({ text: 'servers:\n  files:\n    command: [a]\n    recipe: server-filesystm\n', env: {} }),
    /holdfast\.yaml:4:13: `recipe` is no recipe that comes with Holdfast \(did you mean `server-filesystem`\?\)/,
  )
})

test('a server is recognised by the package it runs, by its address, or by the name it gives itself', () => {
  const nameOf = (server: Parameters<typeof recipeFor>[0]) => recipeFor(server)?.name
  const filesystem = '@modelcontextprotocol/server-filesystem'
  assert.equal(nameOf({ command: ['npx', '-y', filesystem, '/tmp'] }), 'server-filesystem')
  assert.equal(nameOf({ command: ['npx', `${filesystem}@2026.8.31`, '/tmp'] }), 'server-filesystem')
  assert.equal(nameOf({ command: ['node', `/x/node_modules/${filesystem}/dist/index.js`] }), 'server-filesystem')
  assert.equal(nameOf({ command: ['node', 'mine.js'], name: 'memory-server' }), 'server-memory')
  assert.equal(nameOf({ command: ['npx', `${filesystem}-of-mine`] }), undefined)
  assert.equal(nameOf({ url: 'http://127.0.0.1/mcp' }), undefined)
})
