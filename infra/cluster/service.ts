/** One service as a child process that ends with its parent, however that one ends. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { openSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Variables } from '../../shared/config/environment.ts'
import { UnavailableError } from '../../shared/errors.ts'
import { onPort } from '../../shared/process/port-holder.ts'

export type ServiceProcess = {
  /** Resolves when its `/readyz` says so. */
  readonly ready: Promise<void>
  /** Resolves with a sentence when it ends without being told to. */
  readonly ended: Promise<string>
  /** Lets it drain. */
  stop(): Promise<void>
}

export type ServiceInput = {
  readonly name: 'front' | 'broker' | 'audit'
  readonly port: number
  readonly variables: Variables
  readonly logFile: string
}

const root = fileURLToPath(new URL('../../', import.meta.url))
const pollMs = 50
const readyWithinMs = 120_000

export function startService({ name, port, variables, logFile }: ServiceInput): ServiceProcess {
  const sources = [`${root}infra/cluster/tied.ts`, `${root}services/${name}/main.ts`] as const
  const child = spawn(process.execPath, ['--import', 'tsx', '--import', sources[0], sources[1]], {
    env: { ...variables },
    stdio: ['pipe', openSync(logFile, 'a'), 'inherit'],
    // Ctrl-C is for the parent, which stops them one after the other.
    detached: true,
  })
  const exit = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>
  let stopping = false
  const ended = new Promise<string>(resolve => {
    void exit.then(([code, signal]) => {
      if (!stopping) resolve(`${name} ended by itself (${signal ?? code}); ${logFile} has its last lines.`)
    })
  })
  return {
    ready: untilReady(name, port, ended),
    ended,
    async stop() {
      stopping = true
      child.kill('SIGTERM')
      if (child.exitCode === null && child.signalCode === null) await exit
    },
  }
}

async function untilReady(name: string, port: number, ended: Promise<string>): Promise<void> {
  let gone: string | undefined
  void ended.then(sentence => {
    gone = sentence
  })
  const until = performance.now() + readyWithinMs
  while (performance.now() < until) {
    if (gone !== undefined) throw new UnavailableError(name, gone)
    const response = await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => undefined)
    await response?.body?.cancel()
    if (response?.status === 200) return
    await sleep(pollMs)
  }
  throw new UnavailableError(
    name,
    `${name} was not ready within ${readyWithinMs / 1000} s; /readyz and the log say why.`,
  )
}

/** The port itself, or a free one for 0: other processes must know it before it is bound. */
export async function choosePort(port: number, variable: string): Promise<number> {
  return onPort(port, `set ${variable} to another one`, async wanted => {
    const server = createServer().listen(wanted, '127.0.0.1')
    await once(server, 'listening')
    const { port: chosen } = server.address() as AddressInfo
    await new Promise(resolve => server.close(resolve))
    return chosen
  })
}
