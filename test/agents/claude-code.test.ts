import { claudeCodeModern } from './claude-code.ts'
import { install } from './install.ts'
import { agentSuite } from './suite.ts'

agentSuite(claudeCodeModern, await install(claudeCodeModern))
