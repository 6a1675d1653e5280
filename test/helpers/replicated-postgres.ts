/**
 * A PostgreSQL with a standby, both real: what was committed after the standby was cut off is gone after the failover. The
 * platform package has neither pg_basebackup nor pg_ctl's promote helpers, so the standby begins as a copy of the stopped
 * primary, streams, and is promoted by `pg_promote()`. It takes over the primary's address, as a virtual one does.
 */
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { appendFile, chmod, chown, mkdir, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { findBinaries } from '../../shared/postgres/binaries.ts'
import { migrate } from '../../shared/postgres/migrate.ts'
import { createPool, type Pool } from '../../shared/postgres/pool.ts'
import { type Postmaster, startPostmaster } from '../../shared/postgres/postmaster.ts'
import { postgresUser, type SystemUser } from '../../shared/postgres/run-as.ts'
import { removeFolder, silent, temporaryFolder } from './postgres.ts'

const settings = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  max_connections: '60',
  shared_buffers: '32MB',
  wal_level: 'replica',
  max_wal_senders: '4',
  hot_standby: 'on',
  io_method: 'sync',
  jit: 'off',
  timezone: 'UTC',
  lc_messages: 'C',
}

export type ReplicatedPostgres = {
  /** Of whoever is the primary. */
  readonly url: string
  /** The standby gets nothing any more. Resolves when it has everything committed before and was stopped. */
  cutOffStandby(): Promise<void>
  /** Kills the primary as a power cut does, and promotes the standby at its address. */
  failOver(): Promise<void>
  /** Stops the primary cleanly and takes a cold copy of its data directory. */
  takeCopy(): Promise<void>
  /** Stops the primary and starts the cold copy in its place: same system identifier, same timeline. */
  putBackCopy(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

export async function replicatedPostgres(): Promise<ReplicatedPostgres> {
  const root = await temporaryFolder()
  const user = await postgresUser()
  const binaries = await findBinaries(join(root, 'binaries'))
  const [port, standbyPort] = [await freePort(), await freePort()]
  const url = `postgres://holdfast@127.0.0.1:${port}/postgres`
  const standbyUrl = `postgres://holdfast@127.0.0.1:${standbyPort}/postgres`
  const folder = (name: string) => join(root, name, 'pgdata')

  await initialise({ binaries, user, dataDir: folder('primary') })
  const run = (name: string, onPort: number) =>
    startPostmaster({
      binaries,
      dataDir: folder(name),
      logFile: join(root, name, 'log'),
      user,
      settings: { ...settings, port: String(onPort) },
    })
  const copy = async (from: string, to: string) => {
    await rm(join(root, to), { recursive: true, force: true })
    await ownFolder(join(root, to), user)
    // `cp -a` keeps the owner, without which PostgreSQL refuses the folder.
    await promisify(execFile)('cp', ['-a', folder(from), folder(to)])
  }

  let primary: Postmaster = await run('primary', port)
  await withPool(url, pool => migrate({ pool, log: silent }))
  await primary.stop()
  await copy('primary', 'standby')
  await writeFile(join(folder('standby'), 'standby.signal'), '')
  await appendFile(
    join(folder('standby'), 'postgresql.auto.conf'),
    `primary_conninfo = 'host=127.0.0.1 port=${port} user=holdfast'\n`,
  )
  primary = await run('primary', port)
  let standby: Postmaster | undefined = await run('standby', standbyPort)

  return {
    url,
    async cutOffStandby() {
      const { lsn } = await withPool(url, async pool =>
        one<{ lsn: string }>(pool, 'select pg_current_wal_lsn() as lsn'),
      )
      await withPool(standbyUrl, pool => caughtUp(pool, lsn))
      await standby?.stop()
      standby = undefined
    },
    async failOver() {
      process.kill(primary.pid, 'SIGKILL')
      await primary.exited
      primary = await run('standby', port)
      await withPool(url, async pool => {
        await pool.query('select pg_promote(true, 60)')
        await eventuallyTrue(pool, 'select not pg_is_in_recovery() as yes')
      })
    },
    async takeCopy() {
      await primary.stop()
      await copy('primary', 'copy')
      primary = await run('primary', port)
    },
    async putBackCopy() {
      await primary.stop()
      primary = await run('copy', port)
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([primary.stop(), standby?.stop()])
      await removeFolder(root)
    },
  }
}

async function initialise({
  binaries,
  user,
  dataDir,
}: {
  binaries: string
  user: SystemUser | undefined
  dataDir: string
}): Promise<void> {
  const folder = join(dataDir, '..')
  await ownFolder(folder, user)
  const flags = ['--encoding=UTF8', '--locale=C', '--auth=trust', '--username=holdfast']
  await promisify(execFile)(join(binaries, 'initdb'), ['-D', dataDir, ...flags], {
    cwd: folder,
    env: { PATH: process.env.PATH, LC_ALL: 'C' },
    ...(user && { uid: user.uid, gid: user.gid }),
  })
}

async function ownFolder(folder: string, user: SystemUser | undefined): Promise<void> {
  await mkdir(folder, { recursive: true })
  await chmod(folder, 0o700)
  if (user) await chown(folder, user.uid, user.gid)
}

async function withPool<T>(url: string, work: (pool: Pool) => Promise<T>): Promise<T> {
  const pool = createPool({ url, max: 1, name: 'failover-test', log: silent })
  try {
    return await work(pool)
  } finally {
    await pool.end()
  }
}

const one = async <Row extends object>(pool: Pool, text: string): Promise<Row> =>
  (await pool.query<Row>(text)).rows[0] as Row

const caughtUp = (pool: Pool, lsn: string) =>
  eventuallyTrue(pool, `select coalesce(pg_last_wal_replay_lsn() >= '${lsn}', false) as yes`)

async function eventuallyTrue(pool: Pool, text: string): Promise<void> {
  const until = performance.now() + 30_000
  while (performance.now() < until) {
    if ((await one<{ yes: boolean }>(pool, text)).yes) return
    await sleep(20)
  }
  throw new Error(`not true within 30 s: ${text}`)
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  await new Promise(done => server.close(done))
  return port
}
