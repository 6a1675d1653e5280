import assert from 'node:assert/strict'
import test, { after, before } from 'node:test'
import pg from 'pg'
import { loadConfig } from '../../shared/config/load.ts'
import { agentSettings } from '../../shared/config/settings.ts'
import { UnavailableError } from '../../shared/errors.ts'
import { createAuthenticator } from '../../shared/policy/authenticate.ts'
import { createKey, listKeys, type Queryable, revokeKey } from '../../shared/policy/keys.ts'
import { type KeysDatabase, startKeysDatabase } from './api-keys-postgres.ts'

let database: KeysDatabase
let pool: pg.Pool

before(async () => {
  database = await startKeysDatabase()
  pool = database.pool
})
after(() => database.close())

const config = loadConfig({
  text: `
servers: { pay: { url: "http://127.0.0.1:1/mcp" } }
roles: { teller: { allow: ["*"] } }
agents:
  bot: { roles: [teller], keyspace: team, readHistory: true }
  other: { tenant: t2 }
  dev: {}
`,
  env: {},
})
const settings = (agent: string) => agentSettings(config, agent)
const bot = { agent: 'bot', tenant: 'default', name: 'a test' }

/** Counts the questions that reach the database. */
function counted(inner: Queryable): Queryable & { queries: number } {
  const counting = {
    queries: 0,
    query: (text: string, values?: unknown[]) => {
      counting.queries += 1
      return inner.query(text, values)
    },
  }
  return counting
}

/** A clock that stands still until it is moved. */
function manualClock() {
  let time = 0
  return { now: () => time, advance: (ms: number) => (time += ms) }
}

test('a key speaks for its agent, and no record can be turned back into it', async () => {
  const { key, keyId } = await createKey(pool, bot)
  const identity = await createAuthenticator({ pool, agentSettings: settings })(key)
  assert.match(identity?.credential ?? '', /^[0-9a-f]{16}$/)
  assert.deepEqual(identity, {
    keyId,
    credential: identity?.credential,
    agent: 'bot',
    tenant: 'default',
    keyspace: 'team',
    roles: ['teller'],
    readHistory: true,
    mayResolve: false,
    mayReveal: false,
  })
  const { rows } = await pool.query('select * from api_keys where key_id = $1', [keyId])
  assert.ok(!JSON.stringify(rows).includes(key.split('_')[2] ?? key))
  const listed = (await listKeys(pool)).find(entry => entry.keyId === keyId)
  assert.equal(listed?.credential, identity?.credential)
  assert.equal(listed?.state, 'active')
})

test('a wrong secret for a known key id, another form, or nothing at all is nobody', async () => {
  const { key } = await createKey(pool, bot)
  const authenticate = createAuthenticator({ pool, agentSettings: settings })
  const wrong = `${key.slice(0, -1)}${key.endsWith('a') ? 'b' : 'a'}`
  for (const secret of [wrong, '', 'x', `${key} `, key.toUpperCase(), 'hf_dev_x'])
    assert.equal(await authenticate(secret), undefined, secret)
})

test('a revoked key stops working within the cache time, and revoking it again changes nothing', async () => {
  const { key, keyId } = await createKey(pool, bot)
  const clock = manualClock()
  const authenticate = createAuthenticator({ pool, agentSettings: settings, cacheMs: 2000, now: clock.now })
  assert.equal((await authenticate(key))?.agent, 'bot')
  assert.equal(await revokeKey(pool, keyId), true)
  clock.advance(1999)
  assert.equal((await authenticate(key))?.agent, 'bot')
  clock.advance(1)
  assert.equal(await authenticate(key), undefined)
  const [first] = (await listKeys(pool)).filter(entry => entry.keyId === keyId)
  assert.equal(await revokeKey(pool, keyId), true)
  const [second] = (await listKeys(pool)).filter(entry => entry.keyId === keyId)
  assert.equal(first?.state, 'revoked')
  assert.deepEqual(second?.revokedAt, first?.revokedAt)
  assert.equal(await revokeKey(pool, 'no-such-key'), false)
})

test('a key ends at its time, by the clock of the database', async () => {
  const { rows } = await pool.query('select clock_timestamp() as now')
  const now: Date = rows[0].now
  const past = await createKey(pool, { ...bot, expiresAt: new Date(now.getTime() - 1) })
  const future = await createKey(pool, { ...bot, expiresAt: new Date(now.getTime() + 3_600_000) })
  const authenticate = createAuthenticator({ pool, agentSettings: settings })
  assert.equal(await authenticate(past.key), undefined)
  assert.equal((await authenticate(future.key))?.agent, 'bot')
  assert.equal((await listKeys(pool)).find(entry => entry.keyId === past.keyId)?.state, 'expired')
})

