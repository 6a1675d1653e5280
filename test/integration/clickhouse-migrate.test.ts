/** The schema is brought by a command of its own; who only reads and adds waits for it. And the same for a cluster, as far as the engine's parser tells. */
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import test from 'node:test'
import { Session } from 'chdb'
import { connectClickhouse, migrateServer } from '../../shared/clickhouse/connect.ts'
import { eventColumns } from '../../shared/clickhouse/events.ts'
import { allStatements } from '../../shared/clickhouse/migrate.ts'
import { UnavailableError } from '../../shared/errors.ts'
import { runCli } from '../helpers/cli.ts'
import { select, startBridge, temporaryFolder } from '../helpers/clickhouse.ts'

test('an audit waits until holdfast migrate has brought the tables, and says so', async t => {
  await using folder = await temporaryFolder()
  await using bridge = await startBridge(folder.path)
  const admin = await connectClickhouse({ url: bridge.url })
  t.after(() => admin.close())
  await admin.client.command({ query: 'drop view holdfast.gaps' })
  const [newest] = await select<{ name: string; version: number }>(
    admin,
    'select name, version from holdfast.migrations order by version desc limit 1',
  )
  await admin.client.command({ query: `alter table holdfast.migrations delete where version = ${newest?.version}` })
  await assert.rejects(connectClickhouse({ url: bridge.url }), (error: unknown) => {
    assert.ok(error instanceof UnavailableError)
    assert.match(error.message, new RegExp(`lacks ${newest?.name}: run holdfast migrate`))
    return true
  })
  const env = { CLICKHOUSE_MIGRATION_URL: bridge.url }
  assert.equal((await runCli(['migrate'], { env, cwd: folder.path })).out, `Applied ${newest?.name}.\n`)
  assert.equal((await runCli(['migrate'], { env, cwd: folder.path })).out, 'Nothing was missing.\n')
  await (await connectClickhouse({ url: bridge.url })).close()
  await admin.client.command({ query: 'drop database holdfast' })
  await assert.rejects(connectClickhouse({ url: bridge.url }), /lacks its tables: run holdfast migrate/)
  assert.ok((await migrateServer(bridge.url)).length > 5)
})

test('a server that does not answer is named, and what was missing stays missing', async () => {
  const server = createServer()
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  await new Promise(resolve => server.close(resolve))
  const { exit, err } = await runCli(['migrate'], { env: { CLICKHOUSE_URL: `http://127.0.0.1:${port}` }, cwd: '/' })
  assert.equal(exit, 1)
  assert.match(err, /ClickHouse does not answer/)
})

test('for a cluster every table is replicated, events are spread over the shards, and the engine can parse all of it', async () => {
  const statements = await allStatements({ cluster: 'main' })
  const session = new Session()
  try {
    for (const statement of statements) await session.queryAsync(`explain ast ${statement}`)
  } finally {
    session.close()
  }
  const creates = statements.filter(statement => /create table/.test(statement))
  for (const statement of creates)
    assert.match(statement, /engine = (?:Replicated|Distributed)/, statement.slice(0, 60))
  for (const statement of statements) assert.match(statement, /on cluster 'main'/, statement.slice(0, 80))
  assert.match(creates.find(each => each.includes('events_local'))!, /ReplicatedMergeTree\('[^']*\{shard\}/)
  const ofDistributed = statements.filter(each =>
    /(?:alter|create) table(?: if not exists)? holdfast\.events on/.test(each),
  )
  assert.match(ofDistributed[0]!, /engine = Distributed\('main', 'holdfast', 'events_local', cityHash64/)
  // A column that the table behind has and the one before lacks could not be inserted.
  for (const column of eventColumns) {
    const added = statements.filter(each => new RegExp(`add column if not exists ${column} `).test(each))
    assert.ok(added.length === 0 || added.length === 2, column)
  }
})
