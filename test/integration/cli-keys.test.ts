import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { after, before } from 'node:test'
import { loadConfig } from '../../shared/config/load.ts'
import { agentSettings } from '../../shared/config/settings.ts'
import { createAuthenticator } from '../../shared/policy/authenticate.ts'
import { runCli } from '../helpers/cli.ts'
import { type KeysDatabase, startKeysDatabase } from './api-keys-postgres.ts'

const text =
  'servers:\n  pay: { url: "http://127.0.0.1:1/mcp", headers: { A: "${env:NOT_HERE}" } }\nagents: { bot: { tenant: t2 } }\n'

let database: KeysDatabase
let cwd: string

before(async () => {
  database = await startKeysDatabase()
  cwd = await mkdtemp(join(tmpdir(), 'holdfast-cli-keys-'))
  await writeFile(join(cwd, 'holdfast.yaml'), text)
})
after(async () => {
  await database.close()
  await rm(cwd, { recursive: true })
})

test('a key that is created works as its agent, is listed without its secret, and does not work once revoked', async () => {
  // As the running node leaves it in the data folder.
  await writeFile(join(cwd, 'postgres.json'), JSON.stringify({ url: database.url }))
  const here = { cwd, env: { HOLDFAST_DATA: cwd } }
  const config = loadConfig({ text, env: { NOT_HERE: 'x' } })
  const authenticate = createAuthenticator({
    pool: database.pool,
    agentSettings: agent => agentSettings(config, agent),
    cacheMs: 0,
  })

  const created = await runCli(['keys', 'create', '--agent', 'bot', '--name', 'first', '--expires', '90d'], here)
  assert.equal(created.exit, 0, created.err)
  const key = created.out.trim()
  assert.match(key, /^hf_[0-9A-Za-z]{12}_[0-9A-Za-z]{32}$/)
  const identity = await authenticate(key)
  assert.deepEqual([identity?.agent, identity?.tenant], ['bot', 't2'])

  const listed = await runCli(['keys', 'list'], here)
  assert.match(listed.out, new RegExp(`^${identity?.keyId} +active +bot +t2 .* ${identity?.credential} +first$`, 'm'))
  assert.ok(!listed.out.includes(key.split('_')[2] ?? key))

  const revoked = await runCli(['keys', 'revoke', identity?.keyId ?? ''], here)
  assert.equal(revoked.exit, 0, revoked.err)
  assert.equal(await authenticate(key), undefined)
  const [entry] = JSON.parse((await runCli(['keys', 'list', '--json'], here)).out)
  assert.equal(entry.state, 'revoked')
})

test('DATABASE_URL is used where it is set; --json gives the key to a program', async () => {
  const { exit, out, err } = await runCli(['keys', 'create', '--agent', 'bot', '--json'], {
    cwd,
    env: { DATABASE_URL: database.url },
  })
  assert.equal(exit, 0, err)
  const made = JSON.parse(out)
  assert.equal(made.expiresAt, null)
  assert.ok(made.key.includes(made.keyId))
})

test('a key that is not there, and a database that was never migrated, are one sentence each', async () => {
  const env = { DATABASE_URL: database.url }
  const unknown = await runCli(['keys', 'revoke', 'nobody'], { cwd, env })
  assert.equal(unknown.exit, 1)
  assert.equal(unknown.err, 'There is no key nobody (holdfast keys list shows them)\n')
  const empty = new URL(database.url)
  await database.pool.query('create database empty')
  empty.pathname = '/empty'
  const bare = await runCli(['keys', 'list'], { cwd, env: { DATABASE_URL: empty.href } })
  assert.equal(bare.exit, 1)
  assert.match(bare.err, /^API keys cannot be read or written: .*\n$/)
})
