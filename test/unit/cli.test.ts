import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { after } from 'node:test'
import { runCli } from '../helpers/cli.ts'

const cwd = mkdtempSync(join(tmpdir(), 'holdfast-cli-'))
after(() => rmSync(cwd, { recursive: true }))

const good =
  'servers:\n  pay: { url: "http://127.0.0.1:1/mcp", headers: { Authorization: "Bearer ${env:PAY_TOKEN}" } }\nagents: { bot: {} }\n'

function write(name: string, text: string): string {
  writeFileSync(join(cwd, name), text)
  return join(cwd, name)
}

test('every command explains itself', async () => {
  const overview = await runCli(['--help'], { cwd })
  assert.equal(overview.exit, 0)
  const names = [...overview.out.matchAll(/^ {2}([\w-]+) /gm)].map(match => match[1] ?? '')
  assert.deepEqual(names, [
    'import',
    'start',
    'connect',
    'check',
    'tools',
    'redact',
    'outcome',
    'report',
    'unknowns',
    'resolve',
    'keys',
    'sql',
    'ask',
    'export',
    'replay',
    'rebuild',
    'diff',
    'prove',
    'verify',
    'signing-key',
    'commitment',
    'reveal',
    'subject',
    'erase',
    'audit',
    'migrate',
    'crash-test',
  ])
  for (const name of names) {
    const { exit, out, err } = await runCli([name, '--help'], { cwd })
    assert.equal(exit, 0)
    assert.ok(out.startsWith(`holdfast ${name} `), out)
    assert.equal(err, '')
  }
})

test('a misused command exits 2 with one sentence and its usage, and runs nothing', async () => {
  const misuses: Array<[words: string[], sentence: RegExp]> = [
    [['chek'], /^There is no command chek \(did you mean `check`\?\)\.\n$/],
    [['check', '--bogus'], /^Unknown option '--bogus'\.\nUsage: holdfast check /],
    [['check', 'a', 'b'], /^check takes one file\.\n/],
    [['tools', 'a', 'b'], /^tools takes one server/],
    [['outcome'], /^Name a server and a key/],
    [['outcome', 'pay'], /^Name a server and a key/],
    [['outcome', 'pay', 'k', '--call', 'c'], /^Name a server and a key/],
    [['outcome', 'pay', 'k', '--wait', '51s'], /^--wait must be/],
    [['report', '--since', 'yesterday'], /^--since must be/],
    [['prove'], /^Name one call or event/],
    [['verify', 'a', 'b'], /^Name one proof file, or none/],
    [['signing-key'], /^Say create, show or rotate/],
    [['signing-key', 'create', '--log', 'a b'], /^The name of a log has no spaces/],
    [['audit', 'all'], /^audit takes no arguments/],
    [['audit', '--since', 'yesterday'], /^--since must be/],
    [['audit', '--overdue', 'long'], /^--overdue must be/],
    [['unknowns', 'pay'], /^unknowns takes no arguments/],
    [['resolve', '--as', 'failed'], /^Name one call/],
    [['resolve', 'c', '--as', 'done'], /^--as must be one of succeeded, failed, not_executed/],
    [['resolve', 'c', '--as', 'failed'], /^Say with --reason/],
    [['sql'], /^Give one query/],
    [['sql', '-'], /^Give one query/],
    [['keys'], /^Say create, list or revoke/],
    [['keys', 'revoke'], /^Say create, list or revoke/],
    [['keys', 'create'], /^Name the agent/],
    [['keys', 'create', '--agent', 'dev', '--expires', 'soon'], /^--expires must be/],
  ]
  for (const [words, sentence] of misuses) {
    const { exit, out, err } = await runCli(words, { cwd })
    assert.equal(exit, 2, words.join(' '))
    assert.match(err, sentence)
    assert.equal(out, '')
  }
  assert.equal((await runCli([], { cwd })).exit, 2)
})

test('check tells every problem of file and environment, and exits 1', async () => {
  const path = write('bad.yaml', 'servers:\n  pay: { url: "ftp://h", timeout: 5 }\n')
  const env = { HOLDFAST_FRONT_PORT: 'x' }
  const { exit, out, err } = await runCli(['check', path], { cwd, env })
  assert.equal(exit, 1)
  assert.equal(out.trim().split('\n').length, 3, out)
  assert.match(out, /bad\.yaml:2:15: `url` is not/)
  assert.match(out, /bad\.yaml:2:35: `timeout` must be a duration/)
  assert.match(out, /^HOLDFAST_FRONT_PORT is not a port/m)
  assert.equal(err, 'There are 3 problems.\n')
  const json = JSON.parse((await runCli(['check', path, '--json'], { cwd, env })).out)
  assert.equal(json.ok, false)
  assert.equal(json.problems.length, 3)
})

