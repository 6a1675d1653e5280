import { clusterStopSuite } from '../e2e/cluster-stop-suite.ts'
import { kafkaStores } from '../helpers/kafka-stores.ts'

clusterStopSuite(kafkaStores)
