/** A process that consumes and can be killed: `consumerProcess` of the journal's contract, over any store. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'

/** @param script prints "joined", then a line for each record that it was handed and keeps */
export async function consumerProcess(script: string, args: readonly string[]) {
  const child = spawn(process.execPath, ['--import', 'tsx', script, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exited = once(child, 'exit')
  const lines: string[] = []
  const reader = createInterface({ input: child.stdout })
  reader.on('line', line => lines.push(line))
  const holds = async (value: string) => {
    while (!lines.includes(value))
      await Promise.race([once(reader, 'line'), exited.then(() => Promise.reject(new Error('the consumer ended')))])
  }
  const kill = async () => {
    child.kill('SIGKILL')
    await exited
  }
  await holds('joined')
  return { holds, kill }
}
