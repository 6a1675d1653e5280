import { postgresStores } from '../helpers/cluster-stores.ts'
import { clusterStopSuite } from '../e2e/cluster-stop-suite.ts'

clusterStopSuite(postgresStores)
