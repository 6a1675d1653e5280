import { cutFaults } from './cuts/faults.ts'
import { kafkaFaults } from './cuts/kafka.ts'
import { isLong } from './fault.ts'
import { testFaults } from './tested.ts'

/** Kafka is not on every machine: only the long form needs it. */
testFaults(isLong ? [...cutFaults, ...kafkaFaults] : cutFaults)
