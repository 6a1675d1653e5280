import { test } from 'node:test'
import { cutFaults } from './cuts/faults.ts'
import { holds } from './holds.ts'

for (const fault of cutFaults) {
  test(`${fault.name}: one effect a key, true answers, every event`, t => holds(t, fault))
}
