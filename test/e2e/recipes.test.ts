/** Each recipe before its real server: what a write is taken for, repeated after a lost answer, and settled by its probe. */
import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Client } from 'pg'
import { parse, stringify } from 'yaml'
import { z } from 'zod'
import { recipeNamed, recipes } from '../../shared/config/recipes.ts'
import { runCli } from '../helpers/cli.ts'
import { type Answer, eventually, type Node, outcomeOf, startNode, textOf } from '../helpers/node.ts'
import { testPostgres } from '../helpers/postgres.ts'
import { startStripeApi, type StripeApi } from '../helpers/upstream/stripe-api.ts'

const path = (name: string) => fileURLToPath(new URL(`../../${name}`, import.meta.url))
const modules = path('node_modules')
const programs: Readonly<Record<string, string>> = {
  'server-filesystem': '@modelcontextprotocol/server-filesystem/dist/index.js',
  'server-memory': '@modelcontextprotocol/server-memory/dist/index.js',
  'mcp-sqlite': 'mcp-sqlite/mcp-sqlite-server.js',
  'mcp-postgres-server': 'mcp-postgres-server/build/index.js',
  'mcp-rest-api': 'dkmaker-mcp-rest-api/build/index.js',
  'stripe-mcp': '@stripe/mcp/dist/index.js',
}

type Settings = Record<string, unknown>

/** The settings of the page's last example, for the very server that is installed here. */
function asOnPage(recipe: string, args: string[], env: Settings = {}): Settings {
  const blocks = [...readFileSync(path(`docs/recipes/${recipe}.md`), 'utf8').matchAll(/```yaml holdfast\n([^]*?)```/g)]
  const { servers } = parse(blocks.at(-1)?.[1] ?? '') as { servers: Record<string, Settings> }
  const [settings = {}] = Object.values(servers)
  assert.equal(settings.recipe, recipe)
  const command = ['node', path('test/helpers/upstream/losing-stdio.mjs'), join(folder, `${recipe}.log`)]
  const program = join(modules, programs[recipe] ?? '')
  return { ...settings, command: [...command, 'node', program, ...args], env, timeout: '30s', connectTimeout: '60s' }
}

/** Long enough for a call whose answer comes, short enough to wait for one whose answer does not. */
const brief = (settings: Settings, tools: readonly string[]): Settings => {
  const given = (settings.tools ?? {}) as Record<string, Settings>
  const shortened = tools.map(tool => [tool, { ...given[tool], timeout: '1500ms' }] as const)
  return { ...settings, tools: { ...given, ...Object.fromEntries(shortened) } }
}

let folder: string
let files: string
let api: Api
let stripe: StripeApi
let database: string
let node: Node

before(async () => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'holdfast-recipes-')))
  files = realpathSync(mkdtempSync(join(tmpdir(), 'holdfast-files-')))
  api = await startApi()
  stripe = await startStripeApi()
  database = (await (await testPostgres()).database()).url
  const servers = {
    files: brief(asOnPage('server-filesystem', [files]), writesOf('server-filesystem')),
    memory: brief(
      asOnPage('server-memory', [], { MEMORY_FILE_PATH: join(folder, 'memory.jsonl') }),
      writesOf('server-memory'),
    ),
    db: brief(asOnPage('mcp-sqlite', [join(folder, 'app.db')]), ['create_record', 'update_records', 'delete_records']),
    pg: brief(asOnPage('mcp-postgres-server', [], { DATABASE_URL: database, PG_ALLOW_WRITE: 'true' }), ['query']),
    stripe: brief(
      asOnPage('stripe-mcp', ['--tools=all'], {
        STRIPE_SECRET_KEY: 'sk_test_stand_in',
        STRIPE_STAND_IN: stripe.url,
        NODE_OPTIONS: `--require ${path('test/helpers/upstream/stripe-redirect.cjs')}`,
      }),
      ['create_customer'],
    ),
    api: brief(asOnPage('mcp-rest-api', [], { REST_BASE_URL: api.url }), ['test_request']),
  }
  node = await startNode({
    yaml: stringify({
      servers,
      roles: { all: { allow: ['*'] } },
      agents: { dev: { roles: ['all'] } },
      limits: { wait: '5s' },
    }),
  })
})
after(async () => {
  await node?.[Symbol.asyncDispose]()
  api?.stop()
  await stripe?.stop()
  for (const name of [folder, files]) rmSync(name, { recursive: true, force: true })
})

