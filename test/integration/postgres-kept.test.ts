import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { keepConnections } from '../../shared/postgres/kept.ts'
import { createPool } from '../../shared/postgres/pool.ts'
import { silent, testPostgres } from '../helpers/postgres.ts'

const open = async (max: number, most: number) => {
  const { server } = await testPostgres()
  const pool = createPool({ url: server.url, max, name: 'test', log: silent })
  return { pool, kept: keepConnections(pool, most) }
}
const backend = async (on: { query: (text: string) => Promise<{ rows: object[] }> }) =>
  ((await on.query('select pg_backend_pid() as pid')).rows[0] as { pid: number }).pid

test('statements one after the other run on one connection, also after one that failed', async () => {
  const { pool, kept } = await open(4, 2)
  const first = await backend(kept)
  await assert.rejects(kept.query('select 1 / 0'), /division by zero/)
  assert.equal(await backend(kept), first)
  kept.release()
  await pool.end()
})

test('no more connections are kept than may be, so that others that share the pool find one', async () => {
  const { pool, kept } = await open(3, 2)
  await Promise.all(Array.from({ length: 12 }, () => kept.query('select pg_sleep(0.01)')))
  assert.equal(pool.totalCount - pool.idleCount, 2)
  await pool.query('select 1')
  kept.release()
  await pool.end()
})

test('a connection that ends while it is kept is not used again', async () => {
  const { pool, kept } = await open(2, 1)
  const first = await backend(kept)
  const removed = once(pool, 'remove')
  await pool.query('select pg_terminate_backend($1)', [first])
  await removed
  assert.notEqual(await backend(kept), first)
  kept.release()
  await pool.end()
})

test('a statement whose connection breaks fails, and the next one runs on another connection', async () => {
  const { pool, kept } = await open(2, 1)
  const first = await backend(kept)
  const sleeping = assert.rejects(kept.query('select pg_sleep(30)'), /terminating connection|Connection terminated/)
  await pool.query('select pg_terminate_backend($1)', [first])
  await sleeping
  assert.notEqual(await backend(kept), first)
  kept.release()
  await pool.end()
})
