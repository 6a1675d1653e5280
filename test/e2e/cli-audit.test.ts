/**
 * `holdfast audit` over real stores: it finds nothing where nothing is wrong, also while calls are under way, and names
 * each violation that is planted behind Holdfast's back.
 */
import assert from 'node:assert/strict'
import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type LocalClickhouse, startLocalClickhouse } from '../../infra/clickhouse/local/start.ts'
import type { Finding } from '../../services/audit/check/facts.ts'
import type { Report } from '../../services/audit/check/audit.ts'
import { commandRecord } from '../../shared/call/command.ts'
import { eventRecord, type HoldfastEvent } from '../../shared/events/event.ts'
import { createPostgresJournal, type PostgresJournal } from '../../shared/journal/postgres/journal.ts'
import { topics } from '../../shared/journal/topics.ts'
import { createPool, type Pool } from '../../shared/postgres/pool.ts'
import { silent } from '../helpers/clickhouse.ts'
import { runCli } from '../helpers/cli.ts'
import { eventually, type Node, outcomeOf, startNode } from '../helpers/node.ts'
import { temporaryFolder, testPostgres } from '../helpers/postgres.ts'
import { type LabChild, startLabChild } from '../helpers/upstream/lab-child.ts'

const secret = 'a-secret-of-at-least-thirty-two-characters'
let folder: string
let clickhouse: LocalClickhouse
let pool: Pool
let journal: PostgresJournal
let lab: LabChild
let node: Node
let env: Record<string, string>

before(async () => {
  folder = await temporaryFolder()
  const database = await (await testPostgres()).database()
  clickhouse = await startLocalClickhouse({ dataDir: join(folder, 'history'), port: 0, log: silent })
  pool = createPool({ url: database.url, name: 'test', max: 2, log: silent })
  lab = await startLabChild(join(folder, 'ledger.jsonl'))
  env = { DATABASE_URL: database.url, CLICKHOUSE_URL: clickhouse.url, HOLDFAST_SECRET: secret }
  node = await startNode({
    env,
    yaml: `
servers:
  lab: { url: ${lab.url}, timeout: 5s, sessions: shared }
  keys:
    url: ${lab.url}
    timeout: 1s
    sessions: shared
    tools: { write: { recover: { replay: { header: Idempotency-Key }, budget: { attempts: 1 } } } }
roles: { all: { allow: ["*"] } }
agents: { dev: { roles: [all], readHistory: true } }
`,
  })
  journal = await createPostgresJournal({ url: database.url, log: silent, topics: Object.values(topics) })
})

after(async () => {
  await journal?.close()
  await node?.[Symbol.asyncDispose]()
  await lab?.stop()
  await pool?.end()
  await clickhouse?.stop()
})

async function write(key: string, more: Record<string, unknown> = {}, path = '/lab') {
  const client = await node.modern({ path })
  const answer = await client.callTool({
    name: 'write',
    arguments: { what: key, ...more, idempotency_key: key },
  })
  return outcomeOf(answer)
}

const isOver = (outcome: unknown) => (outcome as { recovery?: { state: string } }).recovery?.state === 'over'

async function audit(...more: string[]): Promise<Report & { exit: number; err: string }> {
  const { exit, out, err } = await runCli(['audit', '--ledger', lab.ledger, '--json', ...more], { env, cwd: folder })
  assert.notEqual(out, '', err)
  return { ...(JSON.parse(out) as Report), exit, err }
}

const settled = () =>
  eventually(
    async () => {
      const { rows } = await pool.query<{ n: number }>('select count(*)::int as n from outbox')
      const lag = (await journal.lag('holdfast-audit', topics.events.name)).reduce((sum, each) => sum + each.lag, 0)
      return (rows[0]?.n ?? 0) + lag === 0 ? true : undefined
    },
    { what: 'an empty outbox and a history that has caught up' },
  )

const plants = [
  'dispatched twice',
  'two outcomes',
  'done, though not executed',
  'told otherwise',
  'refused and sent',
  'answered unsent',
  'stuck',
  'event gone',
  'row changed',
  'row gone',
  'history row gone',
  'history row twice',
  'history row changed',
  'asked before',
  'answer changed',
  'answer gone',
  'two contents',
] // prettier-ignore

test('stores that hold what happened: nothing is found, and the whole of them was looked at', async () => {
  for (const key of plants) await write(key, key.startsWith('done, though') ? { behave: 'http_429' } : {})
  assert.equal((await write('lost', { behave: 'reset_after' })).state, 'unknown')
  assert.equal((await write('reopened', { behave: 'http_429' })).state, 'not_executed')
  assert.equal((await write('failing', { behave: 'rpc_error' })).state, 'failed')
  assert.equal((await write(plants[0] as string)).replayed, true)
  assert.equal((await write(plants[0] as string, { more: 1 })).code, 'idempotency_conflict')
  // What a refused replay was told is evidence; it is not the answer to the call.
  const refused = ['refused again', { behave: ['reset_after', 'http_409'] }, '/keys'] as const
  await eventually(async () => (isOver(await write(...refused)) ? true : undefined), { what: 'the end of recovery' })
  await settled()
  const { findings, checked, exit } = await audit()
  assert.deepEqual(findings, [])
  assert.equal(exit, 0)
  assert.equal(checked.operations, plants.length + 4)
  assert.equal(checked.effects, lab.effects().length)
  assert.ok((checked.historyRows ?? 0) >= 2 * plants.length && (checked.answers ?? 0) >= plants.length)
  assert.ok(checked.commands >= plants.length + 5, `${checked.commands} commands`)
})

