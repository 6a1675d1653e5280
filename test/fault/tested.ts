/** Faults as tests, each with a line for the report that `main.ts` makes of a run. */
import assert from 'node:assert/strict'
import { appendFileSync } from 'node:fs'
import { test } from 'node:test'
import { type Fault, seedOfRun } from './fault.ts'

export type Line = {
  readonly name: string
  readonly how: string
  readonly runs: number
  readonly lost: number
  readonly violations: readonly string[]
  readonly seconds: number
}

const only = process.env['HOLDFAST_FAULT_ONLY']?.split(',')
const report = process.env['HOLDFAST_FAULT_REPORT']

export function testFaults(faults: readonly Fault[]): void {
  for (const { name, how, run } of faults) {
    if (only !== undefined && !only.some(part => name.includes(part))) continue
    test(`${name}: ${how}; one effect a key, true answers, every event`, { timeout: 60 * 60_000 }, async t => {
      t.diagnostic(`HOLDFAST_FAULT_SEED=${seedOfRun}`)
      const began = performance.now()
      const { runs, lost, violations } = await run(seedOfRun)
      const seconds = Math.round((performance.now() - began) / 1000)
      const line: Line = { name, how, runs, lost, violations: violations.slice(0, 100), seconds }
      if (report !== undefined) appendFileSync(report, `${JSON.stringify(line)}\n`)
      console.log(`${name}: ${runs} runs in ${seconds} s, ${lost} lost, ${violations.length} violations`)
      assert.ok(runs > 0)
      assert.deepEqual([violations.slice(0, 5), lost], [[], 0])
    })
  }
}