const writesOf = (recipe: string) =>
  Object.entries(recipeNamed(recipe)?.tools ?? {}).flatMap(([tool, { effect }]) => (effect === 'write' ? [tool] : []))

type Args = Record<string, unknown>
type Lose = 'answer' | 'request'

async function call(server: string, tool: string, args: Args, key?: string, lose?: Lose): Promise<Answer> {
  const client = await node.modern({ path: `/${server}` })
  const _meta = {
    ...(key !== undefined && { 'dev.holdfast/idempotency-key': key }),
    ...(lose !== undefined && { 'example.com/lose': lose }),
  }
  const params = { name: tool, arguments: args, _meta }
  return (await client.request({ method: 'tools/call', params }, z.looseObject({}), {
    timeout: 300_000,
  })) as unknown as Answer
}

/** How often calls of a tool got to the server. */
function arrived(recipe: string, tool: string): number {
  const log = join(folder, `${recipe}.log`)
  const lines = existsSync(log) ? readFileSync(log, 'utf8').split('\n') : []
  return lines.filter(line => line === tool).length
}

/** The outcome once nothing changes by itself any more, or the probe has looked. */
const settled = (server: string, tool: string, args: Args, key: string, until: (answer: Answer) => boolean) =>
  eventually(
    async () => {
      const answer = await call(server, tool, args, key)
      return until(answer) ? answer : undefined
    },
    { withinMs: 120_000, what: `${server}:${tool}` },
  )

type Write = { readonly server: string; readonly recipe: string; readonly tool: string; readonly args: Args }

async function loseAnswer({ server, recipe, tool, args }: Write, expected: 'succeeded' | 'unknown'): Promise<Answer> {
  const key = `lost-${server}-${tool}`
  const before = arrived(recipe, tool)
  await call(server, tool, args, key, 'answer')
  const told = await settled(server, tool, args, key, answer => outcomeOf(answer).state === expected)
  if (expected === 'succeeded')
    assert.match(textOf(told), /^IT HAPPENED\. .*established by looking at the server/, tool)
  else assert.match(textOf(told), /^MAY HAVE HAPPENED\. /, tool)
  const again = await call(server, tool, args, key)
  assert.equal(outcomeOf(again).state, expected, textOf(again))
  assert.equal(outcomeOf(again).replayed, true)
  assert.equal(arrived(recipe, tool), before + 1, `${tool} got to the server more than once`)
  return told
}

const argumentsOf = (recipe: string): string[] =>
  recipe === 'server-filesystem' ? [files] : recipe === 'stripe-mcp' ? ['--tools=all'] : [join(folder, 'x.db')]

test('the tools of every server that runs here are those that its recipe was written for', async () => {
  const servers = Object.fromEntries(
    Object.entries(programs).map(([recipe, program], index) => [
      `s${index}`,
      {
        command: ['node', join(modules, program), ...argumentsOf(recipe)],
        env: {
          DATABASE_URL: database,
          REST_BASE_URL: api.url,
          MEMORY_FILE_PATH: join(folder, 'x.jsonl'),
          STRIPE_SECRET_KEY: 'sk_test_x',
        },
        connectTimeout: '60s',
        recipe,
      },
    ]),
  )
  writeFileSync(join(folder, 'check.yaml'), stringify({ servers }))
  const { exit, out, err } = await runCli(['check', join(folder, 'check.yaml'), '--servers'], {
    cwd: folder,
    env: { PATH: process.env.PATH ?? '' },
  })
  assert.equal(exit, 0, out + err)
  const versions = Object.entries(programs).map(([recipe, program]) => {
    const manifest = join(modules, ...program.split('/').slice(0, program.startsWith('@') ? 2 : 1), 'package.json')
    return [recipe, (JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }).version]
  })
  const said = recipes().filter(({ tested }) => tested.run)
  assert.deepEqual(
    Object.fromEntries(said.map(({ name, tested }) => [name, tested.version])),
    Object.fromEntries(versions),
  )
})

