import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import test, { after, beforeEach } from 'node:test'
import { parse } from 'yaml'
import { runCli } from '../helpers/cli.ts'

let cwd = ''
const folders: string[] = []
beforeEach(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'holdfast-import-'))
  folders.push(cwd)
})
after(async () => {
  await Promise.all(folders.map(folder => rm(folder, { recursive: true })))
})

async function put(name: string, content: unknown): Promise<void> {
  await mkdir(dirname(join(cwd, name)), { recursive: true })
  await writeFile(join(cwd, name), typeof content === 'string' ? content : JSON.stringify(content, null, 2))
}
const run = (words: string[], env: Record<string, string> = {}) => runCli(['import', ...words], { cwd, env })
const offline = (words: string[] = [], env?: Record<string, string>) => run([...words, '--offline'], env)
type Server = {
  command?: string[]
  env?: Record<string, string>
  url?: string
  headers?: Record<string, string>
  cwd?: string
  recipe?: string
  timeout?: string
  connectTimeout?: string
}
type Written = {
  servers: Record<string, Server>
  roles: { all: { allow: string[]; deny?: string[] } }
  agents: { dev: { roles: string[] } }
}
const written = async (name = 'holdfast.yaml') => parse(await readFile(join(cwd, name), 'utf8')) as Written

/** What must never be in any output. */
const secrets = {
  env: 'ghp_zzzzzzzzzzzzzzzzzzz987654321',
  option: 'sk_test_4eC39HqLyjWDarjtT1zdp7dc',
  password: 'hunter2hunter2',
  bearer: 'lin_api_0123456789abcdef',
  header: 'k-0a1b2c3d4e5f6789',
}

test('secrets of a file become variables; no value of one is in the configuration or on the screen', async () => {
  await put('.mcp.json', {
    mcpServers: {
      github: { command: 'docker', args: ['run', '-e', 'GITHUB_TOKEN', 'image'], env: { GITHUB_TOKEN: secrets.env } },
      stripe: { command: 'npx', args: ['-y', '@stripe/mcp', `--api-key=${secrets.option}`] },
      spaced: { command: 'npx', args: ['thing', '--api-key', secrets.option, '--level', 'info'] },
      db: { command: 'npx', args: ['pg-server', `postgresql://bob:${secrets.password}@localhost/app`] },
      remote: { command: 'npx', args: ['mcp-remote', 'https://x.test/mcp', '--header', `X-Key: ${secrets.header}`] },
      linear: {
        type: 'http',
        url: 'https://mcp.linear.app/mcp',
        headers: { Authorization: `Bearer ${secrets.bearer}`, 'X-Region': 'eu', 'X-Api-Key': secrets.header },
      },
    },
  })
  const { exit, out, err } = await offline()
  assert.equal(exit, 0, err)
  const text = await readFile(join(cwd, 'holdfast.yaml'), 'utf8')
  for (const [name, secret] of Object.entries(secrets)) {
    assert.equal(text.includes(secret), false, name)
    assert.equal(`${out}${err}`.includes(secret), false, name)
  }
  const { servers } = await written()
  assert.deepEqual(servers.github?.env, { GITHUB_TOKEN: '${env:GITHUB_TOKEN}' })
  assert.deepEqual(servers.github?.command, ['docker', 'run', '-e', 'GITHUB_TOKEN', 'image'])
  assert.equal(servers.stripe?.command?.at(-1), '--api-key=${env:STRIPE_API_KEY}')
  assert.deepEqual(servers.spaced?.command?.slice(2), ['--api-key', '${env:SPACED_API_KEY}', '--level', 'info'])
  assert.equal(servers.db?.command?.at(-1), '${env:DB_URL}')
  assert.equal(servers.remote?.command?.at(-1), 'X-Key: ${env:REMOTE_X_KEY}')
  assert.deepEqual(servers.linear?.headers, {
    Authorization: 'Bearer ${env:LINEAR_TOKEN}',
    'X-Region': 'eu',
    'X-Api-Key': '${env:LINEAR_X_API_KEY}',
  })
  assert.match(out, /^Set before you start Holdfast\n {2}GITHUB_TOKEN +github: env GITHUB_TOKEN$/m)
  const checked = await runCli(['check'], { cwd, env: {} })
  assert.match(checked.out, /the environment variable GITHUB_TOKEN is not set/)
  assert.equal((await runCli(['check', '--without-secrets'], { cwd })).exit, 0)
})

