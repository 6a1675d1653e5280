import { type ChildProcess, spawn } from 'node:child_process'

/**
 * A server as a child process that cannot outlive this one. A shell starts the server in its own process group and holds
 * a pipe from us: when the pipe closes, however we died, the group is killed. Ending needs no cooperation of the server,
 * so a successor may rely on the old child being gone.
 */
export type Child = {
  readonly process: ChildProcess
  readonly pid: number | undefined
  hasExited(): boolean
  /** Resolves when the server and all it started in its group are gone. */
  readonly gone: Promise<void>
  /** Closes its input, then asks the group to end, then kills it. Resolves when it is gone. */
  stop(): Promise<void>
}

/**
 * The server gets our pipe as its input (descriptor 4: a background job of a shell would read /dev/null); the watcher
 * waits on descriptor 3, which nobody ever writes to. `kill 0` reaches the whole group, the shell included.
 */
const guard = `
exec 4<&0 0</dev/null
"$@" <&4 3<&- 4<&- &
server=$!
exec 4<&- 1>&- 2>&-
( read -r _ <&3; kill -KILL 0 ) &
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
}

/** Starts the program. Whether it could be started shows in `gone` and in the exit status 126 or 127. */
export function startChild({ command, env, cwd }: ChildInput): Child {
  const child = spawn('/bin/sh', ['-c', guard, 'holdfast-guard', ...command], {
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

function killGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, signal)
  } catch {
    // Nobody is left in the group.
  }
}
