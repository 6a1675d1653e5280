import { kafkaFaults } from '../fault/cuts/kafka.ts'
import { testFaults } from '../fault/tested.ts'

testFaults(kafkaFaults)
