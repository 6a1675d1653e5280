import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Agent, type Launch, prompt } from './agent.ts'
import { startResponsesApi } from './model/responses.ts'

const version = '0.171.0'

export const codex: Agent = {
  title: `Codex ${version}`,
  package: { name: '@openai/codex', version },
  program: join('node_modules', '@openai', 'codex', 'bin', 'codex.js'),
  era: 'legacy',
  startModel: startResponsesApi,
  launch,
  toolName: name => `mcp__holdfast::${name}`,
  // Only to let a turn pass: tools are shown whole from the beginning.
  load: () => ({ name: 'list_mcp_resources', input: {} }),
}

function launch({ home, modelUrl, server, asking = false }: Launch) {
  const config = {
    model: 'scripted',
    model_provider: 'scripted',
    'model_providers.scripted': {
      name: 'scripted',
      base_url: `${modelUrl}/v1`,
      wire_api: 'responses',
      env_key: 'MODEL_KEY',
    },
    'mcp_servers.holdfast': { ...entryOf(server), ...(!asking && { default_tools_approval_mode: 'approve' }) },
  }
  writeFileSync(join(home, 'config.toml'), toml(config))
  return {
    args: ['exec', '--skip-git-repo-check', prompt],
    env: { CODEX_HOME: home, MODEL_KEY: 'scripted', ...('key' in server && { HOLDFAST_KEY: server.key }) },
  }
}

const entryOf = (server: Launch['server']) =>
  'url' in server
    ? { url: server.url, bearer_token_env_var: 'HOLDFAST_KEY' }
    : { command: server.command[0], args: server.command.slice(1), env: server.env }

/** Values print as JSON does, which TOML reads; tables are named by their paths. */
const toml = (config: Record<string, string | object>): string =>
  Object.entries(config)
    .map(([name, value]) => (typeof value === 'string' ? line([name, value]) : table(name, value)))
    .join('\n')
const table = (name: string, values: object) => `[${name}]\n${Object.entries(values).map(line).join('\n')}`
const line = ([name, value]: [string, unknown]): string =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
    ? `${name} = { ${Object.entries(value).map(line).join(', ')} }`
    : `${name} = ${JSON.stringify(value)}`
