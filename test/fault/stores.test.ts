import { isLong } from './fault.ts'
import { journalFaults } from './journal/faults.ts'
import { storeFaults } from './stores/faults.ts'
import { testFaults } from './tested.ts'

/** Kafka is not on every machine: only the long form needs it. */
testFaults(isLong ? [...storeFaults, ...journalFaults] : storeFaults)
