import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import test from 'node:test'
import { loadConfig } from '../../shared/config/load.ts'
import { createPool } from '../../shared/postgres/pool.ts'
import { createIds } from '../../shared/process/ids.ts'
import { release } from '../../shared/process/release.ts'
import { recordConfiguration } from '../../shared/stores/configurations.ts'
import { silent, testPostgres } from '../helpers/postgres.ts'

const text = (timeout: string, effect: string, deny: string) => `
servers:
  payments:
    url: http://127.0.0.1:4001/mcp
    timeout: ${timeout}
    tools:
      transfer: { effect: ${effect} }
roles:
  teller: { allow: ["payments:*"]${deny} }
agents:
  bot: { roles: [teller] }
`

test('a change of the configuration is on record once, by the paths of what differs; of policy also as such', async () => {
  await using database = await (await testPostgres()).database()
  const pool = createPool({ url: database.url, max: 4, name: 'test', log: silent })
  const ids = createIds()
  const start = (yaml: string, service = 'broker') =>
    recordConfiguration({ pool, clock: Date, ids }, { config: loadConfig({ text: yaml, env: {} }), service })
  const told = async () => {
    const { rows } = await pool.query<{ headers: string; value: string }>('delete from outbox returning headers, value')
    return rows.map(({ headers, value }) => {
      const { changes, before, policyVersion } = JSON.parse(value) as Record<string, unknown>
      return { type: JSON.parse(headers).ce_type as string, changes, before, policyVersion }
    })
  }
  try {
    const first = text('30s', 'write', '')
    await Promise.all([start(first), start(first, 'front'), start(first, 'audit')])
    const [one, ...more] = await told()
    assert.deepEqual(more, [])
    assert.deepEqual([one?.type, one?.changes, one?.before], ['dev.holdfast.configuration.changed.v1', [], undefined])
    await start(first)
    assert.deepEqual(await told(), [])

    await Promise.all([start(text('20s', 'write', '')), start(text('20s', 'write', ''), 'front')])
    const slower = await told()
    assert.deepEqual(
      slower.map(({ type, changes, before }) => [type, changes, before]),
      [['dev.holdfast.configuration.changed.v1', ['~servers.payments.timeout'], one?.policyVersion]],
    )

    await start(text('20s', 'read', ', deny: ["payments:close"]'))
    const policy = (await told()).find(({ type }) => type === 'dev.holdfast.policy.changed.v1')
    assert.deepEqual(policy?.changes, ['~roles.teller.deny', '~servers.payments.tools.transfer.effect'])
    assert.equal(policy?.before, slower[0]?.policyVersion)
    const { rows } = await pool.query('select settings::text as kept from configurations')
    assert.ok(!JSON.stringify(rows).includes('127.0.0.1'), 'no value is kept')
  } finally {
    await pool.end()
  }
})

test('the release that is told at a start is the one of the package', () => {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  assert.equal(release, version)
})
