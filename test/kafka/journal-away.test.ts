import { journalFaults } from '../fault/journal/faults.ts'
import { testFaults } from '../fault/tested.ts'

testFaults(journalFaults)
