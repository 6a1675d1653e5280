import { crashFaults } from './crashes/faults.ts'
import { testFaults } from './tested.ts'

testFaults(crashFaults)
