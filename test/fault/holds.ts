import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { type Fault, seedOfRun } from './fault.ts'

/** Runs a fault: no promise is broken, nothing is lost. */
export async function holds(t: TestContext, fault: Fault): Promise<void> {
  const { runs, lost, violations, skipped } = await fault.run(seedOfRun)
  t.diagnostic(`${fault.name}: seed ${seedOfRun}, ${runs} runs, ${lost} lost, ${violations.length} violations`)
  if (skipped !== undefined) return t.skip(skipped)
  assert.ok(runs > 0, 'nothing was broken')
  assert.deepEqual([violations.slice(0, 5), lost], [[], 0])
}
