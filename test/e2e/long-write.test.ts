import { startNode } from '../helpers/node.ts'
import { longWriteSuite } from './long-write-suite.ts'

longWriteSuite(startNode)
