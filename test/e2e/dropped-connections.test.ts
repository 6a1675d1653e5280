import { startNode } from '../helpers/node.ts'
import { droppedConnectionsSuite } from './dropped-connections-suite.ts'

droppedConnectionsSuite(startNode, { drops: 50, together: 1_000, visibleWithinMs: 2_000 })
