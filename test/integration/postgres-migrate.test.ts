import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'node:test'
import { ConfigError } from '../../shared/errors.ts'
import { migrate } from '../../shared/postgres/migrate.ts'
import { createPool, type Pool } from '../../shared/postgres/pool.ts'
import { removeFolder, silent, temporaryFolder, testPostgres } from '../helpers/postgres.ts'

test('two migrators race, and each file is applied once', () =>
  withFolder(async ({ pool, folder, file }) => {
    await file('0001_things.sql', 'create table things (id int)')
    await file('0002_more.sql', 'insert into things values (1)')
    const names = await Promise.all([1, 2, 3].map(() => migrate({ pool, log: silent }, folder)))
    assert.deepEqual(names.flat().toSorted(), ['0001_things.sql', '0002_more.sql'])
    assert.equal((await pool.query('select * from things')).rowCount, 1)
    assert.deepEqual(await migrate({ pool, log: silent }, folder), [])
  }))

test('an edited file that was applied is refused, naming it', () =>
  withFolder(async ({ pool, folder, file }) => {
    await file('0001_things.sql', 'create table things (id int)')
    await migrate({ pool, log: silent }, folder)
    await file('0001_things.sql', 'create table things (id bigint)')
    await assert.rejects(migrate({ pool, log: silent }, folder), (error: Error) => {
      assert.ok(error instanceof ConfigError)
      assert.match(error.message, /0001_things\.sql was edited/)
      return true
    })
  }))

test('a migration that fails leaves nothing behind, not even the ones before it', () =>
  withFolder(async ({ pool, folder, file }) => {
    await file('0001_things.sql', 'create table things (id int)')
    await file('0002_broken.sql', 'create table other (id int); select no_such_function()')
    await assert.rejects(migrate({ pool, log: silent }, folder), /0002_broken\.sql failed: .*no_such_function/)
    assert.deepEqual(
      (await pool.query(`select to_regclass('things') as things, to_regclass('migrations') as migrations`)).rows,
      [{ things: null, migrations: null }],
    )
  }))

test('a new file numbered below an applied one is refused: it would run in another order elsewhere', () =>
  withFolder(async ({ pool, folder, file }) => {
    await file('0002_second.sql', 'select 1')
    await migrate({ pool, log: silent }, folder)
    await file('0001_first.sql', 'select 1')
    await assert.rejects(migrate({ pool, log: silent }, folder), /0001_first\.sql is numbered below 2/)
    await file('0002_again.sql', 'select 1')
    await assert.rejects(migrate({ pool, log: silent }, folder), /Two migrations have the number/)
  }))

type Around = { pool: Pool; folder: string; file: (name: string, sql: string) => Promise<void> }

/** An empty database and an empty folder of migrations. */
async function withFolder(work: (around: Around) => Promise<void>): Promise<void> {
  const folder = await temporaryFolder()
  await using database = await (await testPostgres()).database()
  const pool = createPool({ url: database.url, max: 3, name: 'test', log: silent })
  await pool.query('drop schema public cascade; create schema public')
  try {
    await work({ pool, folder, file: (name, sql) => writeFile(join(folder, name), sql) })
  } finally {
    await pool.end()
    await removeFolder(folder)
  }
}

test('a database that a newer Holdfast migrated is refused', () =>
  withFolder(async ({ pool, folder, file }) => {
    await file('0001_first.sql', 'select 1')
    await file('0002_second.sql', 'select 1')
    await migrate({ pool, log: silent }, folder)
    await removeFolder(join(folder, '0002_second.sql'))
    await assert.rejects(migrate({ pool, log: silent }, folder), /migrated by a newer Holdfast \(0002_second\.sql\)/)
  }))
