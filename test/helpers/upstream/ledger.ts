/** Ground truth that outlives its process: JSON lines, each on disk before the server answers. */
import { fsyncSync, openSync, readFileSync, statSync, writeSync } from 'node:fs'
import type { Effect } from './lab-tools.ts'

/** An effect as it stands in the file; `at` on the machine's clock, in milliseconds. */
export type LedgerEffect = Pick<Effect, 'id' | 'at' | 'tool' | 'arguments'>

export function openLedger(path: string): (effects: readonly Effect[]) => void {
  const file = openSync(path, 'a')
  return effects => {
    if (effects.length === 0) return
    writeSync(file, effects.map(effect => `${JSON.stringify({ ...effect, at: Date.now() })}\n`).join(''))
    fsyncSync(file)
  }
}

/** Reads a ledger that grows, each line once. */
export function followLedger(path: string): () => readonly LedgerEffect[] {
  const effects: LedgerEffect[] = []
  let read = 0
  return () => {
    if (statSync(path).size === read) return effects
    const whole = readFileSync(path).subarray(read)
    const complete = whole.subarray(0, whole.lastIndexOf(10) + 1)
    read += complete.length
    for (const line of complete.toString('utf8').split('\n'))
      if (line !== '') effects.push(JSON.parse(line) as LedgerEffect)
    return effects
  }
}
