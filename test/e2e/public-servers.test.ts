import { startNode } from '../helpers/node.ts'
import { publicServersSuite } from './public-servers-suite.ts'

publicServersSuite(startNode)
