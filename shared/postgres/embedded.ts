/**
 * PostgreSQL for a single node, from npm: initialised once in a folder of ours, started, kept running, stopped.
 *
 * The folder holds `pgdata`, `password`, `port`, `owner` (the process that runs it) and `postgres.log`. One process runs
 * a folder at a time. Clients see a dead postmaster as lost connections for the 0.2 to 0.5 s until the next one is up.
 */
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import {
  access,
  chmod,
  chown,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  truncate,
  writeFile,
} from 'node:fs/promises'
import { createServer } from 'node:net'
import { dirname, join, resolve } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { promisify } from 'node:util'
import { ConfigError, UnavailableError } from '../errors.ts'
import { findBinaries } from './binaries.ts'
import type { Log } from './log.ts'
import { endPostmaster, isAlive, type Postmaster, startPostmaster } from './postmaster.ts'
import { checkReachable, postgresUser, type SystemUser } from './run-as.ts'

/** Durable, small, and without the processes that replication would need. Given on the command line: no file to drift. */
const settings = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '', // a socket's lock file in the temporary folder blocks restarts
  max_connections: '200',
  shared_buffers: '128MB',
  fsync: 'on',
  synchronous_commit: 'on',
  full_page_writes: 'on',
  wal_level: 'minimal',
  max_wal_senders: '0',
  max_wal_size: '1GB',
  max_logical_replication_workers: '0',
  max_parallel_workers_per_gather: '0',
  io_method: 'sync',
  jit: 'off',
  timezone: 'UTC',
  log_timezone: 'UTC',
  lc_messages: 'C',
  log_checkpoints: 'off',
}

const restartDelaysMs = [0, 100, 250, 500, 1_000, 2_000, 5_000]
const maxLogBytes = 10_000_000

export type EmbeddedOptions = {
  /** Made when absent. As root it is given to the user PostgreSQL runs as. */
  readonly dataDir: string
  readonly log: Log
  /** Told when the postmaster died without being asked; a restart is under way. */
  readonly onExit?: (died: { pid: number }) => void
  /** Told when it is up again. */
  readonly onRestart?: (started: { pid: number }) => void
}

