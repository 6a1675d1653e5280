import { spawn } from 'node:child_process'
import { chmodSync, existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { CannotRun, type Contestant, type Place } from './contestant.ts'
import { killed, startWorker, type Worker } from './worker.ts'

const startLimitMs = 60_000
const answerLimitMs = 60_000

/** Restate: a server that keeps the journal of each invocation and calls the service again when it was lost. */
export async function startRestate(
  { bankUrl, folder, modules, env: further }: Place,
  { name, step }: { name: string; step: Readonly<Record<string, unknown>> },
): Promise<Contestant> {
  const binary = findBinary(modules)
  const [ingress, admin, node] = await Promise.all([freePort(), freePort(), freePort()])
  const server = spawn(
    binary,
    ['--no-logo', '--listen-mode=tcp', '--bind-ip=127.0.0.1', `--bind-port=${node}`, `--base-dir=${folder}`],
    {
      env: {
        PATH: process.env['PATH'],
        RESTATE_INGRESS__BIND_PORT: String(ingress),
        RESTATE_ADMIN__BIND_PORT: String(admin),
        RESTATE_DISABLE_TELEMETRY: 'true',
      },
      stdio: ['ignore', 'ignore', 'ignore'],
    },
  )
  const env = { BANK_URL: bankUrl, STEP_OPTIONS: JSON.stringify(step), SERVICE_PORT: '0', ...further }
  let worker: Worker | undefined
  const stop = async () => {
    await worker?.kill()
    await killed(server)
  }
  const began = new Map<string, Promise<Response>>()
  try {
    worker = await startWorker(modules, 'restate', env)
    const port = worker.ready.port as number
    await register(admin, port)
    return {
      name,
      begin: async change => {
        const answer = fetch(`http://127.0.0.1:${ingress}/payments/pay`, {
          method: 'POST',
          headers: { 'content-type': 'application/json', 'idempotency-key': change },
          body: JSON.stringify(change),
          signal: AbortSignal.timeout(answerLimitMs),
        })
        answer.catch(() => {})
        began.set(change, answer)
      },
      kill: async () => worker?.kill(),
      restart: async () => {
        worker = await startWorker(modules, 'restate', { ...env, SERVICE_PORT: String(port) })
      },
      ask: async change => {
        const response = await (began.get(change) as Promise<Response>)
        const text = await response.text()
        return { told: response.ok ? 'done' : 'error', words: `${response.status}: ${text}` }
      },
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

/** The server's package holds no binary itself: that of this platform is in an optional one. */
function findBinary(modules: string): string {
  const platform = `@restatedev/restate-server-${process.platform}-${process.arch}`
  try {
    const manifest = createRequire(join(modules, 'package.json')).resolve(`${platform}/package.json`)
    const binary = join(manifest, '..', 'bin', 'restate-server')
    if (!existsSync(binary)) throw new Error('no bin/restate-server')
    chmodSync(binary, 0o755)
    return binary
  } catch (cause) {
    throw new CannotRun(`${platform} is not installed here (${(cause as Error).message.split('\n')[0]})`, { cause })
  }
}

/** The admin port answers some seconds after the start. */
async function register(admin: number, port: number): Promise<void> {
  const until = performance.now() + startLimitMs
  for (;;) {
    const response = await fetch(`http://127.0.0.1:${admin}/deployments`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ uri: `http://127.0.0.1:${port}` }),
    }).catch(() => undefined)
    if (response?.ok) return
    if (performance.now() > until) {
      const said = (await response?.text()) ?? 'no answer'
      throw new CannotRun(`Restate did not take the service within ${startLimitMs / 1000} s: ${said}`)
    }
    await new Promise(resolve => setTimeout(resolve, 200))
  }
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise(resolve => server.close(resolve))
  return port
}
