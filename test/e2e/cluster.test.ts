import { postgresStores } from '../helpers/cluster-stores.ts'
import { clusterSuite } from './cluster-suite.ts'

clusterSuite({ stores: postgresStores, audits: 1 })