export type EmbeddedPostgres = {
  /** With user and password, database `postgres`. Stays the same across restarts of this process. */
  readonly url: string
  /** Process id of the postmaster that runs now. */
  readonly pid: number
  /** Fast shutdown; resolves when the postmaster is gone. */
  stop(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/**
 * Starts PostgreSQL and keeps it running. Initialised: 0.2 to 0.5 s; first start about 1 s.
 * @throws ConfigError when the platform, the user or the folder cannot serve, or another process runs the folder
 * @throws UnavailableError when PostgreSQL does not come up
 */
export async function startEmbeddedPostgres(options: EmbeddedOptions): Promise<EmbeddedPostgres> {
  const { log, onExit, onRestart } = options
  const folder = resolve(options.dataDir)
  const user = await postgresUser()
  await prepareFolder(folder, user)
  const binaries = await findBinaries(join(dirname(folder), 'postgres-binaries'))
  if (user) await checkReachable(binaries, user)

  const dataDir = join(folder, 'pgdata')
  await takeOver(folder, dataDir)
  const password = await initialise({ folder, dataDir, binaries, user })
  const logFile = join(folder, 'postgres.log')
  await shorten(logFile)

  const port = await choosePort(folder)
  const start = () =>
    startPatiently({ binaries, dataDir, logFile, user, settings: { ...settings, port: String(port) } })
  let postmaster = await start()
  let stopping: Promise<void> | undefined
  const stopSignal = new AbortController()
  const supervisor = supervise()

  async function supervise(): Promise<void> {
    while (true) {
      await postmaster.exited
      if (stopping) return
      log.error({ pid: postmaster.pid }, 'PostgreSQL died; restarting it')
      onExit?.({ pid: postmaster.pid })
      if (!(await restart())) return
      if (stopping) return postmaster.stop() // it came up while we were stopping
      onRestart?.({ pid: postmaster.pid })
    }
  }

  async function restart(): Promise<boolean> {
    for (let failures = 0; !stopping; failures += 1) {
      const delayMs = restartDelaysMs[Math.min(failures, restartDelaysMs.length - 1)] as number
      await pause(delayMs, undefined, { signal: stopSignal.signal }).catch(() => {})
      if (stopping) return false
      try {
        await endPostmaster(dataDir, () => {})
        postmaster = await start()
        log.info({ pid: postmaster.pid }, 'PostgreSQL is up again')
        return true
      } catch (error) {
        log.error({ error }, 'PostgreSQL could not be restarted; trying again')
      }
    }
    return false
  }

  async function stop(): Promise<void> {
    stopSignal.abort()
    await postmaster.stop()
    await supervisor
    await rm(join(folder, 'owner'), { force: true })
  }

  const stopOnce = () => (stopping ??= stop())
  return {
    url: `postgres://holdfast:${password}@127.0.0.1:${port}/postgres`,
    get pid() {
      return postmaster.pid
    },
    stop: stopOnce,
    [Symbol.asyncDispose]: stopOnce,
  }
}

async function prepareFolder(folder: string, user: SystemUser | undefined): Promise<void> {
  await mkdir(folder, { recursive: true })
  if (user) await checkReachable(dirname(folder), user)
  await chmod(folder, 0o700)
  if (user) await chown(folder, user.uid, user.gid)
}

/** Ends what a dead process left running here, refuses a folder that a live one runs, and writes our own name on it. */
async function takeOver(folder: string, dataDir: string): Promise<void> {
  const ownerFile = join(folder, 'owner')
  const owner = Number(await readFile(ownerFile, 'utf8').catch(() => '0'))
  await endPostmaster(dataDir, () => {
    if (owner > 0 && isAlive(owner)) {
      throw new ConfigError([
        `PostgreSQL in ${folder} is run by process ${owner}: stop that one, or use another HOLDFAST_DATA.`,
      ])
    }
  })
  await writeFile(ownerFile, String(process.pid))
}

/** Initialises beside and renames into place: `pgdata` is whole or absent. Returns the password. */
async function initialise(where: {
  folder: string
  dataDir: string
  binaries: string
  user: SystemUser | undefined
}): Promise<string> {
  const { folder, dataDir, binaries, user } = where
  const passwordFile = join(folder, 'password')
  if (await exists(dataDir)) return (await readFile(passwordFile, 'utf8')).trim()

  for (const name of await readdir(folder)) {
    if (name.startsWith('pgdata.half-')) await rm(join(folder, name), { recursive: true, force: true })
  }
  const password = randomBytes(24).toString('base64url')
  await writeSecret(passwordFile, password, user)
  const half = `${dataDir}.half-${process.pid}`
  const flags = [
    '--encoding=UTF8',
    '--locale=C',
    '--auth=scram-sha-256',
    '--username=holdfast',
    `--pwfile=${passwordFile}`,
  ]
  await promisify(execFile)(join(binaries, 'initdb'), ['-D', half, ...flags], {
    cwd: folder,
    env: { PATH: process.env.PATH, LC_ALL: 'C', TZ: 'UTC' },
    ...(user && { uid: user.uid, gid: user.gid }),
  }).catch(error => {
    throw new UnavailableError('postgres', `initdb failed: ${String(error.stderr ?? error.message).trim()}`, {
      cause: error,
    })
  })
  await rename(half, dataDir)
  return password
}

/** Flushed before `pgdata` exists: a cluster whose password is lost in a power cut could not be entered again. */
async function writeSecret(file: string, secret: string, user: SystemUser | undefined): Promise<void> {
  await rm(file, { force: true })
  const handle = await open(file, 'wx', 0o600)
  await handle.writeFile(secret)
  if (user) await handle.chown(user.uid, user.gid)
  await handle.sync()
  await handle.close()
}

/** After a kill the old backends need a moment to notice; until then PostgreSQL refuses to start beside them. */
async function startPatiently(spawn: Parameters<typeof startPostmaster>[0]): Promise<Postmaster> {
  for (let waitedMs = 0; ; waitedMs += 50) {
    try {
      return await startPostmaster(spawn)
    } catch (error) {
      const passes = /shared memory block|lock file ".*" already exists/.test(String(error))
      if (!passes || waitedMs > 10_000) throw error
      await pause(50)
    }
  }
}

/** The port of the last run if it is still free, so that addresses people wrote down stay right. */
async function choosePort(folder: string): Promise<number> {
  const file = join(folder, 'port')
  const last = Number(await readFile(file, 'utf8').catch(() => '0'))
  const port = (await listenOnce(last)) ?? (await listenOnce(0))
  if (port === undefined) throw new UnavailableError('postgres', 'No port is free on the loopback address.')
  await writeFile(file, String(port))
  return port
}

function listenOnce(port: number): Promise<number | undefined> {
  return new Promise(done => {
    const server = createServer()
    server.once('error', () => done(undefined))
    server.listen(port, '127.0.0.1', () => {
      const address = server.address()
      const free = typeof address === 'object' && address ? address.port : undefined
      server.close(() => done(free))
    })
  })
}

async function shorten(logFile: string): Promise<void> {
  const size = await stat(logFile).then(
    found => found.size,
    () => 0,
  )
  if (size > maxLogBytes) await truncate(logFile)
}

const exists = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  )
