/**
 * What test/e2e holds a single node to, held by processes of their own over Kafka: here all of them are killed at once, and
 * started again over the same stores. The client library with one SDK: what is killed does not know which one it is.
 */
import { describe } from 'node:test'
import { clientSuite } from '../e2e/client-suite.ts'
import { commandServersSuite } from '../e2e/command-servers-suite.ts'
import { recoverySuite } from '../e2e/recovery-suite.ts'
import { survivalSuite } from '../e2e/survival-suite.ts'
import { startKafkaNode } from '../helpers/kafka-node.ts'
import { kafkaStores } from '../helpers/kafka-stores.ts'

describe('the client library', () => clientSuite(startKafkaNode, { sdks: ['v2'], patience: 2 }))
describe('survival', () => survivalSuite(startKafkaNode, { stopsWithinMs: 20_000 }))
describe('recovery', () => recoverySuite(startKafkaNode))
describe('command servers', () => commandServersSuite(kafkaStores))
