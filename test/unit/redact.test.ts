import assert from 'node:assert/strict'
import test from 'node:test'
import { type DetectorName, detectors } from '../../shared/events/detectors.ts'
import { compileJsonPath } from '../../shared/events/json-path.ts'
import { keyRedaction, noRedaction, type Redaction, redactArguments, redactText } from '../../shared/events/redact.ts'

const rules = (paths: readonly string[], detect: readonly DetectorName[] = []): Redaction => ({
  paths: paths.map(path => {
    const compiled = compileJsonPath(path)
    assert.ok('run' in compiled, path)
    return { path, run: compiled.run }
  }),
  detect,
  hideKey: false,
  hideOnBehalfOf: false,
})
const shown = (redaction: Redaction, value: unknown) => {
  const { text, redacted } = redactArguments(redaction, JSON.stringify(value))
  return { value: JSON.parse(text) as unknown, by: redacted.map(({ path, rule }) => `${path} ${rule}`) }
}

test('values of names that speak of secrets never go on record, whatever is configured', () => {
  const { value, by } = shown(noRedaction, { user: 'ann', password: 'hunter2', deep: [{ api_key: { a: 1 } }] })
  assert.deepEqual(value, { user: 'ann', password: '[redacted]', deep: [{ api_key: '[redacted]' }] })
  assert.deepEqual(by, ["$['password'] names", "$['deep'][0]['api_key'] names"])
})

test('a path takes out what it matches with everything in it, and says which path it was', () => {
  const value = { customer: { name: 'Ann', address: { street: 'x' } }, lines: [{ memo: 'a' }, { memo: 'b', n: 2 }] }
  const { value: kept, by } = shown(rules(['$.customer', '$.lines[?@.n > 1].memo', '$..nothing']), value)
  assert.deepEqual(kept, { customer: '[redacted]', lines: [{ memo: 'a' }, { memo: '[redacted]', n: 2 }] })
  assert.deepEqual(by, ["$['customer'] $.customer", "$['lines'][1]['memo'] $.lines[?@.n > 1].memo"])
  assert.deepEqual(shown(rules(['$']), value).value, '[redacted]')
})

test('members whose names JavaScript knows are values like any other', () => {
  const text = '{"__proto__":{"a":"ann@example.com"},"constructor":1}'
  const { text: kept } = redactArguments(rules(['$.constructor'], ['email']), text)
  assert.equal(kept, '{"__proto__":{"a":"[redacted]"},"constructor":"[redacted]"}')
})

test('what is found by its form is cut out of a text, and the rest of it stays', () => {
  const detect: DetectorName[] = ['secrets', 'cards', 'email', 'iban']
  const { value, by } = shown(rules([], detect), {
    memo: 'pay 4111 1111 1111 1111 exp 12/27 for ann@example.com',
    number: 4111111111111111,
    'bob@example.com': 1,
    'eve@example.com': 2,
  })
  assert.deepEqual(value, {
    memo: 'pay [redacted] exp 12/27 for [redacted]',
    number: '[redacted]',
    '[redacted] 3': 1,
    '[redacted] 4': 2,
  })
  assert.deepEqual(by, [
    "$['memo'] cards",
    "$['memo'] email",
    "$['number'] cards",
    "$['[redacted] 3'] email",
    "$['[redacted] 4'] email",
  ])
})

const found = (name: DetectorName, text: string) => detectors[name](text).map(span => text.slice(...span))

