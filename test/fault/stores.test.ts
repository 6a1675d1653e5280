import { storeFaults } from './stores/faults.ts'
import { testFaults } from './tested.ts'

testFaults(storeFaults)
