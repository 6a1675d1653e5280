import { startNode } from '../helpers/node.ts'
import { clientSuite } from './client-suite.ts'

clientSuite(startNode, { sdks: ['v1', 'v2'], patience: 1 })
