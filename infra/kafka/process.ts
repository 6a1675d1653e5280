/**
 * One run of Kafka's process. Its life hangs on a pipe, like PostgreSQL's (shared/postgres/postmaster.ts): when this
 * process dies, however it dies, the pipe closes and the wrapper asks Kafka to stop.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Readable } from 'node:stream'
import { closeSync, openSync } from 'node:fs'

/** `$0 $@` is java. Its own group and session, so that Ctrl-C in a terminal reaches Node alone. */
const wrapper = `
exec 3<&0
"$0" "$@" </dev/null >&2 3<&- & p=$!
trap "" INT TERM HUP
echo $p
{ read x <&3; while kill -TERM $p; do sleep 0.2; done; } >/dev/null 2>&1 & r=$!
wait $p; status=$?
kill -KILL $r 2>/dev/null
exit $status
`

export type KafkaProcess = {
  /** Of java. */
  readonly pid: number
  /** Resolves when java is gone. */
  readonly exited: Promise<void>
  /** SIGTERM, and SIGKILL after 15 s. */
  stop(): Promise<void>
  /** SIGKILL: what a power cut of this broker looks like to its clients. */
  kill(): Promise<void>
}

export async function spawnKafka(
  args: readonly string[],
  { logFile, cwd }: { logFile: string; cwd: string },
): Promise<KafkaProcess> {
  const log = openSync(logFile, 'a', 0o600)
  const child = spawn('sh', ['-c', wrapper, 'java', ...args], { detached: true, cwd, stdio: ['pipe', 'pipe', log] })
  closeSync(log)
  for (const pipe of [child.stdin, child.stdout]) pipe?.on('error', () => {})
  const exited = once(child, 'exit').then(() => {})
  const [line] = (await once(child.stdout as Readable, 'data')) as [Buffer]
  const pid = Number(line.toString().trim())
  child.unref()
  for (const pipe of [child.stdin, child.stdout]) (pipe as unknown as { unref(): void }).unref()

  const end = async (signal: NodeJS.Signals) => {
    child.ref()
    const harsher = setTimeout(() => signalProcess(pid, 'SIGKILL'), 15_000)
    signalProcess(pid, signal)
    await exited
    clearTimeout(harsher)
  }
  return { pid, exited, stop: () => end('SIGTERM'), kill: () => end('SIGKILL') }
}

function signalProcess(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch {
    // Gone already, which is what was wanted.
  }
}
