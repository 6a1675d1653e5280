/** Ground truth that outlives its process: JSON lines, each on disk before the server answers. */
import { fsyncSync, openSync, readFileSync, writeSync } from 'node:fs'
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

export const readLedger = (path: string): LedgerEffect[] =>
  readFileSync(path, 'utf8')
    .split('\n')
    .filter(line => line !== '')
    .map(line => JSON.parse(line) as LedgerEffect)
