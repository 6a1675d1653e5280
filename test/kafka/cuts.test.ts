import { test } from 'node:test'
import { kafkaFaults } from '../fault/cuts/kafka.ts'
import { holds } from '../fault/holds.ts'

for (const fault of kafkaFaults) {
  test(`${fault.name}: one effect a key, true answers, every event`, t => holds(t, fault))
}
