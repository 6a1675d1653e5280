import { startNode } from '../helpers/node.ts'
import { clientSuite } from './client-suite.ts'

clientSuite(startNode)