test('server-filesystem: a lost write or directory is found by its probe; an edit and a move stay unknown, done once', async () => {
  const at = (name: string) => join(files, name)
  writeFileSync(at('edited.txt'), 'one')
  writeFileSync(at('from.txt'), 'moved')
  const write = (tool: string, args: Args): Write => ({ server: 'files', recipe: 'server-filesystem', tool, args })
  await Promise.all([
    loseAnswer(write('write_file', { path: at('written.txt'), content: 'a line\n' }), 'succeeded'),
    loseAnswer(write('create_directory', { path: at('made') }), 'succeeded'),
    loseAnswer(
      write('edit_file', { path: at('edited.txt'), edits: [{ oldText: 'one', newText: 'one one' }] }),
      'unknown',
    ),
    loseAnswer(write('move_file', { source: at('from.txt'), destination: at('to.txt') }), 'unknown'),
  ])
  assert.equal(readFileSync(at('edited.txt'), 'utf8'), 'one one')
  assert.equal(readFileSync(at('to.txt'), 'utf8'), 'moved')
})

test('a write that never got to the server is not called done by its probe, nor undone: it stays unknown', async () => {
  const args = { path: join(files, 'never.txt'), content: 'never' }
  await call('files', 'write_file', args, 'never', 'request')
  const looked = await settled('files', 'write_file', args, 'never', answer => probesOf(answer) > 0)
  assert.equal(outcomeOf(looked).state, 'unknown', textOf(looked))
})

const probesOf = (answer: Answer): number =>
  (outcomeOf(answer) as unknown as { recovery?: { probes: number } }).recovery?.probes ?? 0

test('server-memory: what every write wanted is found in the graph by its probe', async () => {
  const entity = (name: string) => ({ name, entityType: 'person', observations: ['is here'] })
  const relation = (to: string) => ({ from: 'ann', to, relationType: 'knows' })
  const write = (tool: string, args: Args): Write => ({ server: 'memory', recipe: 'server-memory', tool, args })
  const first = { entities: ['ann', 'bob', 'gone'].map(entity) }
  assert.equal(outcomeOf(await call('memory', 'create_entities', first, 'setup')).state, 'succeeded')
  const second = { relations: [relation('bob')] }
  assert.equal(outcomeOf(await call('memory', 'create_relations', second, 'setup-2')).state, 'succeeded')
  // One after the other: the server reads and writes its whole file for each.
  const writes = [
    write('create_entities', { entities: [entity('cid'), entity('dan')] }),
    write('create_relations', { relations: [relation('cid')] }),
    write('add_observations', { observations: [{ entityName: 'ann', contents: ['is tall'] }] }),
    write('delete_relations', { relations: [relation('bob')] }),
    write('delete_observations', { deletions: [{ entityName: 'bob', observations: ['is here'] }] }),
    write('delete_entities', { entityNames: ['gone'] }),
  ]
  for (const each of writes) await loseAnswer(each, 'succeeded')
  const graph = (await call('memory', 'read_graph', {})).structuredContent as {
    entities: Array<{ name: string; observations: string[] }>
    relations: Array<{ to: string }>
  }
  assert.deepEqual(graph.entities.map(({ name }) => name).sort(), ['ann', 'bob', 'cid', 'dan'])
  assert.deepEqual(graph.entities.find(({ name }) => name === 'ann')?.observations, ['is here', 'is tall'])
  assert.deepEqual(
    graph.relations.map(({ to }) => to),
    ['cid'],
  )
})

test('mcp-sqlite: a deletion is found by its probe, a row by the reference in it; an update stays unknown', async () => {
  const write = (tool: string, args: Args): Write => ({ server: 'db', recipe: 'mcp-sqlite', tool, args })
  const sql = 'create table orders (name text, state text, reference text)'
  assert.equal(outcomeOf(await call('db', 'query', { sql }, 'table')).state, 'succeeded')
  for (const name of ['old', 'changed']) {
    const row = { table: 'orders', data: { name, state: 'new' } }
    assert.equal(outcomeOf(await call('db', 'create_record', row, name)).state, 'succeeded')
  }
  await loseAnswer(write('create_record', { table: 'orders', data: { name: 'lost', state: 'new' } }), 'succeeded')
  await loseAnswer(write('delete_records', { table: 'orders', conditions: { name: 'old' } }), 'succeeded')
  const update = { table: 'orders', data: { state: 'sent' }, conditions: { name: 'changed' } }
  await loseAnswer(write('update_records', update), 'unknown')
  const rows = JSON.parse(textOf(await call('db', 'read_records', { table: 'orders' }))) as Array<{ name: string }>
  assert.deepEqual(rows.map(({ name }) => name).sort(), ['changed', 'lost'])
})

