import { startNode } from '../helpers/node.ts'
import { badInputSuite } from './bad-input-suite.ts'

badInputSuite(startNode)