test('while calls are under way nothing is held against anybody', async () => {
  let done = false
  const writing = Promise.all(
    Array.from({ length: 8 }, async (_, n) => {
      for (let i = 0; !done; i += 1) await write(`live-${n}-${i}`, { delayMs: 5 })
    }),
  )
  for (let looks = 0; looks < 8; looks += 1) assert.deepEqual((await audit()).findings, [])
  done = true
  await writing
  await settled()
  assert.deepEqual((await audit()).findings, [])
})

test('what began before --since is left out, with the whole of its life', async () => {
  const { checked, findings } = await audit('--since', new Date().toISOString())
  assert.deepEqual(findings, [])
  assert.equal(checked.operations, 0)
})

type Row = { operation_id: string; sequence: number; fields: HoldfastEvent; partition: number; offset: number }

/** The last event of a key's operation, as it stands in the journal. */
async function lastEvent(key: string): Promise<Row> {
  const { rows } = await pool.query<Omit<Row, 'fields'> & { value: string }>(
    `select o.operation_id, o.sequence, j.value, j.partition, j."offset" from operations o
     join journal_records j on j.topic = $2 and j.headers::json ->> 'ce_id' = o.operation_id || ':' || o.sequence
     where o.key = $1`,
    [key, topics.events.name],
  )
  const [row] = rows
  assert.ok(row, `${key} has no last event`)
  return { ...row, fields: JSON.parse(row.value) as HoldfastEvent }
}

const append = (event: Partial<HoldfastEvent> & Pick<HoldfastEvent, 'type'>, like: Row) =>
  journal.append([eventRecord({ ...like.fields, time: new Date().toISOString(), source: 'planted', ...event })])

/** One more event of an operation, with its row moved on as if nothing were wrong. */
async function appendNext(key: string, event: Parameters<typeof append>[0]): Promise<void> {
  const row = await lastEvent(key)
  await append({ ...event, sequence: row.sequence + 1 }, row)
  await pool.query('update operations set sequence = sequence + 1 where key = $1', [key])
}

const inHistory = async (statement: string) => {
  const response = await fetch(clickhouse.url, { method: 'POST', body: statement })
  assert.ok(response.ok, await response.text())
}

const found = (findings: readonly Finding[], key: string) =>
  findings.filter(finding => finding.key === key).map(({ invariant }) => invariant)

/** Plants something in the stores of a node that has stopped. */
async function planted(key: string, plant: () => Promise<unknown>, invariant: string): Promise<void> {
  assert.deepEqual(found((await audit()).findings, key), [], 'nothing was wrong before')
  await plant()
  const { findings, exit, err } = await audit()
  assert.ok(found(findings, key).includes(invariant as Finding['invariant']), `${key}: ${JSON.stringify(findings)}`)
  assert.equal(exit, 1)
  assert.match(err, /violations? w(as|ere) found/)
}

test('the node stops, and its stores stay', async () => {
  assert.equal(await node.interrupt(), 0, node.output())
  assert.deepEqual((await audit()).findings, [])
})

test('a second dispatch in one round is named (I1)', () =>
  planted(
    'dispatched twice',
    () => appendNext('dispatched twice', { type: 'call.dispatched', state: 'executing', attempt: 2 }),
    'I1',
  ))

test('a final outcome that changed is named (I2)', () =>
  planted('two outcomes', () => appendNext('two outcomes', { type: 'call.failed', state: 'failed' }), 'I2'))

test('an effect of what is not_executed is named (I3)', async () => {
  const key = 'done, though not executed'
  const line = { id: 'planted', tool: 'write', arguments: { what: key, behave: 'http_429' }, at: Date.now() }
  await planted(key, async () => appendFileSync(lab.ledger, `${JSON.stringify(line)}\n`), 'I3')
})

test('a repeated call that was told what never was is named (I4)', async () => {
  const key = 'told otherwise'
  const plant = async () =>
    append(
      { type: 'call.replayed', stream: 'planted-1', sequence: 1, callId: 'planted-1', state: 'failed' },
      await lastEvent(key),
    ) // prettier-ignore
  await planted(key, plant, 'I4')
})

test('a call that was refused and sent is named (I5)', async () => {
  const key = 'refused and sent'
  const { operation_id: callId } = await lastEvent(key)
  const plant = async () =>
    append({ type: 'call.conflicted', stream: `${callId}-joined`, sequence: 1 }, await lastEvent(key)) // prettier-ignore
  await planted(key, plant, 'I5')
})

