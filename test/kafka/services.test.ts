import { clusterSuite } from '../e2e/cluster-suite.ts'
import { kafkaStores } from '../helpers/kafka-stores.ts'

clusterSuite({ stores: kafkaStores, audits: 2 })