test('a name and password in an address become a header, and a token in its path hides all of it', async () => {
  await put('.mcp.json', {
    mcpServers: {
      old: { url: `https://bob:${secrets.password}@x.test/mcp` },
      zap: { url: 'https://x.test/s/8d7f6a5b4c3d2e1f/mcp' },
    },
  })
  const { exit, out, err } = await offline()
  assert.equal(exit, 0, err)
  const { servers } = await written()
  assert.deepEqual(servers.old, { url: 'https://x.test/mcp', headers: { Authorization: 'Basic ${env:OLD_BASIC}' } })
  assert.deepEqual(servers.zap, { url: '${env:ZAP_URL}' })
  assert.match(out, /OLD_BASIC +old: header Authorization, name:password of its address in base64/)
  assert.equal(out.includes(secrets.password), false)
})

test('two secrets of one name keep apart, one secret in two places is one variable, and another value in the environment is not taken', async () => {
  const server = (API_KEY: string) => ({ command: 'run', env: { API_KEY } })
  await put('.mcp.json', { mcpServers: { a: server('one-1'), b: server('two-2'), c: server('one-1') } })
  const { out } = await offline([], { API_KEY: 'something else' })
  const { servers } = await written()
  assert.deepEqual(
    ['a', 'b', 'c'].map(name => servers[name]?.env?.API_KEY),
    ['${env:A_API_KEY}', '${env:B_API_KEY}', '${env:A_API_KEY}'],
  )
  assert.match(out, /A_API_KEY +a: env API_KEY; c: env API_KEY/)
})

test("placeholders of Claude Code, VS Code and Cursor become Holdfast's", async () => {
  await put('.mcp.json', {
    mcpServers: {
      a: { command: '${TOOLS}/server', args: ['${LEVEL:-info}'], env: { TOKEN: '${A_TOKEN}' } },
      b: {
        type: 'http',
        url: '${BASE}/mcp',
        headers: { Authorization: 'Bearer ${B_TOKEN}', 'X-Token': 'half-${HALF}', 'X-Key': '${K:-k-0a1b2c3d}' },
      },
    },
  })
  await put(
    '.vscode/mcp.json',
    `{
  // A comment, as editors allow it
  "inputs": [{ "type": "promptString", "id": "c-token", "password": true }],
  "servers": {
    "c": { "type": "stdio", "command": "node", "args": ["\${workspaceFolder}/c.js", "\${userHome}/x"], "env": { "KEY": "\${input:c-token}", "E": "\${env:E_VAR}" } },
  },
}`,
  )
  const { exit, out, err } = await offline()
  assert.equal(exit, 0, err)
  const { servers } = await written()
  assert.deepEqual(servers.a?.command, ['${env:TOOLS}/server', '${env:LEVEL}'])
  assert.deepEqual(servers.a?.env, { TOKEN: '${env:A_TOKEN}' })
  assert.equal(servers.b?.url, '${env:BASE}/mcp')
  assert.deepEqual(servers.b?.headers, {
    Authorization: 'Bearer ${env:B_TOKEN}',
    'X-Token': '${env:B_X_TOKEN}',
    'X-Key': '${env:K}',
  })
  assert.match(out, /B_X_TOKEN +b: header X-Token, the whole of it/)
  assert.equal(out.includes('k-0a1b2c3d') || out.includes('half-'), false)
  assert.equal(servers.c?.command?.[1], `${cwd}/c.js`)
  assert.deepEqual(servers.c?.env, { KEY: '${env:C_TOKEN}', E: '${env:E_VAR}' })
  assert.match(out, /LEVEL +a: argument 1, had a default in the file/)
})

test("Codex's TOML: variables it passes on, bearer tokens, headers, time-outs, tools switched on and off", async () => {
  await put(
    '.codex/config.toml',
    `model = "some"
[mcp_servers.docs]
url = "https://docs.test/mcp"
bearer_token_env_var = "DOCS_TOKEN"
env_http_headers = { "X-Org" = "ORG_ID" }
http_headers = { "X-Region" = "eu" }
tool_timeout_sec = 90
enabled_tools = ["find", "open"]

[mcp_servers.local]
command = "npx"
args = ["-y", "local-server"]
env_vars = ["HTTP_PROXY"]
startup_timeout_sec = 20
disabled_tools = ["drop"]
[mcp_servers.local.env]
LOG_LEVEL = "debug"

[mcp_servers.off]
command = "npx"
enabled = false
`,
  )
  const { exit, out, err } = await offline(['.codex/config.toml'])
  assert.equal(exit, 0, err)
  const { servers, roles } = await written()
  assert.deepEqual(servers.docs, {
    url: 'https://docs.test/mcp',
    headers: { 'X-Region': 'eu', 'X-Org': '${env:ORG_ID}', Authorization: 'Bearer ${env:DOCS_TOKEN}' },
    timeout: '90s',
  })
  assert.deepEqual(servers.local?.env, { LOG_LEVEL: 'debug', HTTP_PROXY: '${env:HTTP_PROXY}' })
  assert.equal(servers.local?.connectTimeout, '20s')
  assert.deepEqual(roles.all, { allow: ['docs:find', 'docs:open', 'local:*'], deny: ['local:drop'] })
  assert.match(out, /Left out\n {2}off is switched off in the client\./)
  assert.match(
    out,
    /mcp_servers\.holdfast = \{ url = "http:\/\/127\.0\.0\.1:8080\/mcp", bearer_token_env_var = "HOLDFAST_KEY" \}/,
  )
})

