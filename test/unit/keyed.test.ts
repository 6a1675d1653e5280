import assert from 'node:assert/strict'
import test from 'node:test'
import { createSeal } from '../../shared/crypto/seal.ts'
import { derivedKey, type Keying, keyedRequest } from '../../shared/call/keyed.ts'

const change = { tenant: 't', keyspace: 'k', server: 's', key: 'invoice-1042', tool: 'transfer' }
const reference = derivedKey('secret', change, 1)
const plan = { attempts: 1, timeMs: 1, timeoutMs: 1, lateWindowMs: 1 }
const keying = (more: Partial<Keying>): Keying => ({ ...plan, ...more })

test('a derived key is the same for the same change and another for every other; it tells nothing of the agent’s key', () => {
  assert.equal(derivedKey('secret', { ...change }, 1), reference)
  const others = Object.keys(change).map(name => derivedKey('secret', { ...change, [name]: 'x' }, 1))
  const all = [reference, ...others, derivedKey('another', change, 1), derivedKey('secret', change, 2)]
  assert.equal(new Set(all).size, all.length)
  for (const key of all) assert.match(key, /^hf-[0-9a-f]{32}$/)
})

test('the key goes where the server takes it, and nothing else of the request changes', () => {
  const command = { arguments: '{"amount":1.5,"payment":{"to":"bob"}}', meta: { trace: 'x' } }
  const send = (more: Partial<Keying>) => keyedRequest(keying(more), command, reference)
  assert.deepEqual(send({ carrier: { meta: 'a/b' } }).meta, { trace: 'x', 'a/b': reference })
  assert.deepEqual(send({ carrier: { header: 'Idempotency-Key' } }).headers, { 'idempotency-key': reference })
  assert.equal(
    send({ carrier: { argument: 'payment.key' } }).argumentsJson,
    `{"amount":1.5,"payment":{"to":"bob","key":"${reference}"}}`,
  )
  assert.equal(send({ inject: 'memo' }).argumentsJson, `{"amount":1.5,"payment":{"to":"bob"},"memo":"${reference}"}`)
  assert.equal(send({ inject: 'memo' }).injected, true)
  assert.deepEqual(keyedRequest(undefined, command, reference).argumentsJson, command.arguments)
})

test('what the caller set stays the caller’s, and is not taken for a reference', () => {
  for (const [args, path] of [
    ['{"memo":"rent"}', 'memo'],
    ['{"memo":null}', 'memo'],
    ['{"payment":"cash"}', 'payment.memo'],
    ['{"payment":[1]}', 'payment.memo'],
  ] as const) {
    const request = keyedRequest(keying({ inject: path }), { arguments: args }, reference)
    assert.deepEqual([request.argumentsJson, request.injected], [args, false])
  }
})

test('what is sealed can be read with the same secret, or an older one, under the same name only', () => {
  const before = createSeal('kept calls', 'the first secret')
  const sealed = before.seal('operation 1', 'words')
  assert.ok(!sealed.bytes.includes(Buffer.from('words').toString('base64')))
  assert.equal(before.open('operation 1', sealed), 'words')
  assert.equal(before.open('operation 2', sealed), undefined)
  assert.equal(createSeal('kept calls', 'the second', ['the first secret']).open('operation 1', sealed), 'words')
  assert.equal(createSeal('kept calls', 'the second').open('operation 1', sealed), undefined)
  const cut = { ...sealed, bytes: sealed.bytes.slice(0, -8) }
  assert.equal(before.open('operation 1', cut), undefined)
  assert.notEqual(before.seal('operation 1', 'words').bytes, sealed.bytes, 'each time with a nonce of its own')
})
