import { test } from 'node:test'
import { holds } from './holds.ts'
import { storeFaults } from './stores/faults.ts'

for (const fault of storeFaults) {
  test(`${fault.name}: answers stay true, nothing is lost, everything comes back by itself`, t => holds(t, fault))
}
