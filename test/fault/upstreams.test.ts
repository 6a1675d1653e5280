import { upstreamFaults } from './upstreams/faults.ts'
import { testFaults } from './tested.ts'

testFaults(upstreamFaults)
