import assert from 'node:assert/strict'
import test from 'node:test'
import { CorruptionError } from '../../shared/errors.ts'
import { createDatabaseClock } from '../../shared/postgres/clock.ts'
import { isConnectionError, isDeadlock, isUniqueViolation, retryDeadlocks } from '../../shared/postgres/errors.ts'
import { createPool, inTransaction, type Pool, query } from '../../shared/postgres/pool.ts'
import { silent, testPostgres } from '../helpers/postgres.ts'

test('a bigint is a number, and one that no number can hold is an error rather than another number', () =>
  withPool(async pool => {
    assert.deepEqual(await query(pool, { text: 'select 9007199254740991::bigint as n' }), [{ n: 2 ** 53 - 1 }])
    await assert.rejects(query(pool, { text: 'select 9007199254740993::bigint as n' }), CorruptionError)
  }))

test('work that throws is rolled back, and its connection is used again', () =>
  withPool(async pool => {
    await pool.query('create table things (id int)')
    await assert.rejects(
      inTransaction(pool, async connection => {
        await connection.query('insert into things values (1)')
        throw new Error('no')
      }),
      /no/,
    )
    assert.equal(
      await inTransaction(pool, async connection => (await connection.query('select * from things')).rowCount),
      0,
    )
  }))

test('a refused statement is told from one without an answer', () =>
  withPool(async (pool, url) => {
    await pool.query('create table things (id int constraint things_once primary key)')
    await pool.query('insert into things values (1)')
    const twice = await errorOf(pool.query('insert into things values (1)'))
    assert.equal(isConnectionError(twice), false)
    assert.equal(isUniqueViolation(twice, 'things_once'), true)
    assert.equal(isUniqueViolation(twice, 'another'), false)

    const sleeper = createPool({ url, max: 1, name: 'sleeper', log: silent })
    const cut = errorOf(sleeper.query('select pg_sleep(30)'))
    await until(pool, `select 1 from pg_stat_activity where application_name = 'sleeper' and wait_event = 'PgSleep'`)
    await pool.query(`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'sleeper'`)
    assert.equal(isConnectionError(await cut), true)
    assert.deepEqual((await sleeper.query('select 1 as one')).rows, [{ one: 1 }], 'the pool recovers')
    await sleeper.end()

    const nowhere = createPool({ url: 'postgres://nobody@127.0.0.1:1/none', max: 1, name: 'test', log: silent })
    assert.equal(isConnectionError(await errorOf(nowhere.query('select 1'))), true)
    await nowhere.end()
  }))

test('the victim of a deadlock is run again', () =>
  withPool(async pool => {
    await pool.query('create table things (id int primary key, n int); insert into things values (1, 0), (2, 0)')
    let tries = 0
    let waiting = 0
    const cross = (first: number, second: number) =>
      retryDeadlocks(() =>
        inTransaction(pool, async connection => {
          tries += 1
          await connection.query('update things set n = n + 1 where id = $1', [first])
          waiting += 1
          for (let polls = 0; waiting < 2 && polls < 500; polls += 1) await connection.query('select pg_sleep(0.005)')
          await connection.query('update things set n = n + 1 where id = $1', [second])
        }),
      )
    await Promise.all([cross(1, 2), cross(2, 1)])
    assert.equal(tries, 3)
    assert.deepEqual((await pool.query('select n from things')).rows, [{ n: 2 }, { n: 2 }])
    assert.equal(isDeadlock(new Error('40P01')), false)
  }))

test('the estimated database time is close, and never ahead', () =>
  withPool(async pool => {
    const clock = createDatabaseClock(pool)
    assert.throws(() => clock.now(), /before its first sync/)
    await clock.sync()
    for (let round = 0; round < 50; round += 1) {
      const estimate = clock.now()
      const [row] = await query<{ now: number }>(pool, {
        text: 'select extract(epoch from clock_timestamp())::float8 * 1000 as now',
      })
      const late = (row as { now: number }).now - estimate
      assert.ok(late >= 0, `ahead by ${-late} ms`)
      assert.ok(late < 1_000, `late by ${late} ms`)
    }
    clock.stop()
  }))

async function withPool(work: (pool: Pool, url: string) => Promise<void>): Promise<void> {
  await using database = await (await testPostgres()).database()
  const pool = createPool({ url: database.url, max: 3, name: 'test', log: silent })
  try {
    await work(pool, database.url)
  } finally {
    await pool.end()
  }
}

const errorOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => assert.fail('it did not fail'),
    error => error,
  )

async function until(pool: Pool, text: string): Promise<void> {
  for (let tries = 0; tries < 1_000; tries += 1) if ((await pool.query(text)).rowCount) return
  throw new Error(`in vain: ${text}`)
}
