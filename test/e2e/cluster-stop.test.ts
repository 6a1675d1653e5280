import { postgresStores } from '../helpers/cluster-stores.ts'
import { clusterStopSuite } from './cluster-stop-suite.ts'

clusterStopSuite(postgresStores)
