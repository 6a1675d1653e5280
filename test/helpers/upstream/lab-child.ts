import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { followLedger, type LedgerEffect } from './ledger.ts'

export type LabChild = {
  readonly url: string
  readonly ledger: string
  readonly pid: number
  effects(): readonly LedgerEffect[]
  /** Lets every call answer that is held back (`late`). */
  release(): void
  stop(): Promise<void>
}

/** The lab as a process. @param ledger a file that does not exist yet */
export async function startLabChild(ledger: string): Promise<LabChild> {
  writeFileSync(ledger, '', { flag: 'a' })
  const program = fileURLToPath(new URL('./lab-process.ts', import.meta.url))
  const child = spawn(process.execPath, ['--import', 'tsx', program, ledger], { stdio: ['pipe', 'pipe', 'inherit'] })
  const exit = once(child, 'exit')
  const [printed] = (await Promise.race([
    once(child.stdout, 'data'),
    exit.then(() => Promise.reject(new Error('the lab ended before it listened'))),
  ])) as [Buffer]
  return {
    url: String(printed).trim(),
    ledger,
    pid: child.pid as number,
    effects: followLedger(ledger),
    release: () => void child.stdin.write('\n'),
    stop: async () => {
      child.stdin.end()
      await exit
    },
  }
}
