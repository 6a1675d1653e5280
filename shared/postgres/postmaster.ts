/**
 * One run of the postmaster: spawn, wait until it accepts connections, end. Its life hangs on a pipe: when this process
 * dies, however it dies, the pipe closes and the wrapper asks the postmaster to stop.
 *
 * What can go wrong, and what happens then:
 * - Node is killed: the wrapper's reader meets the end of the pipe and sends SIGINT (fast shutdown), again and again:
 *   a postmaster that is only just starting ignores the first.
 * - The postmaster is killed: the wrapper ends with it, `exited` resolves; its supervisor (embedded.ts) starts the next.
 * - The wrapper is killed: `exited` resolves with the postmaster alive; `endPostmaster` clears it before the next start.
 * - Everything is killed: the next start finds a stale `postmaster.pid`. PostgreSQL itself judges a file whose process
 *   is gone (it also looks for surviving backends); we remove one only when its number belongs to some other program.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { promisify } from 'node:util'
import { UnavailableError } from '../errors.ts'
import type { SystemUser } from './run-as.ts'

/** `$0 $@` is the postmaster. Its own group and session, so that Ctrl-C in a terminal reaches Node alone. */
const wrapper = `
exec 3<&0
"$0" "$@" </dev/null >&2 3<&- & p=$!
trap "" INT TERM HUP
echo $p
{ read x <&3; while kill -INT $p; do sleep 0.2; done; } >/dev/null 2>&1 & r=$!
wait $p; status=$?
kill -KILL $r 2>/dev/null
exit $status
`

export type Postmaster = {
  readonly pid: number
  /** Resolves when the postmaster or its wrapper is gone. */
  readonly exited: Promise<void>
  /** Fast shutdown: sessions are ended, a checkpoint is written. Harsher after 5 s, a kill after 10 s. */
  stop(): Promise<void>
}

export type Spawn = {
  readonly binaries: string
  readonly dataDir: string
  readonly logFile: string
  readonly user: SystemUser | undefined
  readonly settings: Readonly<Record<string, string>>
}

/**
 * Starts a postmaster and waits until it accepts connections, which includes crash recovery, however long it takes.
 * @throws UnavailableError with the end of PostgreSQL's own log when it does not come up
 */
export async function startPostmaster({ binaries, dataDir, logFile, user, settings }: Spawn): Promise<Postmaster> {
  const logStart = await sizeOf(logFile)
  const child = spawnWrapped({ binaries, dataDir, logFile, user, settings })
  const gone = once(child, 'exit')
  gone.catch(() => {})
  const exited = gone.then(() => {})
  let over = false
  void exited.finally(() => (over = true))
  const pid = await Promise.race([firstLine(child), exited.then(() => 0)])
  while (!(await isReady(dataDir, pid))) {
    if (over || pid === 0) {
      const said = (await readFile(logFile, 'utf8')).slice(logStart).trim().split('\n').slice(-5).join('\n')
      throw new UnavailableError('postgres', `Embedded PostgreSQL did not start: ${said}`)
    }
    await pause(5)
  }
  letGo(child)
  return { pid, exited, stop: () => stopPostmaster(child, pid, exited) }
}

function spawnWrapped({ binaries, dataDir, logFile, user, settings }: Spawn): ChildProcess {
  const options = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  const log = openSync(logFile, 'a', 0o600)
  const child = spawn('sh', ['-c', wrapper, join(binaries, 'postgres'), '-D', dataDir, ...options], {
    detached: true,
    cwd: dataDir,
    env: { PATH: process.env.PATH, LC_ALL: 'C' },
    stdio: ['pipe', 'pipe', log],
    ...(user && { uid: user.uid, gid: user.gid }),
  })
  closeSync(log)
  for (const pipe of [child.stdin, child.stdout]) pipe?.on('error', () => {})
  return child
}

/** PostgreSQL lives as long as Node, never the other way round: once it is up, it keeps no event loop alive. */
function letGo(child: ChildProcess): void {
  child.unref()
  for (const pipe of [child.stdin, child.stdout]) (pipe as unknown as { unref(): void }).unref()
}

async function firstLine(child: ChildProcess): Promise<number> {
  const [chunk] = (await once(child.stdout as NonNullable<typeof child.stdout>, 'data')) as [Buffer]
  return Number(chunk.toString().trim())
}

async function stopPostmaster(child: ChildProcess, pid: number, exited: Promise<void>): Promise<void> {
  child.ref()
  const harsher: [NodeJS.Signals, number][] = [
    ['SIGINT', 0],
    ['SIGQUIT', 5_000],
    ['SIGKILL', 10_000],
  ]
  const timers = harsher.map(([signal, afterMs]) => setTimeout(() => signalProcess(pid, signal), afterMs))
  await exited
  timers.forEach(clearTimeout)
}

/**
 * Ends a postmaster that an earlier run left behind in this folder, and removes a pid file whose number another program
 * has now.
 * @param mayEnd asked before a live one is ended; throws when it is somebody's
 */
export async function endPostmaster(dataDir: string, mayEnd: (pid: number) => void): Promise<void> {
  const file = await readPidFile(dataDir)
  if (!file || !isAlive(file.pid)) return
  if (!(await commandOf(file.pid)).includes(dataDir)) return rm(join(dataDir, 'postmaster.pid'), { force: true })
  mayEnd(file.pid)
  signalProcess(file.pid, 'SIGINT')
  for (let waitedMs = 0; isAlive(file.pid); waitedMs += 10) {
    if (waitedMs === 10_000) signalProcess(file.pid, 'SIGQUIT')
    await pause(10)
  }
}

async function isReady(dataDir: string, pid: number): Promise<boolean> {
  const file = await readPidFile(dataDir)
  return file?.pid === pid && file.status === 'ready'
}

/** Line 1 of `postmaster.pid` is the process, line 8 what it is doing. */
async function readPidFile(dataDir: string): Promise<{ pid: number; status: string } | undefined> {
  const text = await readFile(join(dataDir, 'postmaster.pid'), 'utf8').catch(() => '')
  const lines = text.split('\n')
  const pid = Number(lines[0])
  return pid > 0 ? { pid, status: lines[7]?.trim() ?? '' } : undefined
}

async function commandOf(pid: number): Promise<string> {
  try {
    return (await readFile(`/proc/${pid}/cmdline`, 'utf8')).replaceAll('\0', ' ')
  } catch {
    const ps = promisify(execFile)('ps', ['-ww', '-o', 'command=', '-p', String(pid)])
    return ps.then(
      out => out.stdout,
      () => '',
    )
  }
}

/** True when a process of this number exists, whoever owns it. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

function signalProcess(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch {
    // Gone already, which is what was wanted.
  }
}

const sizeOf = (file: string) =>
  stat(file).then(
    found => found.size,
    () => 0,
  )
