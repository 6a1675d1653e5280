import { test } from 'node:test'
import { holds } from './holds.ts'
import { upstreamFaults } from './upstreams/faults.ts'

for (const fault of upstreamFaults) {
  test(`${fault.name}: the outcome is what design section 3 says, nothing is sent twice, and the next call works`, t =>
    holds(t, fault))
}