test("a person's file of Claude Code: servers of every project, in its folder; what a project switches off stays off", async () => {
  const here = { command: 'node', args: ['./server.js'] }
  await put('home/.claude.json', {
    mcpServers: { everywhere: { command: 'run' }, remote: { url: 'http://127.0.0.1:4999/mcp' } },
    projects: {
      [cwd]: { mcpServers: { here, off: { command: 'x' } }, disabledMcpServers: ['off'] },
      '/elsewhere': { mcpServers: { there: here, remote: { url: 'http://127.0.0.1:4999/mcp' } } },
    },
  })
  await put('.mcp.json', { mcpServers: { shared: { command: 'y' }, unwanted: { command: 'z' } } })
  await put('.claude/settings.local.json', { disabledMcpjsonServers: ['unwanted'] })
  const { exit, out, err } = await offline(['home/.claude.json', '.mcp.json', '.claude/settings.local.json'])
  assert.equal(exit, 0, err)
  const { servers } = await written()
  assert.deepEqual(Object.keys(servers).sort(), ['everywhere', 'here', 'remote', 'shared', 'there'])
  assert.equal(servers.here?.cwd, undefined)
  assert.equal(servers.there?.cwd, '/elsewhere')
  assert.match(out, /off is switched off in the client\.\n {2}unwanted is switched off in the client\./)
})

test('each client gets its own line, which is valid in its file', async () => {
  const server = { s: { command: 'run' } }
  await put('.mcp.json', { mcpServers: server })
  await put('claude_desktop_config.json', { mcpServers: server })
  await put('.cursor/mcp.json', { mcpServers: server })
  await put('.vscode/mcp.json', { servers: server })
  await put('settings.json', { 'editor.tabSize': 2, mcp: { servers: server } })
  const files = ['.mcp.json', 'claude_desktop_config.json', '.cursor/mcp.json', '.vscode/mcp.json', 'settings.json']
  const { out } = await offline([...files, '--dry-run', '--json'], { HOLDFAST_FRONT_PORT: '9999' })
  const { clients } = JSON.parse(out) as { clients: Array<{ where: string; line: string }> }
  assert.deepEqual(
    clients.map(({ where }) => where),
    [
      '.mcp.json (Claude Code)',
      'claude_desktop_config.json (Claude Desktop)',
      '.cursor/mcp.json (Cursor)',
      '.vscode/mcp.json (VS Code)',
      'settings.json (VS Code)',
    ],
  )
  const entries = clients.map(
    ({ line }) => JSON.parse(`{${line}}`) as Record<string, { holdfast: Record<string, unknown> }>,
  )
  for (const entry of [entries[0], entries[2]])
    assert.equal(entry?.mcpServers?.holdfast.url, 'http://127.0.0.1:9999/mcp')
  const [program = '', word] = (entries[1]?.mcpServers?.holdfast.args ?? []) as string[]
  assert.equal(word, 'connect')
  assert.ok(existsSync(program), program)
  assert.match(JSON.stringify(entries[3]), /\$\{input:holdfast-key\}.*"password":true/)
})

test('names become valid and unique with a note; the same server in two files is one', async () => {
  const server = (name: string) => ({ command: 'run', args: [name] })
  await put('a.json', {
    mcpServers: {
      'My Server (main)': server('1'),
      my_server_main: server('2'),
      'a-very-long-name-of-a-server': server('3'),
      ångström: server('4'),
      same: server('5'),
    },
  })
  await put('b.json', { mcpServers: { same: server('5'), other: server('6') } })
  const { out } = await offline(['a.json', 'b.json'])
  assert.deepEqual(Object.keys((await written()).servers), [
    'my-server-main',
    'my-server-main-2',
    'a-very-long-name',
    'ngstr-m',
    'same',
    'other',
  ])
  assert.match(out, /my-server-main: it was My Server \(main\): a name here is 1 to 16 of a-z, 0-9 and -/)
})

