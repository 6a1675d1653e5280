import { startNode } from '../helpers/node.ts'
import { recoverySuite } from './recovery-suite.ts'

recoverySuite(startNode)
