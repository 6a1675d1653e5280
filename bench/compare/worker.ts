/** A worker of the comparison: a process in the folder where its packages are, that takes orders as messages. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'

export type Reply = { readonly id: string; readonly status?: string; readonly said?: string; readonly port?: number }
export type Worker = {
  readonly ready: Reply
  order(message: { order: string; change: string }, withinMs: number): Promise<Reply>
  kill(): Promise<void>
}

const startLimitMs = 60_000

export async function startWorker(modules: string, name: string, env: Record<string, string>): Promise<Worker> {
  const child = fork(join(modules, 'workers', `${name}.js`), {
    cwd: modules,
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'], ...env },
    execArgv: [],
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  })
  let printed = ''
  child.stderr?.on('data', chunk => (printed += String(chunk)))
  let orders = 0
  const hear = (id: string, withinMs: number) =>
    new Promise<Reply>((resolve, reject) => {
      const end = (done: () => void) => {
        clearTimeout(timer)
        child.off('message', listen).off('exit', gone)
        done()
      }
      const listen = (reply: unknown) => {
        if ((reply as Reply).id === id) end(() => resolve(reply as Reply))
      }
      const gone = () => end(() => reject(new Error(`${name} ended: ${printed}`)))
      const timer = setTimeout(() => end(() => reject(new Error(`${name}: nothing within ${withinMs} ms`))), withinMs)
      child.on('message', listen).on('exit', gone)
    })
  const ready = await hear('ready', startLimitMs)
  return {
    ready,
    order: (message, withinMs) => {
      const id = `order-${(orders += 1)}`
      const reply = hear(id, withinMs)
      child.send({ id, ...message })
      return reply
    },
    kill: () => killed(child),
  }
}

export async function killed(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exit = once(child, 'exit')
  child.kill('SIGKILL')
  await exit
}
