import { processFaults } from './processes/faults.ts'
import { testFaults } from './tested.ts'

testFaults(processFaults)
