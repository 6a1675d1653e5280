import { postgresStores } from '../helpers/cluster-stores.ts'
import { commandServersSuite } from './command-servers-suite.ts'

commandServersSuite(postgresStores)
