import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import test from 'node:test'
import { auditDefaults, clickhouseAt } from '../../services/audit/config.ts'
import { type Audit, type AuditInput, start } from '../../services/audit/start.ts'
import { readEnvironment } from '../../shared/config/environment.ts'
import { UnavailableError } from '../../shared/errors.ts'
import { eventRecord } from '../../shared/events/event.ts'
import { AppendRefused } from '../../shared/journal/port.ts'
import { topics } from '../../shared/journal/topics.ts'
import { silent, startBridge, temporaryFolder } from '../helpers/clickhouse.ts'
import { testListener } from '../helpers/listener.ts'
import { createMemoryJournal } from './audit-memory-journal.ts'

/** With a port of its own, which is closed with it. */
async function startOnPort(input: Omit<AuditInput, 'listener'>): Promise<Audit> {
  const listener = await testListener(['history'])
  const audit = await start({ ...input, listener })
  const stop = async () => {
    await audit.stop()
    await listener.close()
  }
  return { ...audit, stop, [Symbol.asyncDispose]: stop }
}

const denied = (number: number, tenant = 'acme') =>
  eventRecord({
    type: 'call.denied',
    stream: `call-${number}`,
    sequence: 1,
    time: new Date().toISOString(),
    source: 'holdfast/front',
    tenant,
    agent: 'bot',
    callId: `call-${number}`,
  })

const authenticate = async (secret: string) => ({ agent: 'auditor', tenant: secret, readHistory: true })

const ask = async (url: string, sql: string, tenant = 'acme') =>
  (await fetch(url, { method: 'POST', body: sql, headers: { authorization: `Bearer ${tenant}` } })).text()

async function eventually(answer: () => Promise<string>, expected: string): Promise<void> {
  const deadline = Date.now() + 20_000
  let last = await answer()
  while (last !== expected) {
    if (Date.now() > deadline) assert.equal(last, expected)
    last = await answer()
  }
}

test('an event can be read over SQL within two seconds, and after a restart', async () => {
  await using folder = await temporaryFolder()
  const journal = createMemoryJournal()
  const input = {
    config: auditDefaults,
    journal,
    clickhouse: { path: folder.path },
    authenticate,
    log: silent,
  }
  {
    await using audit = await startOnPort(input)
    await audit.ready()
    // The first one opens the interval, so the second has to wait for the next: the slowest case.
    await journal.append([denied(1)])
    await eventually(() => ask(audit.url, 'SELECT count() FROM calls'), '1\n')
    const before = performance.now()
    await journal.append([denied(2)])
    await eventually(() => ask(audit.url, 'SELECT count() FROM calls'), '2\n')
    assert.ok(performance.now() - before < 2_000)
    assert.deepEqual(await (await fetch(`${audit.url}/readyz`)).json(), { ready: true, missing: {}, degraded: {} })
  }
  await journal.append([denied(3)])
  await using audit = await startOnPort(input)
  await eventually(() => ask(audit.url, 'SELECT count() FROM calls'), '3\n')
  assert.equal(await ask(audit.url, 'SELECT count() FROM calls', 'globex'), '0\n')
  await audit.stop()
  await assert.rejects(fetch(`${audit.url}/ping`))
})

test('a ClickHouse server: the same service, and it says when the server is gone', async () => {
  await using folder = await temporaryFolder()
  await using bridge = await startBridge(folder.path)
  const journal = createMemoryJournal()
  await journal.append([denied(1), denied(2, 'globex'), denied(3, 'globex')])
  await using audit = await startOnPort({
    config: auditDefaults,
    journal,
    clickhouse: { url: bridge.url },
    authenticate,
    log: silent,
  })
  await eventually(() => ask(audit.url, "SELECT count() FROM events WHERE type = 'call.denied'", 'globex'), '2\n')
  assert.equal(await ask(audit.url, 'SELECT DISTINCT tenant FROM calls'), 'acme\n')
  assert.equal(
    await ask(audit.url, "SELECT count() FROM events WHERE throwIf(tenant != 'acme') = 0 AND type = 'call.denied'"),
    '1\n',
  )
  assert.match(await ask(audit.url, 'DROP TABLE events'), /can only be read/)
  assert.match(await ask(audit.url, "SELECT toUInt8('x')"), /^Code: 6\. .*\(CANNOT_PARSE_TEXT\)\n$/)
  await bridge.shut()
  assert.match(
    await ask(audit.url, 'SELECT 1'),
    /^Code: 210\. DB::Exception: ClickHouse does not answer\. \(NETWORK_ERROR\)\n$/,
  )
  assert.equal((await fetch(`${audit.url}/readyz`)).status, 503)
  assert.equal((await fetch(`${audit.url}/livez`)).status, 200)
  await bridge.open()
  assert.equal(await ask(audit.url, 'SELECT 1'), '1\n')
})

