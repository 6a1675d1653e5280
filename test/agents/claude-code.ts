import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Agent, Launch } from './agent.ts'
import { prompt } from './agent.ts'
import { startMessagesApi } from './model/messages.ts'

const platform = `${process.platform}-${process.arch}`

function launch({ folder, home, modelUrl, server }: Launch) {
  const config = join(home, 'mcp.json')
  writeFileSync(config, JSON.stringify({ mcpServers: { holdfast: serverEntry(server) } }))
  const work = join(home, 'work')
  mkdirSync(work, { recursive: true })
  return {
    // The program itself: what the package would put in `bin` is linked by a script that is not run.
    program: join(folder, 'node_modules', '@anthropic-ai', `claude-code-${platform}`, 'claude'),
    args: [
      ...['--print', prompt, '--model', 'claude-sonnet-4-5'],
      ...['--mcp-config', config, '--strict-mcp-config', '--allowedTools', 'mcp__holdfast'],
      ...['--debug-file', join(home, 'debug.log')],
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

const serverEntry = (server: Launch['server']) =>
  'url' in server
    ? { type: 'http', url: server.url, headers: { Authorization: `Bearer ${server.key}` } }
    : { type: 'stdio', command: server.command[0], args: server.command.slice(1), env: server.env }

const toolName = (name: string) => `mcp__holdfast__${name}`

const claudeCode = (version: string, era: Agent['era']): Agent => ({
  title: `Claude Code ${version}`,
  package: { name: '@anthropic-ai/claude-code', version },
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
/** The newest one that Node 20 is enough for sends `initialize`. */
export const claudeCodeLegacy = claudeCode('2.1.197', 'legacy')
