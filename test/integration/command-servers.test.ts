/** Who runs a `command` server, over a real database: one at a time, and the next only when the old child must be gone. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import test, { type TestContext } from 'node:test'
import pino from 'pino'
import { createOwnership, type Place } from '../../services/broker/command-servers/ownership.ts'
import type { Queryable } from '../../services/broker/sql/row.ts'
import { internalClient } from '../../shared/internal/client.ts'
import { remoteDispatch } from '../../shared/internal/dispatch.ts'
import { createPool, type Pool } from '../../shared/postgres/pool.ts'
import { eventually } from '../helpers/broker.ts'
import { silent, testPostgres } from '../helpers/postgres.ts'

const terms = { leaseMs: 800, graceMs: 200 }
const log = pino({ level: 'silent' })

async function scene(t: TestContext) {
  const database = await (await testPostgres()).database()
  const pool = createPool({ url: database.url, max: 4, name: 'test', log: silent })
  t.after(async () => {
    await pool.end()
    await database[Symbol.asyncDispose]()
  })
  const ended: Array<{ owner: string; at: number }> = []
  const owner = (name: string, db: Queryable = pool as never) => {
    const ownership = createOwnership(
      {
        db,
        log,
        monotonic: () => performance.now(),
        owner: name,
        url: `http://${name}`,
        prolong: () => {},
        end: async () => void ended.push({ owner: name, at: performance.now() }),
      },
      terms,
    )
    t.after(() => ownership.stop())
    return ownership
  }
  return { pool, owner, ended }
}

const isHere = async (place: Promise<Place>) => ((await place).at === 'here' ? true : undefined)

test('of brokers that need a server at once one runs it, and the others are told where', async t => {
  const { owner } = await scene(t)
  const owners = ['a', 'b', 'c', 'd'].map(name => owner(name))
  const places = await Promise.all(owners.flatMap(each => [each.locate('lab'), each.locate('lab')]))
  const here = owners.filter(each => each.deadline('lab') > performance.now())
  assert.equal(here.length, 1)
  assert.equal(places.filter(({ at }) => at === 'here').length, 2)
  const url = new Set(places.flatMap(place => (place.at === 'there' ? [place.url] : [])))
  assert.equal(url.size, 1)
})

test('a lease is kept as long as it is renewed, and is gone for good when the row is another one', async t => {
  const { pool, owner, ended } = await scene(t)
  const [a, b] = [owner('a'), owner('b')]
  await a.locate('lab')
  const until = performance.now() + 2 * terms.leaseMs
  await eventually(
    async () => (performance.now() > until ? true : undefined),
    () => '',
  )
  assert.equal((await b.locate('lab')).at, 'there')
  await pool.query('update command_servers set lease_until_ms = now_ms()')
  assert.equal((await owner('c').locate('lab')).at, 'nowhere', 'the old child may still be alive')
  await eventually(
    async () => (ended.length > 0 ? true : undefined),
    () => 'the child was not ended',
  )
  assert.equal(a.deadline('lab'), Number.NEGATIVE_INFINITY)
  b.forget('lab')
  await eventually(
    () => isHere(b.locate('lab')),
    () => 'b did not take over',
  )
})

test('a child ends before the lease does when the database cannot be reached', async t => {
  const { pool, owner, ended } = await scene(t)
  let away = false
  const shaky = {
    query: (statement: never, values: never) =>
      away ? Promise.reject(new Error('the database is away')) : pool.query(statement, values),
  }
  const a = owner('a', shaky as never)
  await a.locate('lab')
  away = true
  const b = owner('b')
  await eventually(
    () => isHere(b.locate('lab').finally(() => b.forget('lab'))),
    () => 'b did not take over',
  )
  const takenAt = performance.now()
  assert.equal(ended[0]?.owner, 'a')
  assert.ok((ended[0]?.at ?? Number.POSITIVE_INFINITY) < takenAt - terms.graceMs, 'the child outlived its lease')
})

test('after a failover nobody runs a server before the lease of whoever had it must be over', async t => {
  const { pool, owner } = await scene(t)
  const completedAt = performance.now()
  await pool.query('update lineage set completed_ms = now_ms()')
  const a = owner('a')
  await eventually(
    () => isHere(a.locate('lab')),
    () => 'a did not take it',
  )
  // A millisecond for rounding.
  assert.ok(performance.now() - completedAt >= terms.leaseMs + terms.graceMs - 1)
})

test('nothing is run while operations are being completed', async t => {
  const { pool, owner } = await scene(t)
  await pool.query(`update lineage set complete_under = ''`)
  await assert.rejects(owner('a').locate('lab'), /may lack commits/)
})

test('a broker that stops gives its servers back once the children are gone', async t => {
  const { pool, owner, ended } = await scene(t)
  const [a, b] = [owner('a'), owner('b')]
  await a.locate('lab')
  await a.stop()
  assert.equal(ended.length, 1)
  assert.equal((await b.locate('lab')).at, 'here')
  assert.equal((await a.locate('lab')).at, 'nowhere')
  assert.equal(await epochOf(pool), 2)
})

const epochOf = async (pool: Pool) =>
  (await pool.query<{ epoch: number }>('select epoch from command_servers')).rows[0]?.epoch

test('what the owner provably did not take may be asked of another one; whatever may have been taken is lost', async t => {
  const client = internalClient({ token: 'a-token-for-this-test', maxBytes: 1_000_000 })
  t.after(() => client.close())
  const remote = remoteDispatch({ client })
  const ask = (url: string, timeoutMs = 2_000) =>
    remote.dispatch(url, {
      request: { server: 'lab', tool: 'write', argumentsJson: '{}', caller: { agent: 'a' }, timeoutMs },
      leftMs: 100,
      mayForward: false,
    })
  const serve = async (listener: RequestListener) => {
    const server = createServer(listener).listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.after(() => (server.closeAllConnections(), server.close()))
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  }
  const answering = (status: number, value: unknown) =>
    serve((_, response) => response.writeHead(status).end(JSON.stringify(value)))
  const notTaken = { taken: false }
  const result = { kind: 'result', raw: '{}', isError: false }
  assert.deepEqual(await ask('http://127.0.0.1:9'), notTaken)
  assert.deepEqual(await ask(await answering(200, { taken: false })), notTaken)
  for (const status of [400, 401, 404, 413]) assert.deepEqual(await ask(await answering(status, {})), notTaken)
  assert.deepEqual(await ask(await answering(200, { taken: true, value: result })), { taken: true, value: result })
  const doubtful = [
    await answering(500, {}),
    await answering(502, {}),
    await answering(503, {}),
    await answering(200, { something: 'else' }),
    await serve(request => request.socket.destroy()),
    await serve((_, response) => void response.writeHead(200).write('{"taken":')).then(url => url),
  ]
  for (const url of doubtful) {
    const asked = await ask(url, 300)
    assert.equal(asked.taken && asked.value.kind, 'lost')
  }
})