test('an answer of a round that was never sent is named (I6)', () =>
  planted(
    'answered unsent',
    () =>
      pool.query(
        `insert into results select operation_id, epoch, 2, 'result', '{}', now_ms() from operations where key = 'answered unsent'`,
      ),
    'I6',
  ))

test('an effect of what was never dispatched is named (I6)', async () => {
  const line = { id: 'planted-2', tool: 'write', arguments: { what: 'nobody asked for it' }, at: Date.now() }
  appendFileSync(lab.ledger, `${JSON.stringify(line)}\n`)
  const { findings } = await audit()
  assert.ok(
    findings.some(({ invariant, what }) => invariant === 'I6' && what === 'the server did what was never dispatched'),
  )
})

test('an operation that never ends is named (I7)', () =>
  planted(
    'stuck',
    () =>
      pool.query(
        `update operations set state = 'executing', owner = 'gone', dispatched_ms = now_ms() - 3600000 where key = 'stuck'`,
      ),
    'I7',
  ))

test('a command that was taken from the journal and never handled is named (I7)', async () => {
  const callId = 'planted-call'
  const scope = { tenant: 'default', keyspace: 'dev', server: 'lab', key: 'vanished' }
  const [position] = await journal.append([
    commandRecord({
      type: 'submit',
      callId,
      ...scope,
      tool: 'write',
      effectSource: '',
      keySource: '',
      fingerprint: 'f'.repeat(64),
      arguments: '{}',
      caller: { agent: 'dev' },
      receivedAt: Date.now(),
      dispatchBy: Date.now(),
    }), // prettier-ignore
  ])
  await pool.query(
    `update journal_assignments set committed = $1 where group_name = 'holdfast-broker' and topic = $2 and partition = $3`,
    [(position?.offset ?? 0) + 1, topics.calls.name, position?.partition],
  )
  const { findings } = await audit()
  assert.ok(
    findings.some(({ invariant, what }) => invariant === 'I7' && what.includes(callId)),
    JSON.stringify(findings),
  )
})

test('a missing event is named (I8)', () =>
  planted(
    'event gone',
    async () => {
      const { partition, offset } = await lastEvent('event gone')
      await pool.query('delete from journal_records where topic = $1 and partition = $2 and "offset" = $3', [
        topics.events.name,
        partition,
        offset,
      ])
    },
    'I8',
  ))

test('a row that its events do not lead to is named (I8)', () =>
  planted('row changed', () => pool.query(`update operations set evidence = 'person' where key = 'row changed'`), 'I8'))

test('an operation of the journal without a row is named (I8)', () =>
  planted('row gone', () => pool.query(`delete from operations where key = 'row gone'`), 'I8'))

const ofKey = (key: string) => `where idempotency_key = '${key}' and type = 'call.succeeded'`

test('a record that the history lacks is named (I8)', () =>
  planted(
    'history row gone',
    () => inHistory(`alter table holdfast.events delete ${ofKey('history row gone')} settings mutations_sync = 2`),
    'I8',
  ))

test('a record that the history has twice is named (I8)', () =>
  planted(
    'history row twice',
    () => inHistory(`insert into holdfast.events select * from holdfast.events ${ofKey('history row twice')}`),
    'I8',
  ))

test('a row of the history that was changed is named (I8)', () =>
  planted(
    'history row changed',
    () =>
      inHistory(
        `alter table holdfast.events update type = 'call.failed' ${ofKey('history row changed')} settings mutations_sync = 2`,
      ),
    'I8',
  ))

test('two contents under one event id are named (I8)', () =>
  planted(
    'two contents',
    async () => append({ type: 'call.succeeded', reason: 'another' }, await lastEvent('two contents')),
    'I8',
  ))

test('a call that was sent although not_found had been said is named (I9)', () =>
  planted(
    'asked before',
    () => pool.query(`update operations set fenced_ms = now_ms() where key = 'asked before'`),
    'I9',
  ))

test('an answer that was changed is named (I10)', () =>
  planted(
    'answer changed',
    () =>
      pool.query(
        `update results set raw = '{"content":[]}' where operation_id = (select operation_id from operations where key = 'answer changed')`,
      ),
    'I10',
  ))

test('an answer that is gone is named (I10)', () =>
  planted(
    'answer gone',
    () =>
      pool.query(
        `delete from results where operation_id = (select operation_id from operations where key = 'answer gone')`,
      ),
    'I10',
  ))

test('for people each finding is one line with what it is told from, and a sum', async () => {
  const { exit, out } = await runCli(['audit', '--no-history'], { env, cwd: folder })
  assert.equal(exit, 1)
  assert.match(out, /^I10 {2}the recorded answer is not the one that came {2}\(lab answer changed /m)
  assert.match(out, /^Looked at: \d+ operations, .* the history was left out, no ledger was given, \d+ answers\.$/m)
})