test('mcp-postgres-server: a refusal of the database is definite, a connection that ended is not; a lost statement runs once', async () => {
  const made = await call('pg', 'execute', { sql: 'create table paid (id int primary key)' }, 'table')
  assert.equal(outcomeOf(made).state, 'succeeded', textOf(made))
  assert.equal(outcomeOf(await call('pg', 'execute', { sql: 'insert into paid values (1)' }, 'one')).state, 'succeeded')
  const twice = await call('pg', 'execute', { sql: 'insert into paid values (1)' }, 'one-again')
  assert.equal(outcomeOf(twice).state, 'failed', textOf(twice))

  const sql = 'with new as (insert into paid values (2) returning id) select pg_sleep(600) from new'
  const running = call('pg', 'execute', { sql }, 'two')
  const admin = new Client({ connectionString: database })
  await admin.connect()
  await eventually(
    async () => {
      const { rows } = await admin.query(
        "select pg_terminate_backend(pid) from pg_stat_activity where query like 'with new%' and state = 'active' and pid <> pg_backend_pid()",
      )
      return rows.length > 0 ? true : undefined
    },
    { withinMs: 60_000, what: 'the statement' },
  )
  const ended = await running
  assert.equal(outcomeOf(ended).state, 'unknown', textOf(ended))
  assert.equal(outcomeOf(ended).code, 'ambiguous_error')
  assert.equal(outcomeOf(await call('pg', 'execute', { sql }, 'two')).replayed, true)
  assert.equal(arrived('mcp-postgres-server', 'execute'), 4)

  const insert = { sql: 'insert into paid values (3) returning id' }
  await loseAnswer({ server: 'pg', recipe: 'mcp-postgres-server', tool: 'query', args: insert }, 'unknown')
  const { rows } = await admin.query('select id from paid order by id')
  assert.deepEqual(rows, [{ id: 1 }, { id: 3 }])
  await admin.end()
})

test('mcp-rest-api: with an API that honours keys a lost request is sent again, and carried out once', async () => {
  const args = { method: 'POST', endpoint: '/payments', body: { amount: 5 } }
  await call('api', 'test_request', args, 'payment', 'answer')
  const answer = await settled('api', 'test_request', args, 'payment', told => outcomeOf(told).state === 'succeeded')
  assert.match(textOf(answer), /"statusCode": 201/)
  assert.equal(outcomeOf(answer).attempts, 2)
  assert.equal(arrived('mcp-rest-api', 'test_request'), 2)
  assert.deepEqual(api.payments(), [5])
})

test('stripe-mcp: a customer is created once, and found by an address that is theirs alone', async () => {
  const write: Write = {
    server: 'stripe',
    recipe: 'stripe-mcp',
    tool: 'create_customer',
    args: { name: 'Ada', email: 'ada@customers.example' },
  }
  await loseAnswer(write, 'succeeded')
  assert.equal(stripe.customers().length, 1)
})

type Api = { readonly url: string; payments(): number[]; stop(): Server }

/** An HTTP API that carries out what comes under one `Idempotency-Key` once, as Stripe's and others do. */
async function startApi(): Promise<Api> {
  const payments: number[] = []
  const answers = new Map<string, string>()
  const server = createServer((request, response) => {
    let body = ''
    request.on('data', chunk => (body += String(chunk)))
    request.on('end', () => {
      const key = String(request.headers['idempotency-key'])
      let text = answers.get(key)
      if (text === undefined) {
        payments.push((JSON.parse(body) as { amount: number }).amount)
        text = JSON.stringify({ id: payments.length })
        answers.set(key, text)
      }
      response.writeHead(201, { 'content-type': 'application/json' }).end(text)
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, payments: () => payments, stop: () => server.close() }
}
