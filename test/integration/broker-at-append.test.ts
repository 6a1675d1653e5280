/** What a front in the broker's own process appends: claimed in the same commit, and sent once whatever comes in between. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { commandRecord } from '../../shared/call/command.ts'
import { AppendRefused } from '../../shared/journal/port.ts'
import type { Queryable } from '../../services/broker/sql/row.ts'
import { done, eventually, type Lab, openLab, outcome, scopeHash, told } from '../helpers/broker.ts'

const heard = async (lab: Lab, callId: string) => told(await outcome(lab.replyTo(callId)))

/** The transactions that wrote the command and the row of its key. */
async function commitsOf(lab: Lab, key: string) {
  const scope = scopeHash({ tenant: 'tenant', keyspace: 'agent', server: 'server', key })
  const { rows } = await lab.pool.query<{ command: string; operation: string }>(
    `select r.xmin::text as command, o.xmin::text as operation from journal_records r, operations o
     where r.key = $1 and o.scope = decode($1, 'hex')`,
    [scope],
  )
  return rows[0]
}

/** Counts the statements of a broker by their names. */
function counting() {
  const counts = new Map<string, number>()
  const db = (pool: Queryable): Queryable => ({
    query(statement, values) {
      const name = typeof statement === 'string' ? '' : statement.name
      counts.set(name, (counts.get(name) ?? 0) + 1)
      return pool.query(statement, values)
    },
  })
  return { db, count: (name: string) => counts.get(name) ?? 0 }
}

test('a write is put on record and claimed in one commit, and passed over when it is delivered', async () => {
  await using lab = await openLab()
  const { db, count } = counting()
  const broker = await lab.start({ db })
  await broker.running.ready
  const gate = lab.upstream.gate('key')
  const command = lab.submitOf('key')
  await broker.append(command)
  await lab.upstream.sentTimes('key')
  const commits = await commitsOf(lab, 'key')
  assert.equal(commits?.command, commits?.operation)
  assert.ok(await broker.running.port.caughtUp(5_000))
  gate.open(done)
  assert.equal(await heard(lab, command.callId), 'own succeeded')
  assert.deepEqual(['append_claim_one', 'claim', 'standing'].map(count), [1, 0, 0])
  const { rows } = await lab.pool.query<{ headers: string }>(
    `select headers from outbox where key = $1 union all select headers from journal_records where key = $1`,
    [command.callId],
  )
  const numbers = rows.map(({ headers }) => Number(JSON.parse(headers).ce_sequence))
  assert.deepEqual(
    numbers.map(number => number > 0),
    [true, true],
    'each event has its number',
  )
  await lab.check()
})

test('of calls with one key that are appended together one is sent, and the others are told its outcome', async () => {
  await using lab = await openLab()
  const broker = await lab.start()
  await broker.running.ready
  const commands = Array.from({ length: 8 }, () => lab.submitOf('key'))
  const other = lab.submitOf('key', { args: { change: 'other' } })
  await Promise.all([...commands, other].map(each => broker.append(each)))
  const told = await Promise.all([...commands, other].map(({ callId }) => heard(lab, callId)))
  assert.equal(told.filter(each => each === 'own succeeded').length, 1)
  assert.equal(told.filter(each => /^(attached|replayed) succeeded/.test(each)).length, 7, told.join(', '))
  assert.match(told.at(-1) as string, /^conflicted/)
  assert.equal(lab.upstream.count('key'), 1)
  await lab.check()
})

test('the same change under two keys is sent once when both are appended together', async () => {
  await using lab = await openLab()
  const broker = await lab.start()
  await broker.running.ready
  const gates = ['one', 'two'].map(key => lab.upstream.gate(key))
  const args = { change: 'same' }
  const commands = [lab.submitOf('one', { args }), lab.submitOf('two', { args })]
  await Promise.all(commands.map(each => broker.append(each)))
  const sent = await eventually(
    async () => (lab.upstream.sent.length > 0 && lab.replies.length > 0 ? lab.upstream.sent : undefined),
    () => 'nothing was sent and refused',
  )
  assert.equal(sent.length, 1)
  for (const { open } of gates) open(done)
  const told = await Promise.all(commands.map(({ callId }) => heard(lab, callId)))
  assert.deepEqual(told.toSorted(), ['conflicted executing possible_duplicate', 'own succeeded'])
  await lab.check()
})

