import { recoveryFaults } from './recovery/faults.ts'
import { testFaults } from './tested.ts'

testFaults(recoveryFaults)
