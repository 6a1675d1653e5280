import type { Single } from './start.ts'

/** What `npm start` prints when it is ready: everything a newcomer needs for the first minute. */
export function banner(
  {
    mcp,
    outcomes,
    sql,
    key,
    isExample,
    config,
  }: Pick<Single, 'mcp' | 'outcomes' | 'sql' | 'key' | 'isExample' | 'config'>,
  { seconds, logFile }: { seconds: number; logFile: string },
): string {
  return `
Holdfast is ready (${seconds.toFixed(1)} s), in front of: ${Object.keys(config.servers).join(', ')}${isExample ? ' (examples/holdfast.yaml)' : ''}

  MCP        ${mcp}        one server alone: ${mcp}/{server}
  outcomes   ${outcomes}/{server}/{key}
  SQL        ${sql}
  key        ${key}        (development: may call everything)
  log        ${logFile}

Connect
  Claude Code   claude mcp add --transport http holdfast ${mcp} --header "Authorization: Bearer ${key}"
  Codex         HOLDFAST_KEY=${key} codex -c mcp_servers.holdfast.url=${mcp} -c mcp_servers.holdfast.bearer_token_env_var=HOLDFAST_KEY
  Inspector     npx @modelcontextprotocol/inspector --cli ${mcp} --transport http --header "Authorization: Bearer ${key}" --method tools/list
  stdio only    holdfast connect, with HOLDFAST_URL=${new URL(mcp).origin} HOLDFAST_KEY=${key}
${isExample ? tryIt : ''}
Look
  npm run holdfast -- sql "select requested_at, agent, tool, idempotency_key, state, attempts from holdfast.calls order by requested_at desc limit 10"
  npm run holdfast -- sql "select * from holdfast.unknowns"
  npm run demo                                    the story in one minute

Ctrl-C stops it.
`
}

const tryIt = `
Try
  "Transfer 25 from alice to bob with lose_reply, then find out whether it happened."
`