test('a key whose agent is gone from the configuration, or moved to another tenant, is nobody', async () => {
  const gone = await createKey(pool, { ...bot, agent: 'gone' })
  const moved = await createKey(pool, { ...bot, agent: 'other', tenant: 'default' })
  const stays = await createKey(pool, { ...bot, agent: 'other', tenant: 't2' })
  const authenticate = createAuthenticator({ pool, agentSettings: settings })
  assert.equal(await authenticate(gone.key), undefined)
  assert.equal(await authenticate(moved.key), undefined)
  assert.equal((await authenticate(stays.key))?.tenant, 't2')
})

test('known and unknown keys are looked up once in the cache time, however many ask at once', async () => {
  const { key } = await createKey(pool, bot)
  const unknown = `hf_${'x'.repeat(12)}_${'y'.repeat(32)}`
  const asked = counted(pool)
  const clock = manualClock()
  const authenticate = createAuthenticator({ pool: asked, agentSettings: settings, now: clock.now })
  const identities = await Promise.all(Array.from({ length: 20 }, () => authenticate(key)))
  assert.ok(identities.every(identity => identity?.agent === 'bot'))
  await Promise.all(Array.from({ length: 20 }, () => authenticate(unknown)))
  await authenticate('not a key at all')
  assert.equal(asked.queries, 2)
  clock.advance(2000)
  await Promise.all([authenticate(key), authenticate(key), authenticate(unknown)])
  assert.equal(asked.queries, 4)
})

test('a flood of wrong keys does not push a right one out of the cache', async () => {
  const { key } = await createKey(pool, bot)
  // The flood is not the database's: it answers at once that there is no such key.
  let floods = 0
  const noSuchKey: Queryable = { query: async () => ({ rows: [(floods += 1)].slice(1) }) }
  let answering: Queryable = pool
  const switching: Queryable = { query: (text, values) => answering.query(text, values) }
  const authenticate = createAuthenticator({ pool: switching, agentSettings: settings, now: () => 0 })
  await authenticate(key)
  answering = noSuchKey
  for (let index = 0; index < 12_000; index += 1)
    await authenticate(`hf_${String(index).padStart(12, '0')}_${'y'.repeat(32)}`)
  assert.equal(floods, 12_000)
  assert.equal((await authenticate(key))?.agent, 'bot')
  assert.equal(floods, 12_000)
  // The first wrong key was pushed out, so what is remembered is bounded.
  await authenticate(`hf_${'0'.repeat(12)}_${'y'.repeat(32)}`)
  assert.equal(floods, 12_001)
})

test('without the database the dev key works, a cached key works for its time, and for others it cannot be told', async () => {
  const { key } = await createKey(pool, bot)
  const other = await createKey(pool, bot)
  const own = new pg.Pool({ connectionString: database.url, max: 1 })
  own.on('error', () => {})
  const clock = manualClock()
  const authenticate = createAuthenticator({
    pool: own,
    agentSettings: settings,
    devKey: 'the-dev-key',
    now: clock.now,
  })
  assert.equal((await authenticate(key))?.agent, 'bot')
  await own.end()
  const dev = await authenticate('the-dev-key')
  assert.deepEqual([dev?.agent, dev?.keyId, dev?.keyspace], ['dev', 'dev', 'dev'])
  assert.equal(await authenticate('the-dev-kez'), undefined)
  assert.equal((await authenticate(key))?.agent, 'bot')
  const isUnavailable = (error: unknown) => error instanceof UnavailableError && error.dependency === 'postgres'
  await assert.rejects(authenticate(other.key), isUnavailable)
  clock.advance(2000)
  await assert.rejects(authenticate(key), isUnavailable)
})

test('making and ending a key are events, each once', async () => {
  const { keyId } = await createKey(database.pool, { agent: 'bot', tenant: 'default', name: 'on record' })
  assert.equal(await revokeKey(database.pool, keyId), true)
  assert.equal(await revokeKey(database.pool, keyId), true)
  const { rows } = await database.pool.query(
    `select headers::json ->> 'ce_type' as type, value::json ->> 'agent' as agent from outbox where key = $1 order by id`,
    [`key/${keyId}`],
  )
  assert.deepEqual(rows, [
    { type: 'dev.holdfast.key.created.v1', agent: 'bot' },
    { type: 'dev.holdfast.key.revoked.v1', agent: 'bot' },
  ])
})
