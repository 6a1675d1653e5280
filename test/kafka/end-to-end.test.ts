/**
 * What test/e2e holds a single node to, held by processes of their own over Kafka, two suites at a time. Nobody is killed
 * here. Fewer repetitions than over the single node: it is the same code that drops and attaches.
 */
import { describe } from 'node:test'
import { badInputSuite } from '../e2e/bad-input-suite.ts'
import { droppedConnectionsSuite } from '../e2e/dropped-connections-suite.ts'
import { longWriteSuite } from '../e2e/long-write-suite.ts'
import { protocolsSuite } from '../e2e/protocols-suite.ts'
import { publicServersSuite } from '../e2e/public-servers-suite.ts'
import { startKafkaNode } from '../helpers/kafka-node.ts'

/** Within each its tests come one after the other, as in a file of its own. */
const inTurn = { concurrency: 1 }

describe('end to end over Kafka', { concurrency: 2 }, () => {
  describe('a long write', inTurn, () => longWriteSuite(startKafkaNode))
  describe('protocols', inTurn, () => protocolsSuite(startKafkaNode))
  describe('public servers', inTurn, () => publicServersSuite(startKafkaNode))
  describe('bad input', inTurn, () => badInputSuite(startKafkaNode))
  describe('dropped connections', inTurn, () =>
    // Another suite, and other files, have the machine meanwhile: what an idle one takes is measured by the single node.
    droppedConnectionsSuite(startKafkaNode, { drops: 10, together: 200, visibleWithinMs: 10_000 }),
  )
})
