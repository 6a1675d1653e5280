import { startNode } from '../helpers/node.ts'
import { survivalSuite } from './survival-suite.ts'

survivalSuite(startNode, { stopsWithinMs: 5_000 })