test('check of a good file names what each server takes from the environment, never its value', async () => {
  const path = write('good.yaml', good)
  const { exit, out, err } = await runCli(['check', path], { cwd, env: { PAY_TOKEN: 'tok-1234' } })
  assert.equal(exit, 0)
  assert.match(out, /^pay +http:\/\/127\.0\.0\.1:1\/mcp +PAY_TOKEN +none$/m)
  assert.match(out, /^bot +none: it may call nothing$/m)
  assert.doesNotMatch(out + err, /tok-1234/)
})

test('check takes missing secrets as set only when told so', async () => {
  const path = write('good.yaml', good)
  const without = await runCli(['check', path], { cwd })
  assert.equal(without.exit, 1)
  assert.match(without.out, /the environment variable PAY_TOKEN is not set/)
  assert.equal((await runCli(['check', path, '--without-secrets'], { cwd })).exit, 0)
})

test('check without a file takes holdfast.yaml here, else the example', async () => {
  const folder = join(cwd, 'own')
  mkdirSync(folder)
  assert.match((await runCli(['check'], { cwd: folder })).out, /examples\/holdfast\.yaml is fine/)
  writeFileSync(join(folder, 'holdfast.yaml'), 'servers: {}')
  assert.match((await runCli(['check'], { cwd: folder })).out, /own\/holdfast\.yaml:1:1: `servers` is empty/)
})

test('a file that is not there, or is a folder, is one sentence', async () => {
  for (const path of ['/nowhere/x.yaml', cwd]) {
    const { exit, out, err } = await runCli(['check', path], { cwd })
    assert.equal(exit, 1)
    assert.equal(out.trim().split('\n').length, 1)
    assert.doesNotMatch(out + err, /^\s+at /m)
  }
})

test('where nothing runs, each command says so in one sentence and exits 1', async () => {
  for (const words of [['outcome', 'pay', 'k'], ['report'], ['sql', 'select 1'], ['keys', 'list'], ['audit']]) {
    const { exit, out, err } = await runCli(words, { cwd })
    assert.equal(exit, 1, words.join(' '))
    assert.match(err, /^Holdfast is not running here \(start it with npm start, .*\)\n$/)
    assert.equal(out, '')
  }
})

test('a node that stopped has left its address: nobody answers there, in one sentence', async () => {
  const data = join(cwd, 'stopped')
  mkdirSync(data)
  // Port 1 is reserved and never listened on here.
  writeFileSync(
    join(data, 'ready.json'),
    JSON.stringify({ outcomes: 'http://127.0.0.1:1/v1', sql: 'http://127.0.0.1:1', key: 'k' }),
  )
  writeFileSync(join(data, 'postgres.json'), JSON.stringify({ url: 'postgres://u:secret@127.0.0.1:1/postgres' }))
  const env = { HOLDFAST_DATA: data }
  for (const words of [['outcome', 'pay', 'k'], ['report'], ['sql', 'select 1'], ['keys', 'list'], ['audit']]) {
    const { exit, err } = await runCli(words, { cwd, env })
    assert.equal(exit, 1)
    assert.match(err, /^(Nothing answers at|The database does not answer) .*npm start.*\.\n$/)
    assert.doesNotMatch(err, /secret/)
  }
  writeFileSync(join(data, 'ready.json'), '{ half')
  assert.match((await runCli(['report'], { cwd, env })).err, /ready\.json cannot be read/)
})

test('the key of the node here is not sent to another address', async () => {
  const data = join(cwd, 'elsewhere')
  mkdirSync(data)
  writeFileSync(join(data, 'ready.json'), JSON.stringify({ outcomes: 'http://127.0.0.1:1/v1', key: 'k' }))
  const { exit, err } = await runCli(['report', '--url', 'http://127.0.0.1:1'], {
    cwd,
    env: { HOLDFAST_DATA: data },
  })
  assert.equal(exit, 1)
  assert.match(err, /^No API key is given/)
})

test('a key is made only for an agent of the configuration', async () => {
  const path = write('good.yaml', good)
  const { exit, err } = await runCli(['keys', 'create', '--agent', 'bt'], { cwd, env: { HOLDFAST_CONFIG: path } })
  assert.equal(exit, 1)
  assert.match(err, /^There is no agent bt in .*good\.yaml \(did you mean `bot`\?\)\n$/)
})