test('a command whose claim is refused is on record all the same, and is handled when that is mended', async () => {
  await using lab = await openLab()
  const broker = await lab.start()
  await broker.running.ready
  await lab.pool.query(`alter table operations add constraint refusing check (key <> 'key') not valid`)
  const commands = [lab.submitOf('key'), lab.submitOf('beside')]
  await Promise.all(commands.map(each => broker.append(each)))
  await lab.pool.query('alter table operations drop constraint refusing')
  for (const { callId } of commands) assert.equal(await heard(lab, callId), 'own succeeded')
  await lab.check()
})

test('a record that the journal cannot hold is refused alone', async () => {
  await using lab = await openLab()
  const broker = await lab.start()
  await broker.running.ready
  const large = lab.submitOf('large', { arguments: JSON.stringify({ text: 'x'.repeat(8 * 1024 * 1024) }) })
  const small = lab.submitOf('small')
  const [refused, appended] = await Promise.allSettled([large, small].map(each => broker.append(each)))
  assert.ok(refused?.status === 'rejected' && refused.reason instanceof AppendRefused)
  assert.equal(appended?.status, 'fulfilled')
  assert.equal(await heard(lab, small.callId), 'own succeeded')
  assert.equal(lab.upstream.count('large'), 0)
})

test('what stands behind commands that are still to be handled is not claimed before them', async () => {
  await using lab = await openLab()
  const { db, count } = counting()
  const broker = await lab.start({ db })
  await broker.running.ready
  const first = lab.submitOf('key')
  const { partition } = commandRecord(first)
  const name = Array.from({ length: 200 }, (_, n) => `other ${n}`).find(
    key => commandRecord(lab.submitOf(key)).partition === partition,
  )
  const second = lab.submitOf(name as string)
  const blocking = await lab.pool.connect()
  await blocking.query('begin')
  await blocking.query('lock table operations in exclusive mode')
  // As another process appends it: this broker finds it in the journal, and waits for the lock with its claim.
  await lab.journal.append([commandRecord(first)])
  await eventually(
    async () => (count('claim') > 0 ? true : undefined),
    () => 'the first was not claimed',
  )
  await broker.append(second)
  assert.equal(count('append_claim_one'), 0)
  await blocking.query('commit')
  blocking.release()
  for (const { callId } of [first, second]) assert.equal(await heard(lab, callId), 'own succeeded')
  await lab.check()
})

test('delivered to another broker as well, a call that was claimed at its append is not sent again', async () => {
  await using lab = await openLab()
  const [broker, other] = [await lab.start(), await lab.start({ consume: false })]
  await broker.running.ready
  const gate = lab.upstream.gate('key')
  const command = lab.submitOf('key')
  await broker.append(command)
  await lab.upstream.sentTimes('key')
  await other.deliver(command)
  gate.open(done)
  assert.equal(await heard(lab, command.callId), 'own succeeded')
  await other.deliver(command)
  assert.equal(lab.upstream.count('key'), 1)
  await lab.check()
})

test('a broker that the journal delivers nothing to leaves the claim to whom it does', async () => {
  await using lab = await openLab()
  const { db, count } = counting()
  const [without, consuming] = [await lab.start({ consume: false, db }), await lab.start()]
  await consuming.running.ready
  const command = lab.submitOf('key')
  await without.append(command)
  assert.equal(await heard(lab, command.callId), 'own succeeded')
  assert.equal(count('append_claim_one'), 0)
  await lab.check()
})