test('what Holdfast cannot stand before is left out, each with its sentence', async () => {
  await put('x.json', {
    mcpServers: {
      old: { type: 'sse', url: 'https://x.test/events' },
      older: { url: 'https://x.test/sse' },
      socket: { type: 'ws', url: 'wss://x.test' },
      odd: { url: 'x.test/mcp' },
      empty: {},
      off: { command: 'x', disabled: true },
      holdfast: { type: 'http', url: 'http://127.0.0.1:8080/mcp' },
      bridge: { command: 'node', args: ['/x/holdfast/services/cli/bin.js', 'connect'] },
      fine: { command: 'x' },
    },
  })
  const { out } = await offline(['x.json'])
  const left = /Left out\n((?: {2}.*\n)+)/.exec(out)?.[1] ?? ''
  assert.match(left, /old speaks only SSE.*\n {2}older speaks only SSE/)
  assert.match(left, /socket has the transport ws, which Holdfast does not speak\./)
  assert.match(left, /odd has an address that is not http or https\./)
  assert.match(left, /empty has neither a command nor an address\./)
  assert.match(left, /off is switched off in the client\./)
  assert.match(left, /holdfast is Holdfast itself\.\n {2}bridge is Holdfast itself\./)
  assert.deepEqual(Object.keys((await written()).servers), ['fine'])
  await put('only.json', { mcpServers: { holdfast: { url: 'http://127.0.0.1:8080/mcp' } } })
  const none = await offline(['only.json', '--force'])
  assert.equal(none.exit, 1)
  assert.match(none.err, /^No server can be imported: holdfast is Holdfast itself\.\n$/)
})

test('a file that cannot be read is told with line and column, and nothing of it is shown', async () => {
  await put('broken.json', `{\n  "mcpServers": {\n    "a": { "token": "${secrets.env}" "b": 1 }\n  }\n}`)
  const broken = await offline(['broken.json'])
  assert.equal(broken.exit, 1)
  assert.match(broken.err, /^broken\.json:3:\d+: this is not JSON: .* \(correct it\)\n$/)
  await put('broken.toml', `[mcp_servers.a]\ntoken = ${secrets.env}\n`)
  const toml = await offline(['broken.toml'])
  assert.match(toml.err, /^broken\.toml:2:\d+: this is not TOML: .* \(correct it\)\n$/)
  assert.equal(`${broken.err}${toml.err}`.includes(secrets.env), false)
  await put('other.json', { servers: [] })
  assert.match((await offline(['other.json'])).err, /^other\.json holds no MCP servers \(they stand under mcpServers/)
  await put('empty.json', '')
  assert.match((await offline(['empty.json'])).err, /^empty\.json is empty\.\n$/)
  assert.match((await offline(['gone.json'])).err, /^gone\.json does not exist\.\n$/)
  assert.match(
    (await offline()).err,
    /^There is no configuration of a client here \(name its file; looked for \.mcp\.json/,
  )
  assert.equal(existsSync(join(cwd, 'holdfast.yaml')), false)
})

test('a file that is there is never replaced without --force, and --dry-run writes nothing', async () => {
  await put('.mcp.json', { mcpServers: { a: { command: 'x' } } })
  const looked = await offline(['--dry-run'])
  assert.equal(looked.exit, 0)
  assert.match(
    looked.out,
    /Not written \(--dry-run\): holdfast\.yaml would be\n\n# Made by holdfast import from \.mcp\.json/,
  )
  assert.equal(existsSync(join(cwd, 'holdfast.yaml')), false)
  await put('holdfast.yaml', '# mine')
  const refused = await offline()
  assert.equal(refused.exit, 1)
  assert.match(
    refused.err,
    /^holdfast\.yaml is there already \(look first with --dry-run, replace it with --force\)\n$/,
  )
  assert.equal(await readFile(join(cwd, 'holdfast.yaml'), 'utf8'), '# mine')
  assert.equal((await offline(['--out', 'other.yaml'])).exit, 0)
  assert.equal((await offline(['--force'])).exit, 0)
  assert.deepEqual(Object.keys((await written()).servers), ['a'])
})

test('a file of variables is read for its names; what may be a secret in it stays there', async () => {
  await put('.env', 'TOKEN=abc-123-def-456\nexport LEVEL=info\n')
  await put('.vscode/mcp.json', { servers: { a: { command: 'x', envFile: '${workspaceFolder}/.env' } } })
  const { out } = await offline()
  assert.deepEqual((await written()).servers.a?.env, { TOKEN: '${env:TOKEN}', LEVEL: 'info' })
  assert.equal(out.includes('abc-123'), false)
})
