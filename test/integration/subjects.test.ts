import assert from 'node:assert/strict'
import test, { after, before } from 'node:test'
import type { Redaction } from '../../shared/events/redact.ts'
import { redactionOf } from '../../shared/config/redaction.ts'
import { loadConfig } from '../../shared/config/load.ts'
import { eraseSubject } from '../../shared/subjects/erase.ts'
import { createSubjectKeys, rememberKeysMs } from '../../shared/subjects/keys.ts'
import { sealPersonal } from '../../shared/subjects/personal.ts'
import { type KeysDatabase, startKeysDatabase } from './api-keys-postgres.ts'

let database: KeysDatabase
before(async () => {
  database = await startKeysDatabase()
})
after(() => database.close())

const secrets = { secret: 'the secret that is in use' }
const process = (now = () => 0, own: typeof secrets & { olderSecrets?: string[] } = secrets) =>
  createSubjectKeys({ db: database.pool, now }, own)
const erase = (name: string, own: typeof secrets & { olderSecrets?: string[] } = secrets) =>
  eraseSubject({ db: database.pool, secrets: own }, { tenant: 't', name, reason: 'a test' })

test('processes that ask at the same time are given one key, and each reads what another wrote', async () => {
  const keys = await Promise.all(Array.from({ length: 20 }, () => process().keyOf('t', 'ann')))
  assert.equal(new Set(keys.map(({ keyId }) => keyId)).size, 1)
  const { keyId, encrypt } = keys[0]!
  const bytes = encrypt('call', 'her name')
  assert.deepEqual(await process().open({ tenant: 't', keyId, name: 'call', bytes }), {
    kind: 'text',
    text: 'her name',
  })
  for (const wrong of [
    { tenant: 'another', keyId, name: 'call', bytes },
    { tenant: 't', keyId: 'nope', name: 'call', bytes },
    { tenant: 't', keyId, name: 'another call', bytes },
    { tenant: 't', keyId, name: 'call', bytes: bytes.slice(0, -4) },
    { tenant: 't', keyId, name: 'call', bytes: '' },
  ])
    assert.deepEqual(await process().open(wrong), { kind: 'unreadable' })
  const strange = process(() => 0, { secret: 'another secret' })
  assert.deepEqual(await strange.open({ tenant: 't', keyId, name: 'call', bytes }), { kind: 'unreadable' })
})

test('what a process records of an erased subject is lost until it asks again, then there is a new key', async () => {
  let now = 0
  const late = process(() => now)
  const old = await late.keyOf('t', 'eve')
  assert.equal((await erase('eve')).kind, 'erased')
  now = rememberKeysMs - 1
  const still = await late.keyOf('t', 'eve')
  assert.equal(still.keyId, old.keyId)
  const lost = await process().open({ tenant: 't', keyId: old.keyId, name: 'n', bytes: still.encrypt('n', 'x') })
  assert.equal(lost.kind, 'erased')
  now = rememberKeysMs
  const fresh = await late.keyOf('t', 'eve')
  assert.notEqual(fresh.keyId, old.keyId)
  assert.equal(fresh.subject, old.subject)
  const bytes = fresh.encrypt('n', 'x')
  assert.equal((await process().open({ tenant: 't', keyId: fresh.keyId, name: 'n', bytes })).kind, 'text')
})

test('erasing destroys keys made under earlier secrets too, and says it once however often it is repeated', async () => {
  const earlier = await process(() => 0, { secret: 'an earlier secret' }).keyOf('t', 'pat')
  const now = await process().keyOf('t', 'pat')
  const both = { ...secrets, olderSecrets: ['an earlier secret'] }
  const results = await Promise.all([erase('pat', both), erase('pat', both), erase('pat', both)])
  const done = results.filter(({ kind }) => kind === 'erased')
  assert.equal(done.length, 1, 'one of several at a time does it')
  assert.deepEqual(done[0], { kind: 'erased', subject: now.subject, keys: 2 })
  assert.equal((await erase('pat', both)).kind, 'was_erased')
  assert.equal((await erase('nobody', both)).kind, 'unknown')
  for (const { keyId } of [earlier, now])
    assert.equal((await process().open({ tenant: 't', keyId, name: 'n', bytes: 'AAAA' })).kind, 'erased')
  const { rows } = await database.pool.query(`select value from outbox where headers like '%subject.erased%'`)
  const told = rows.filter(({ value }: { value: string }) => value.includes(now.subject))
  assert.equal(told.length, 1)
  const { rows: kept } = await database.pool.query('select wrapped from subject_keys where key_id = $1', [now.keyId])
  assert.deepEqual(kept, [{ wrapped: null }])
})

test('a commit that fails destroys nothing and says nothing', async () => {
  const { keyId, encrypt } = await process().keyOf('t', 'tom')
  const client = await database.pool.connect()
  try {
    await client.query('begin')
    await eraseSubject({ db: client, secrets }, { tenant: 't', name: 'tom', reason: 'x' })
    await client.query('rollback')
  } finally {
    client.release()
  }
  assert.equal((await process().open({ tenant: 't', keyId, name: 'n', bytes: encrypt('n', 'x') })).kind, 'text')
})

test('what other rules name is not kept either, and values that are too long are only committed to', async () => {
  const config = loadConfig({
    text: `servers:
  lab:
    url: http://127.0.0.1:1/mcp
    tools:
      t: { redact: { arguments: [$.p.card], detect: [email] }, personal: { subject: $.p.id, keep: [$.p] } }
`,
    env: {},
  })
  const redaction: Redaction = redactionOf(config, 'lab', 't')
  const text = JSON.stringify({ p: { id: 7, name: 'Ann', card: '4111', mail: 'ann@example.com' } })
  const sealed = async (maxBytes: number) => {
    const personal = await sealPersonal(process(), { redaction, tenant: 't', text, maxBytes })
    const { keyId, sealed: bytes } = personal!
    const opened = await process().open({ tenant: 't', keyId, name: keyId, bytes })
    assert.ok(opened.kind === 'text')
    return JSON.parse(opened.text) as { salt: string; values?: unknown }
  }
  assert.deepEqual((await sealed(1000)).values, {
    "$['p']['id']": 7,
    "$['p']": { id: 7, name: 'Ann', card: '[redacted]', mail: '[redacted]' },
  })
  const long = await sealed(10)
  assert.equal(long.values, undefined)
  assert.ok(long.salt.length > 20)
  const nobody = await sealPersonal(process(), { redaction, tenant: 't', text: '{"p":{"id":{}}}', maxBytes: 1000 })
  assert.equal(nobody, undefined)
})