test('who reads the history is in the history, with what was asked; what cannot be recorded is not answered', async () => {
  await using folder = await temporaryFolder()
  const journal = createMemoryJournal()
  let isAway = false
  const input = {
    config: auditDefaults,
    journal: {
      ...journal,
      append: async (records: Parameters<typeof journal.append>[0]) => {
        if (isAway) throw new AppendRefused('the journal is away')
        return journal.append(records)
      },
    },
    clickhouse: { path: folder.path },
    authenticate,
    log: silent,
  }
  await using audit = await startOnPort(input)
  assert.equal(await ask(audit.url, 'SELECT 41 + 1'), '42\n')
  assert.match(await ask(audit.url, 'DROP TABLE events'), /can only be read/)
  const long = `SELECT '${'x'.repeat(5_000)}'`
  await ask(audit.url, long)
  await eventually(
    () =>
      ask(
        audit.url,
        `SELECT agent, type, JSONExtractString(data, 'statement'), rows, result_bytes > 0, reason != '' FROM
           (SELECT *, JSONExtractUInt(data, 'rows') AS rows FROM events WHERE type LIKE 'history.%'
            AND JSONExtractString(data, 'statement') IN ('SELECT 41 + 1', 'DROP TABLE events')) ORDER BY time`,
      ),
    'auditor\thistory.queried\tSELECT 41 + 1\t1\t1\t0\nauditor\thistory.refused\tDROP TABLE events\t0\t\\N\t1\n',
  )
  const cut = journal.records(topics.events.name).find(({ value }) => value.includes('statementCommitment'))
  const told = JSON.parse(cut?.value ?? '{}')
  assert.equal(told.statement, long.slice(0, 4_096))
  assert.equal(told.statementCommitment, `sha256:${createHash('sha256').update(long).digest('hex')}`)
  isAway = true
  assert.match(await ask(audit.url, 'SELECT 41 + 2'), /the journal does not take records now.*NETWORK_ERROR/)
  isAway = false
  assert.equal(await ask(audit.url, 'SELECT 41 + 3'), '44\n')
})

test('the environment says which store the service opens', () => {
  const environment = readEnvironment({ HOLDFAST_AUDIT_PORT: '0', HOLDFAST_DATA: '/data' })
  assert.deepEqual(clickhouseAt(environment), { path: '/data/history' })
  const server = readEnvironment({ CLICKHOUSE_URL: 'http://ch:8123', CLICKHOUSE_READER_URL: 'http://reader@ch:8123' })
  assert.deepEqual(clickhouseAt(server), { url: 'http://ch:8123', readerUrl: 'http://reader@ch:8123' })
})

test('a key that cannot be looked up now is no wrong key', async () => {
  await using folder = await temporaryFolder()
  const unavailable = async () => {
    throw new UnavailableError('postgres', 'Postgres does not answer.')
  }
  await using audit = await startOnPort({
    config: auditDefaults,
    journal: createMemoryJournal(),
    clickhouse: { path: folder.path },
    authenticate: unavailable,
    log: silent,
  })
  assert.match(
    await ask(audit.url, 'SELECT 1'),
    /^Code: 210\. DB::Exception: Postgres does not answer\. \(NETWORK_ERROR\)\n$/,
  )
})
