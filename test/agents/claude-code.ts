import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Agent, type Launch, prompt } from './agent.ts'
import { startMessagesApi } from './model/messages.ts'

const toolName = (name: string) => `mcp__holdfast__${name}`

const claudeCode = (version: string, era: Agent['era']): Agent => ({
  title: `Claude Code ${version}`,
  package: { name: '@anthropic-ai/claude-code', version },
  // What the package would put in `bin` is linked by a script that is not run.
  program: join('node_modules', '@anthropic-ai', `claude-code-${process.platform}-${process.arch}`, 'claude'),
  era,
  startModel: startMessagesApi,
  launch,
  toolName,
  load: names => ({
    name: 'ToolSearch',
    input: { query: `select:${names.map(toolName).join(',')}`, max_results: 100 },
  }),
})

/** The newest one speaks 2026-07-28. */
export const claudeCodeModern = claudeCode('2.1.332', 'modern')
/** One that people still run, which sends `initialize`. */
export const claudeCodeLegacy = claudeCode('2.1.197', 'legacy')

function launch({ home, modelUrl, server, asking = false }: Launch) {
  const config = join(home, 'mcp.json')
  writeFileSync(config, JSON.stringify({ mcpServers: { holdfast: entryOf(server) } }))
  const without = asking ? [] : ['--allowedTools', 'mcp__holdfast']
  return {
    args: [
      ...['--print', prompt, '--model', 'claude-sonnet-4-5', '--debug-file', join(home, 'debug.log')],
      ...['--mcp-config', config, '--strict-mcp-config', ...without],
    ],
    env: {
      ANTHROPIC_BASE_URL: modelUrl,
      ANTHROPIC_API_KEY: 'scripted',
      CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
      DISABLE_AUTOUPDATER: '1',
      DISABLE_TELEMETRY: '1',
      DISABLE_ERROR_REPORTING: '1',
    },
  }
}

const entryOf = (server: Launch['server']) =>
  'url' in server
    ? { type: 'http', url: server.url, headers: { Authorization: `Bearer ${server.key}` } }
    : { type: 'stdio', command: server.command[0], args: server.command.slice(1), env: server.env }
