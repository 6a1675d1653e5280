/** The one line that makes a client call Holdfast instead of the servers themselves, as its own file has it. */
import { fileURLToPath } from 'node:url'
import type { Client } from './clients.ts'

const program = fileURLToPath(new URL('../bin.js', import.meta.url))
const entry = (name: string, value: object) => `"${name}": ${JSON.stringify(value)}`

/**
 * @param mcp the address of Holdfast's MCP endpoint
 * @returns the line, and what of it a person has to do himself
 */
export const pointers: Readonly<Record<Client, (mcp: string) => string>> = {
  'Claude Code': mcp =>
    entry('mcpServers', {
      holdfast: { type: 'http', url: mcp, headers: { Authorization: 'Bearer ${HOLDFAST_KEY}' } },
    }),
  // It starts programs only, in a folder of its own and without the variables of a shell.
  'Claude Desktop': mcp =>
    entry('mcpServers', {
      holdfast: {
        command: process.execPath,
        args: [program, 'connect'],
        env: { HOLDFAST_URL: new URL(mcp).origin, HOLDFAST_KEY: '<key>' },
      },
    }),
  Cursor: mcp =>
    entry('mcpServers', { holdfast: { url: mcp, headers: { Authorization: 'Bearer ${env:HOLDFAST_KEY}' } } }),
  'VS Code': mcp =>
    `${entry('servers', {
      holdfast: { type: 'http', url: mcp, headers: { Authorization: 'Bearer ${input:holdfast-key}' } },
    })}, ${entry('inputs', [] as object)}`.replace(
      '[]',
      JSON.stringify([
        { type: 'promptString', id: 'holdfast-key', description: 'API key of Holdfast', password: true },
      ]),
    ),
  Codex: mcp => `mcp_servers.holdfast = { url = ${JSON.stringify(mcp)}, bearer_token_env_var = "HOLDFAST_KEY" }`,
  'a client': mcp =>
    entry('mcpServers', {
      holdfast: { type: 'http', url: mcp, headers: { Authorization: 'Bearer ${HOLDFAST_KEY}' } },
    }),
}
