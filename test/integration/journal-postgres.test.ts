/** What only the journal over PostgreSQL promises, beyond `test/contract/journal.ts`. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { ConfigError } from '../../shared/errors.ts'
import { AppendDoubtful, AppendRefused, type JournalRecord, type NewRecord } from '../../shared/journal/port.ts'
import { commit } from '../../shared/journal/postgres/groups.ts'
import { createPostgresJournal, type PostgresJournal } from '../../shared/journal/postgres/journal.ts'
import { createOutboxRelay } from '../../shared/journal/postgres/outbox.ts'
import { startEmbeddedPostgres } from '../../shared/postgres/embedded.ts'
import { migrate } from '../../shared/postgres/migrate.ts'
import { createPool, type Pool } from '../../shared/postgres/pool.ts'
import { removeFolder, silent, temporaryFolder, testPostgres } from '../helpers/postgres.ts'

const topic = 'holdfast.test'
const partitions = 4

test('a record that PostgreSQL cannot store fails its own append alone', () =>
  withJournal(async ({ journal }) => {
    const settled = await Promise.allSettled([
      journal.append([record(0, 'before')]),
      journal.append([record(0, 'NUL \0')]),
      journal.append([record(0, 'half \ud83d')]),
      journal.append([{ ...record(0, 'x'), key: '\0' }]),
      journal.append([record(0, 'after')]),
    ])
    assert.deepEqual(
      settled.map(result => (result.status === 'rejected' ? result.reason.name : 'stored')),
      ['stored', 'AppendRefused', 'AppendRefused', 'AppendRefused', 'stored'],
    )
    assert.deepEqual(
      (await all(journal, 0)).map(({ value }) => value),
      ['before', 'after'],
    )
  }))

test('a header with a NUL survives: headers are stored escaped', () =>
  withJournal(async ({ journal }) => {
    await journal.append([{ ...record(0, 'x'), headers: { odd: 'a\0b' } }])
    assert.deepEqual((await all(journal, 0))[0]?.headers, { odd: 'a\0b' })
  }))

test('what a process appends reaches its own consumer without a poll', () =>
  withJournal(
    async ({ journal }) => {
      const got: string[] = []
      const consumer = await journal.consume({
        group: 'g',
        topics: [topic],
        handle: async ({ records }) => void got.push(...records.map(({ value }) => value)),
      })
      await until(() => consumer.assigned().length === partitions)
      for (const value of ['a', 'b', 'c']) await journal.append([record(1, value)])
      await until(() => got.length === 3, 2_000)
      assert.deepEqual(got, ['a', 'b', 'c'])
      await consumer.stop()
    },
    { pollMs: 60_000, idlePollMs: 60_000 },
  ))

test('a consumer that is slow gets everything, although memory holds only so much', () =>
  withJournal(async ({ journal }) => {
    const got: number[] = []
    let release = () => {}
    const held = new Promise<void>(resolve => (release = resolve))
    const handle = async ({ records }: { records: readonly JournalRecord[] }) => {
      await held
      got.push(...records.map(({ offset }) => offset))
    }
    const consumer = await journal.consume({ group: 'g', topics: [topic], handle })
    await until(() => consumer.assigned().length === partitions)
    for (let call = 0; call < 12; call += 1) await journal.append(Array.from({ length: 1_000 }, () => record(0, 'x')))
    release()
    await until(() => got.length >= 12_000)
    assert.deepEqual(
      got,
      Array.from({ length: 12_000 }, (_, offset) => offset),
    )
    await consumer.stop()
  }))

test('J4: the fence holds in the database: an older epoch and another member commit nothing', () =>
  withJournal(async ({ journal, pool }) => {
    await journal.append([record(0, 'x'), record(0, 'y')])
    const consumer = await journal.consume({ group: 'g', topics: [topic], handle: async () => {} })
    await until(() => consumer.assigned().length === partitions)
    const { rows } = await pool.query<{ member: string; epoch: number }>(
      `select member, epoch from journal_assignments where partition = 0`,
    )
    const { member, epoch } = rows[0] as { member: string; epoch: number }
    const entry = { group: 'g', topic, partition: 0, member, epoch, next: 2 }
    assert.deepEqual(
      await commit(pool, [
        { ...entry, epoch: epoch - 1 },
        { ...entry, member: 'another' },
      ]),
      [false, false],
    )
    assert.deepEqual((await journal.lag('g', topic))[0]?.committed, null)
    assert.deepEqual(await commit(pool, [entry]), [true])
    assert.deepEqual(await commit(pool, [{ ...entry, next: 1 }]), [true])
    assert.deepEqual((await journal.lag('g', topic))[0]?.committed, 2)
    await consumer.stop()
  }))

test('a member whose lease was taken from it stops, joins again under a new id, and is given what was not committed', () =>
  withJournal(
    async ({ journal, pool }) => {
      const deliveries: AbortSignal[] = []
      const consumer = await journal.consume({
        group: 'g',
        topics: [topic],
        handle: async ({ signal }) => void deliveries.push(signal),
      })
      await until(() => consumer.assigned().length === partitions)
      await journal.append([record(0, 'x')])
      await until(() => deliveries.length === 1)
      const before = await memberOf(pool)
      await pool.query('delete from journal_members')
      await until(() => deliveries.length === 2)
      assert.equal(deliveries[0]?.aborted, true)
      assert.equal(deliveries[1]?.aborted, false)
      assert.notEqual(await memberOf(pool), before)
      await consumer.stop()
    },
    { leaseMs: 600 },
  ))

test('two relays move every row of the outbox once, each row either here or there', () =>
  withJournal(async ({ journal, another, pool }) => {
    const rows = 1_500
    const relays = [journal, await another()].map(each =>
      createOutboxRelay({ journal: each, log: silent, intervalMs: 1, maxRows: 40 }),
    )
    for (const relay of relays) relay.start()
    await Promise.all([insertOutbox(pool, 0, rows / 2), insertOutbox(pool, rows / 2, rows)])
    for (const relay of relays) await relay.stop()
    const moved = (await Promise.all([0, 1, 2, 3].map(partition => all(journal, partition)))).flat()
    assert.equal((await pool.query('select from outbox')).rowCount, 0)
    assert.deepEqual(
      moved.map(({ key }) => Number(key)).toSorted((a, b) => a - b),
      Array.from({ length: rows }, (_, id) => id),
    )
    assert.deepEqual(moved[0]?.headers, { ce_id: moved[0]?.key })
  }))

test('what the relay moves reaches a consumer of the same process without a poll', () =>
  withJournal(
    async ({ journal, pool }) => {
      const got: string[] = []
      const consumer = await journal.consume({
        group: 'g',
        topics: [topic],
        handle: async ({ records }) => void got.push(...records.map(({ key }) => key)),
      })
      await until(() => consumer.assigned().length === partitions)
      await insertOutbox(pool, 0, 8)
      const relay = createOutboxRelay({ journal, log: silent })
      assert.equal(await relay.drainOnce(), 8)
      await until(() => got.length === 8, 2_000)
      await relay.stop()
      await consumer.stop()
    },
    { pollMs: 60_000, idlePollMs: 60_000 },
  ))

test('retention deletes what is old, but not what a group has yet to read when told so', () =>
  withJournal(async ({ journal }) => {
    await journal.append(Array.from({ length: 10 }, (_, index) => record(0, String(index))))
    const seen: number[] = []
    const consumer = await journal.consume({
      group: 'g',
      topics: [topic],
      handle: async delivery => void seen.push(Number(await delivery.commit(5))),
    })
    await until(() => seen.length === 1)
    await consumer.stop()
    await pause(5)
    assert.equal(await journal.trim({ topic, olderThanMs: 60_000, keepUncommitted: false }), 0)
    assert.equal(await journal.trim({ topic, olderThanMs: 0, keepUncommitted: true }), 6)
    assert.deepEqual((await journal.ends(topic))[0], { partition: 0, earliest: 6, end: 10 })
    assert.deepEqual(
      (await all(journal, 0)).map(({ offset }) => offset),
      [6, 7, 8, 9],
    )
    assert.equal(await journal.trim({ topic, olderThanMs: 0, keepUncommitted: false }), 4)
    assert.deepEqual(await journal.append([record(0, 'next')]), [{ topic, partition: 0, offset: 10 }])
    const late: number[] = []
    const behind = await journal.consume({
      group: 'new',
      topics: [topic],
      handle: async ({ records }) => void late.push(...records.map(({ offset }) => offset)),
    })
    await until(() => late.length === 1)
    assert.deepEqual(late, [10])
    await behind.stop()
  }))

test('a topic whose number of partitions changed is refused: keys would move', () =>
  withJournal(async ({ url }) => {
    await assert.rejects(
      createPostgresJournal({ url, log: silent, topics: [{ name: topic, partitions: partitions - 1 }] }),
      ConfigError,
    )
  }))

test('kill -9 of the postmaster under appends loses nothing acknowledged, and appends, consumer and relay go on by themselves', async () => {
  const folder = await temporaryFolder()
  let restarts = 0
  const postgres = await startEmbeddedPostgres({
    dataDir: `${folder}/postgres`,
    log: silent,
    onRestart: () => (restarts += 1),
  })
  const pool = createPool({ url: postgres.url, max: 2, name: 'test', log: silent })
  await migrate({ pool, log: silent })
  const journal = await createPostgresJournal({ url: postgres.url, log: silent, topics: [{ name: topic, partitions }] })
  const relay = createOutboxRelay({ journal, log: silent })
  relay.start()
  const given = new Map<string, JournalRecord>()
  const consumer = await journal.consume({
    group: 'g',
    topics: [topic],
    handle: async delivery => {
      for (const entry of delivery.records) given.set(`${entry.partition}/${entry.offset}`, entry)
      await delivery.commit()
    },
  })

  const acknowledged = new Map<string, string>()
  const refused = new Set<string>()
  let doubtful = 0
  let isOver = false
  const caller = async (name: number) => {
    for (let index = 0; !isOver; index += 1) {
      const value = `${name}:${index}`
      try {
        const [position] = await journal.append([record(index % partitions, value)])
        acknowledged.set(`${position?.partition}/${position?.offset}`, value)
      } catch (error) {
        if (error instanceof AppendRefused) refused.add(value)
        else if (error instanceof AppendDoubtful) doubtful += 1
        else throw error
        await pause(5)
      }
    }
  }
  const callers = Array.from({ length: 8 }, (_, name) => caller(name))
  for (let kills = 1; kills <= 2; kills += 1) {
    const enough = acknowledged.size + 300
    await until(() => acknowledged.size > enough)
    process.kill(postgres.pid, 'SIGKILL')
    await until(() => restarts === kills)
  }
  const enough = acknowledged.size + 300
  await until(() => acknowledged.size > enough)
  isOver = true
  await Promise.all(callers)
  await insertOutbox(pool, 0, 1)

  const stored = (await Promise.all([0, 1, 2, 3].map(partition => all(journal, partition)))).flat()
  const byPlace = new Map(stored.map(entry => [`${entry.partition}/${entry.offset}`, entry.value]))
  for (const [place, value] of acknowledged) assert.equal(byPlace.get(place), value, `acknowledged at ${place}`)
  for (const value of byPlace.values()) assert.equal(refused.has(value), false, `${value} was refused and is there`)
  assert.ok(stored.length <= acknowledged.size + doubtful + 1)
  for (let partition = 0; partition < partitions; partition += 1) {
    const offsets = (await all(journal, partition)).map(({ offset }) => offset)
    assert.deepEqual(
      offsets,
      offsets.map((_, index) => index),
    )
  }
  await until(
    async () =>
      (await journal.lag('g', topic)).every(({ lag }) => lag === 0) &&
      (await pool.query('select from outbox')).rowCount === 0,
  )
  for (const place of acknowledged.keys()) assert.ok(given.has(place), `${place} was not delivered`)

  await consumer.stop()
  await relay.stop()
  await journal.close()
  await pool.end()
  await postgres.stop()
  await removeFolder(folder)
})

type Around = { journal: PostgresJournal; another: () => Promise<PostgresJournal>; pool: Pool; url: string }
type Timing = { leaseMs?: number; pollMs?: number; idlePollMs?: number }

async function withJournal(work: (around: Around) => Promise<void>, timing: Timing = {}): Promise<void> {
  await using database = await (await testPostgres()).database()
  const { url } = database
  const pool = createPool({ url, max: 3, name: 'test', log: silent })
  const opened: PostgresJournal[] = []
  const another = async () => {
    const journal = await createPostgresJournal({ url, log: silent, topics: [{ name: topic, partitions }], ...timing })
    opened.push(journal)
    return journal
  }
  try {
    await work({ journal: await another(), another, pool, url })
  } finally {
    await Promise.all(opened.map(journal => journal.close()))
    await pool.end()
  }
}

const record = (partition: number, value: string): NewRecord => ({ topic, partition, key: 'key', value, headers: {} })

/** Rows `from` to `to`, one transaction each ten. */
async function insertOutbox(pool: Pool, from: number, to: number): Promise<void> {
  for (let first = from; first < to; first += 10) {
    await pool.query(
      `insert into outbox (topic, partition, key, headers, value)
       select $1, id % $4, id::text, json_build_object('ce_id', id::text)::text, '{}' from generate_series($2::int, $3::int - 1) id`,
      [topic, first, Math.min(first + 10, to), partitions],
    )
  }
}

async function memberOf(pool: Pool): Promise<string | undefined> {
  return (await pool.query<{ member: string }>('select member from journal_members')).rows[0]?.member
}

async function all(journal: PostgresJournal, partition: number): Promise<JournalRecord[]> {
  const records: JournalRecord[] = []
  for await (const entry of journal.read({ topic, partition })) records.push(entry)
  return records
}

async function until(condition: () => boolean | Promise<boolean>, forMs = 30_000): Promise<void> {
  const giveUpAt = performance.now() + forMs
  while (!(await condition())) {
    if (performance.now() > giveUpAt) throw new Error(`waited ${forMs} ms in vain for ${String(condition)}`)
    await pause(5)
  }
}
