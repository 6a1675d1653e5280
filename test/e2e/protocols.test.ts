import { startNode } from '../helpers/node.ts'
import { protocolsSuite } from './protocols-suite.ts'

protocolsSuite(startNode)