test('the detectors find what they name, and leave what only looks like it', () => {
  for (const card of [
    '4111111111111111',
    '4111-1111-1111-1111',
    '5555 5555 5555 4444',
    '378282246310005',
    '3782 822463 10005',
    '2223003122003222',
    '6011111111111117',
    '30569309025904',
    '3530111333300000',
  ])
    assert.deepEqual(found('cards', `a ${card}, b`), [card])
  for (const text of [
    '4111111111111112',
    '1763712345678',
    '1234567890123456',
    '0000000000000000',
    '1.4111111111111111',
  ])
    assert.deepEqual(found('cards', text), [], text)
  assert.deepEqual(found('cards', 'order 17 4111 1111 1111 1111 12 27'), ['4111 1111 1111 1111'])

  for (const account of ['DE89370400440532013000', 'GB82 WEST 1234 5698 7654 32', 'NO9386011117947'])
    assert.deepEqual(found('iban', `to ${account} please`), [account])
  assert.deepEqual(found('iban', 'DE89370400440532013001'), [])
  assert.deepEqual(found('iban', 'DE89 3704 0044 0532 0130 00 EUR 12'), ['DE89 3704 0044 0532 0130 00'])

  for (const address of ['ann@example.com', "o'neil+tag@mail.example.co.uk", 'jürgen@müller.de'])
    assert.deepEqual(found('email', `<${address}>`), [address])
  for (const text of ['a@b', '@example.com', 'user@localhost', 'x @ y.com']) assert.deepEqual(found('email', text), [])

  const token = 'a1B2'.repeat(10)
  for (const secret of [
    `ghp_${token}`,
    'AKIAIOSFODNN7EXAMPLE',
    `sk_live_${token}`,
    `xoxb-123456789012-${token}`,
    `eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.${token}`,
    `-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----`,
    `Bearer ${token}`,
  ])
    assert.deepEqual(found('secrets', `x ${secret} y`), [secret])
  assert.deepEqual(found('secrets', 'postgres://app:s3cr3t@db/x'), ['s3cr3t'])
  assert.deepEqual(found('secrets', 'login with password: correcthorse, then'), ['correcthorse'])
  assert.deepEqual(found('secrets', 'the bearer of this letter; a token of thanks'), [])
})

test('no text makes a detector slow', () => {
  const hostile = ['a'.repeat(64), '1 ', '@a.', 'a@', '-----BEGIN PRIVATE KEY-----', 'eyJ', '://a:', 'DE89 ', 'token:']
  for (const part of hostile) {
    const text = part.repeat(Math.ceil(200_000 / part.length))
    for (const [name, detect] of Object.entries(detectors)) {
      const began = performance.now()
      detect(text)
      const took = performance.now() - began
      assert.ok(took < 5_000, `${name} took ${Math.round(took)} ms for ${JSON.stringify(part)} over and over`)
    }
  }
})

test('what is not on record of the arguments does not come back in a message about the call', () => {
  const redaction = rules(['$.account'], ['email'])
  const about = JSON.stringify({ account: 'ACC-77812', password: 'hunter22', memo: 'hi ann@example.com' })
  const { text, redacted } = redactText(
    redaction,
    'no account ACC-77812 (hunter22) of ann@example.com, bob@x.org',
    about,
  )
  assert.equal(text, 'no account [redacted] ([redacted]) of [redacted], [redacted]')
  assert.deepEqual(redacted, [
    { in: 'reason', rule: 'arguments' },
    { in: 'reason', rule: 'email' },
  ])
  assert.deepEqual(redactText(noRedaction, 'as it is', '{"a":"is"}'), { text: 'as it is', redacted: [] })
})

test('where a rule cannot be applied nothing is shown', () => {
  const deep = `${'{"a":'.repeat(5_000)}1${'}'.repeat(5_000)}`
  for (const text of ['not json', deep]) {
    const { text: kept, redacted } = redactArguments(rules(['$..a']), text)
    assert.equal(kept, '"[redacted]"')
    assert.deepEqual(redacted, [{ in: 'arguments', rule: 'unreadable' }])
  }
})

test('a list of finds is cut after a hundred, and says how many more there were', () => {
  const { redacted } = redactArguments(rules(['$[*]']), JSON.stringify(Array.from({ length: 150 }, (_, n) => n)))
  assert.equal(redacted.length, 100)
  assert.equal(redacted.at(-1)?.more, 50)
})

test('a key is recorded as a pseudonym where that is configured, or where it has a form that is looked for', () => {
  assert.deepEqual(keyRedaction({ ...noRedaction, hideKey: true }, 'a'), { in: 'key', rule: 'key' })
  assert.deepEqual(keyRedaction(rules([], ['email']), 'refund-ann@example.com'), { in: 'key', rule: 'email' })
  assert.equal(keyRedaction(rules(['$.a'], ['email']), 'refund-17'), undefined)
})
