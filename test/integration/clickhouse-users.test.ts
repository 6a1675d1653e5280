/** The grants of infra/docker/clickhouse/users.xml suffice and are no more than that, as the engine itself judges them. */
import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'node:test'
import { createClient } from '@clickhouse/client'
import { Session } from 'chdb'
import { createChdbConnection } from 'chdb/connection'
import { migrate } from '../../shared/clickhouse/migrate.ts'
import { temporaryFolder } from '../helpers/clickhouse.ts'

const file = await readFile(new URL('../../infra/docker/clickhouse/users.xml', import.meta.url), 'utf8')
const grantsOf = (user: string) =>
  /<grants>[\s\S]*<\/grants>/.exec(file.split(`<${user}>`)[1]!.split(`</${user}>`)[0]!)![0]

type Run = (sql: string) => Promise<string>

/** The engine has one user for all, so it is started once as each. */
async function as(user: string, folder: string, work: (run: Run, path: string) => Promise<void>): Promise<void> {
  const users = join(folder, `${user}.xml`)
  const configuration = join(folder, `${user}-config.xml`)
  await writeFile(
    users,
    `<clickhouse><profiles><default/></profiles><quotas><default/></quotas><users><default><password></password>
      <networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota>${grantsOf(user)}</default></users></clickhouse>`,
  )
  await writeFile(configuration, `<clickhouse><users_config>${users}</users_config></clickhouse>`)
  const path = join(folder, 'data')
  const session = new Session(path, { connectionArgs: [`--config-file=${configuration}`] })
  try {
    await work(async sql => (await session.queryAsync(sql, { format: 'TSV' })).text(), path)
  } finally {
    session.close()
  }
}

const refused = /ACCESS_DENIED/

test('each user of the history can do its own work and no other', async () => {
  await using folder = await temporaryFolder()
  await as('migrator', folder.path, async (run, path) => {
    const connection = createChdbConnection({ path }) as unknown as NonNullable<
      NonNullable<Parameters<typeof createClient>[0]>['connection']
    >
    const client = createClient({ connection })
    assert.ok((await migrate(client)).length > 1)
    assert.deepEqual(await migrate(client), [])
    await client.close()
    await assert.rejects(run('create table default.mine (a Int8) engine = Memory'), refused)
  })
  await as('sink', folder.path, async run => {
    await run(`insert into holdfast.events (event_id, journal_offset) settings async_insert = 0 values ('a:1', 7)`)
    assert.equal(await run('select max(journal_offset) from holdfast.events'), '7\n')
    assert.equal(await run("select count() from system.processes where query_id = 'gone'"), '0\n')
    for (const sql of [
      'alter table holdfast.events delete where 1',
      'truncate table holdfast.events',
      'drop table holdfast.events',
      'create table holdfast.mine (a Int8) engine = Memory',
    ])
      await assert.rejects(run(sql), refused, sql)
  })
  await as('reader', folder.path, async run => {
    assert.equal(await run('select count() from holdfast.calls'), '0\n')
    assert.equal(await run('select count() from holdfast.events'), '1\n')
    assert.match(await run('show tables from holdfast'), /unknowns/)
    assert.match(
      await run("select name from system.columns where table = 'events' and database = 'holdfast'"),
      /tenant/,
    )
    for (const sql of [
      "insert into holdfast.events (event_id) values ('b:1')",
      'drop view holdfast.calls',
      "select * from file('/etc/hostname', 'LineAsString')",
      "select * from url('http://127.0.0.1:1/', 'LineAsString', 'a String')",
      'select * from system.query_log',
    ])
      await assert.rejects(run(sql), /ACCESS_DENIED|UNKNOWN_TABLE/, sql)
  })
})
