import { claudeCodeLegacy } from './claude-code.ts'
import { install } from './install.ts'
import { agentSuite } from './suite.ts'

agentSuite(claudeCodeLegacy, await install(claudeCodeLegacy))
