import { type ChildProcess, spawn } from 'node:child_process'
import type { Writable } from 'node:stream'

/**
 * A server as a child process that cannot outlive this one. A shell starts the server in its own process group and holds
 * a pipe from us: when the pipe closes, however we died, the group is killed. Ending needs no cooperation of the server,
 * so a successor may rely on the old child being gone. With a limited life it holds also for an owner that is frozen and
 * closes nothing: the shell kills the group at the end of that time unless it is prolonged.
 */
export type Child = {
  readonly process: ChildProcess
  readonly pid: number | undefined
  hasExited(): boolean
  /** Of a child with a limited life: from now on it lives so long. */
  prolong(lifeMs: number): void
  /** Resolves when the server and all it started in its group are gone. */
  readonly gone: Promise<void>
  /** Closes its input, then asks the group to end, then kills it. Resolves when it is gone. */
  stop(): Promise<void>
}

/**
 * The server gets our pipe as its input (descriptor 4: a background job of a shell would read /dev/null); the watcher
 * waits on descriptor 3, which brings nothing but prolongations in seconds. `kill 0` reaches the whole group, the shell
 * included. A timer that is no longer needed reaps its own sleep: nobody else might, where Holdfast is the first process.
 */
const guard = `
life=$1
shift
exec 4<&0 0</dev/null
"$@" <&4 3<&- 4<&- &
server=$!
exec 4<&- 1>&- 2>&-
(
  arm() {
    ( trap 'kill "$nap"; wait "$nap"; exit' TERM; sleep "$1" & nap=$!; wait "$nap" && kill -KILL 0 ) 3<&- &
    next=$!
    [ -z "$timer" ] || { kill "$timer"; wait "$timer"; }
    timer=$next
  }
  timer=
  [ -z "$life" ] || arm "$life"
  while read -r life <&3; do arm "$life"; done
  kill -KILL 0
) &
watcher=$!
exec 3<&-
wait "$server"
status=$?
kill -KILL "$watcher"
exit "$status"
`
const politeMs = 2_000

export type ChildInput = {
  readonly command: readonly string[]
  readonly env: Record<string, string>
  readonly cwd: string | undefined
  /** How long it may live unless prolonged; undefined: as long as this process. */
  readonly lifeMs?: number | undefined
}

/** Starts the program. Whether it could be started shows in `gone` and in the exit status 126 or 127. */
export function startChild({ command, env, cwd, lifeMs }: ChildInput): Child {
  const life = lifeMs === undefined ? '' : secondsOf(lifeMs)
  const child = spawn('/bin/sh', ['-c', guard, 'holdfast-guard', life, ...command], {
    env,
    cwd,
    detached: true,
    stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
  })
  let exited = false
  const gone = new Promise<void>(resolve => {
    const end = () => {
      exited = true
      // The server may have left children of its own in the group.
      killGroup(child.pid, 'SIGKILL')
      resolve()
    }
    child.once('exit', end)
    child.once('error', end)
  })
  child.stdin?.on('error', () => {})
  child.stdio[3]?.on('error', () => {})

  return {
    process: child,
    pid: child.pid,
    hasExited: () => exited,
    prolong: lifeMs => {
      const prolongations = child.stdio[3] as Writable | null
      if (!exited) prolongations?.write(`${secondsOf(lifeMs)}\n`)
    },
    gone,
    stop: async () => {
      child.stdin?.end()
      const signals = ['SIGTERM', 'SIGKILL'] as const
      const timers = signals.map((signal, index) =>
        setTimeout(() => killGroup(child.pid, signal), politeMs * (index + 1)),
      )
      await gone
      timers.forEach(clearTimeout)
    },
  }
}

const secondsOf = (ms: number) => (Math.max(0, ms) / 1_000).toFixed(3)

function killGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, signal)
  } catch {
    // Nobody is left in the group.
  }
}
