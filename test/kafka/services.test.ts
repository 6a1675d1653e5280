import { clusterSuite } from '../e2e/cluster-suite.ts'
import { sharedKafkaStores } from '../helpers/kafka-stores.ts'

clusterSuite({ stores: sharedKafkaStores, audits: 2 })
