import { cutFaults } from './cuts/faults.ts'
import { testFaults } from './tested.ts'

testFaults(cutFaults)
