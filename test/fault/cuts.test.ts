import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cutFaults } from './cuts/faults.ts'
import { seedOfRun } from './fault.ts'

const only = process.env['HOLDFAST_FAULT_ONLY']

for (const { name, how, run } of cutFaults) {
  if (only !== undefined && !name.includes(only)) continue
  test(`${name}: ${how}; one effect a key, true answers, every event`, async t => {
    t.diagnostic(`HOLDFAST_FAULT_SEED=${seedOfRun}`)
    const { runs, lost, violations } = await run(seedOfRun)
    console.log(`${name}: ${runs} runs, ${lost} lost, ${violations.length} violations`)
    assert.ok(runs > 0)
    assert.deepEqual([violations.slice(0, 5), lost], [[], 0])
  })
}
