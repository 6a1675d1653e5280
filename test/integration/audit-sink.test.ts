import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import test from 'node:test'
import { type History, historyOf } from '../../services/audit/sink/history.ts'
import { type Sink, sinkDefaults, type SinkOptions, startSink } from '../../services/audit/sink/sink.ts'
import { type Clickhouse, connectClickhouse } from '../../shared/clickhouse/connect.ts'
import { columnIndex } from '../../shared/clickhouse/events.ts'
import { eventRecord, type HoldfastEvent } from '../../shared/events/event.ts'
import type { NewRecord } from '../../shared/journal/port.ts'
import { topics } from '../../shared/journal/topics.ts'
import { type Bridge, select, silent, startBridge, temporaryFolder } from '../helpers/clickhouse.ts'
import { createMemoryJournal, type MemoryJournal } from './audit-memory-journal.ts'

const fence = { sendMs: 500, insertMs: 1_000, slackMs: 100 }
const fast = { ...sinkDefaults, intervalMs: 20, retryMs: { first: 10, most: 50 }, fence }

let numbers = 0
const event = (more: Partial<HoldfastEvent> = {}): NewRecord => {
  numbers += 1
  return eventRecord({
    type: 'call.denied',
    stream: `call-${numbers}`,
    sequence: 1,
    time: new Date().toISOString(),
    source: 'holdfast/front',
    tenant: 'acme',
    agent: 'bot',
    callId: `call-${numbers}`,
    ...more,
  })
}
const events = (count: number) => Array.from({ length: count }, () => event())
/** As if the journal had taken the record then. */
const takenAt = (record: NewRecord, time: string): NewRecord => ({
  ...record,
  headers: { ...record.headers, 'x-journal-time': time },
})

/** As a sink that is killed: it never says that it gave a partition back. */
const diesSilently = (real: History): History => ({
  ...real,
  writers: real.writers && {
    ...real.writers,
    record: async input => {
      if (input.what === 'given_back') throw new Error('killed')
      await real.writers?.record(input)
    },
  },
})

type Row = { partition: number; offset: number; event_id: string }
const rowsOf = async (clickhouse: Clickhouse): Promise<Row[]> =>
  (
    await select<{ partition: number; offset: string | number; event_id: string }>(
      clickhouse,
      'select journal_partition as partition, journal_offset as offset, event_id from holdfast.events order by partition, offset',
    )
  ).map(row => ({ ...row, offset: Number(row.offset) }))

/** Resolves once the sink has committed everything the journal has. */
async function caughtUp(sink: Sink): Promise<void> {
  const deadline = Date.now() + 20_000
  for (;;) {
    const lag = await sink.lag()
    if (lag.every(each => each.lag === 0)) return
    if (Date.now() > deadline)
      throw new Error(
        `the sink did not catch up: ${sink.failing() ?? 'no failure'} ${JSON.stringify(lag.filter(each => each.lag > 0))}`,
      )
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}

async function until(met: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 20_000
  while (!(await met())) {
    if (Date.now() > deadline) throw new Error('waited 20 s in vain')
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}

/** Nothing lost, nothing doubled: the table holds exactly the offsets of the journal, each once. */
async function assertExact(clickhouse: Clickhouse, journal: MemoryJournal): Promise<void> {
  const expected = journal
    .records(topics.events.name)
    .map(({ partition, offset, headers }) => ({ partition, offset, event_id: headers['ce_id'] ?? '' }))
  assert.deepEqual(await rowsOf(clickhouse), expected)
}

type Setting = {
  bridge: Bridge
  clickhouse: Clickhouse
  journal: MemoryJournal
  start: (history?: History, options?: Partial<SinkOptions>) => Promise<Sink>
}

/** Every promise is tried over HTTP with the real engine behind it, on an empty table each. */
async function setUp(t: test.TestContext, bridge: Bridge): Promise<Setting> {
  const clickhouse = await connectClickhouse({ url: bridge.url })
  for (const table of ['events', 'writers'])
    await clickhouse.client.command({ query: `truncate table holdfast.${table}` })
  const journal = createMemoryJournal()
  const started: Sink[] = []
  t.after(async () => {
    for (const sink of started) await sink.stop()
    await clickhouse.close()
  })
  return {
    bridge,
    clickhouse,
    journal,
    start: async (history = historyOf(clickhouse), options = {}) => {
      const sink = await startSink({ journal, history, log: silent }, { ...fast, ...options })
      started.push(sink)
      return sink
    },
  }
}

test('the sink', async t => {
  await using folder = await temporaryFolder()
  await using bridge = await startBridge(folder.path)

  await t.test('every record becomes one row at its own offset', async t => {
    const { clickhouse, journal, start } = await setUp(t, bridge)
    await journal.append(events(300))
    const sink = await start()
    await journal.append(events(5_000))
    await caughtUp(sink)
    await assertExact(clickhouse, journal)
  })

  await t.test('an insert that took effect and was reported as failed is not repeated', async t => {
    const { clickhouse, journal, start } = await setUp(t, bridge)
    const sink = await start()
    for (const cut of ['after', 'before', 'after'] as const) {
      bridge.breakNext({ when: /^INSERT INTO holdfast\.events/, cut })
      await journal.append(events(200))
      await caughtUp(sink)
    }
    await assertExact(clickhouse, journal)
  })

  await t.test('an insert of which only some months took effect is completed', async t => {
    const { clickhouse, journal, start } = await setUp(t, bridge)
    const months = [
      '2026-08-31T23:59:59.990Z',
      '2026-09-01T00:00:00.000Z',
      '2026-10-05T12:00:00.000Z',
      '2026-11-01T00:00:00.000Z',
    ]
    const records = months.flatMap(month => events(50).map(record => takenAt(record, month)))
    const real = historyOf(clickhouse)
    let inserts = 0
    const sink = await start({
      ...real,
      insert: async rows => {
        inserts += 1
        if (inserts > 1) return real.insert(rows)
        // What a server killed between two parts leaves behind.
        await real.insert(rows.filter(row => String(row[columnIndex('journal_time')]) < '2026-09-15'))
        throw new Error('killed between two parts')
      },
    })
    await journal.append(records)
    await caughtUp(sink)
    await assertExact(clickhouse, journal)
    const partitions = await select<{ n: number }>(
      clickhouse,
      'select count(distinct toYYYYMM(journal_time)) as n from holdfast.events',
    )
    assert.equal(Number(partitions[0]?.n), 4)
  })

  await t.test('a sink that dies before its commit is followed by one that doubles nothing', async t => {
    const { clickhouse, journal, start } = await setUp(t, bridge)
    journal.loseCommits(true)
    const first = await start()
    await journal.append(events(1_000))
    await until(async () => (await rowsOf(clickhouse)).length >= 1_000)
    await first.stop()
    assert.equal(journal.committed(0), -1)
    journal.loseCommits(false)
    await journal.append(events(500))
    await caughtUp(await start())
    await assertExact(clickhouse, journal)
  })

  await t.test('a rebalance in the middle of an insert loses and doubles nothing', async t => {
    const { clickhouse, journal, start } = await setUp(t, bridge)
    const real = historyOf(clickhouse)
    let slow: (() => void) | undefined
    const sink = await start({
      ...real,
      insert: async rows => {
        await new Promise<void>(resolve => {
          slow = resolve
        })
        await real.insert(rows)
      },
    })
    for (let round = 0; round < 4; round += 1) {
      await journal.append(events(100))
      await until(() => slow !== undefined)
      const rebalanced = journal.rebalance()
      await journal.append(events(100))
      slow?.()
      slow = undefined
      await rebalanced
    }
    const releasing = setInterval(() => slow?.(), 5)
    await caughtUp(sink)
    clearInterval(releasing)
    await assertExact(clickhouse, journal)
  })

  await t.test(
    'while ClickHouse is down the journal keeps everything, and the sink says so and catches up',
    async t => {
      const { clickhouse, journal, start } = await setUp(t, bridge)
      const sink = await start()
      await journal.append(events(100))
      await caughtUp(sink)
      await bridge.shut()
      await journal.append(events(3_000))
      await until(() => sink.failing() !== undefined)
      await journal.append(events(100))
      await bridge.open()
      await caughtUp(sink)
      assert.equal(sink.failing(), undefined)
      await assertExact(clickhouse, journal)
    },
  )

  await t.test('a fact published twice has two rows and counts once', async t => {
    const { clickhouse, journal, start } = await setUp(t, bridge)
    const facts = events(20)
    await journal.append([...facts, ...facts.toReversed()])
    await caughtUp(await start())
    await assertExact(clickhouse, journal)
    assert.equal((await select(clickhouse, 'select call_id from holdfast.calls')).length, 20)
  })

  await t.test(
    'a record that is no event is named in holdfast.rejected and in the history, and holds nothing up',
    async t => {
      const { clickhouse, journal, start } = await setUp(t, bridge)
      const good = event()
      const spoilt: [NewRecord, RegExp][] = [
        [{ ...good, value: '{"secret": "hunter2"' }, /not a JSON object/],
        [{ ...good, value: '["hunter2"]' }, /not a JSON object/],
        [{ ...good, headers: {} }, /ce_type/],
        [{ ...good, headers: { ...good.headers, ce_type: 'com.example.other' } }, /ce_type/],
        [{ ...good, headers: { ...good.headers, ce_time: 'hunter2' } }, /ce_time/],
        [{ ...good, headers: { ...good.headers, ce_id: 'another:1' } }, /ce_id/],
        [{ ...good, value: good.value.replace('"acme"', '7') }, /tenant is not text/],
        [{ ...event({ epoch: -1 }) }, /epoch is not a whole number/],
        [{ ...event({ receivedAt: 'hunter2' }) }, /receivedAt is not a time/],
        [{ ...event({ dispatchedAt: '9999-01-01T00:00:00.000Z' }) }, /dispatchedAt is not a time/],
      ].map(([record, reason]) => [{ ...(record as NewRecord), partition: 3 }, reason as RegExp])
      await journal.append(spoilt.flatMap(([record]) => [record, { ...event(), partition: 3 }]))
      bridge.breakNext({ when: /^INSERT INTO holdfast\.events/, cut: 'after' })
      await caughtUp(await start())

      const rows = await select<{ offset: string; reason: string; data: string; type: string; tenant: string }>(
        clickhouse,
        'select journal_offset as offset, reason, data, type, tenant from holdfast.events order by offset',
      )
      assert.equal(rows.length, spoilt.length * 2)
      const rejected = journal.records(topics.rejected.name)
      assert.equal(new Set(rejected.map(record => record.key)).size, spoilt.length)
      for (const [index, [record, reason]] of spoilt.entries()) {
        const row = rows[index * 2]!
        assert.equal(row.type, 'record.rejected')
        assert.match(row.reason, reason)
        assert.equal(
          JSON.parse(row.data).commitment,
          `sha256:${createHash('sha256').update(record.value).digest('hex')}`,
        )
        const told = JSON.parse(rejected[index]!.value)
        assert.deepEqual(told.reference, { topic: topics.events.name, partition: 3, offset: index * 2 })
        assert.equal(told.commitment, JSON.parse(row.data).commitment)
      }
      assert.ok(!JSON.stringify([rows, rejected]).includes('hunter2'))
    },
  )

  await t.test('what has no column and what JSON can hold and text cannot are kept', async t => {
    const { clickhouse, journal, start } = await setUp(t, bridge)
    const record = event({ reason: "NUL \0, emoji \u{1f600}, quote ' and \\ and\nbreak", arguments: '{"a":"\\u0000"}' })
    const value = record.value.replace(
      /}$/,
      ',"zebra":1,"approver":{"by":"ann","at":[1,2]},"conversation":"half \\ud800 pair"}',
    )
    await journal.append([{ ...record, value }])
    await caughtUp(await start())
    const [row] = await select<Record<string, string>>(
      clickhouse,
      'select reason, arguments, data, conversation, epoch, received_at from holdfast.events',
    )
    assert.deepEqual(row, {
      reason: "NUL \0, emoji \u{1f600}, quote ' and \\ and\nbreak",
      arguments: '{"a":"\\u0000"}',
      data: '{"approver":{"at":[1,2],"by":"ann"},"zebra":1}',
      conversation: 'half \ufffd pair',
      epoch: 0,
      received_at: null,
    })
  })

  await t.test('what waits when the sink stops is written first', async t => {
    const { clickhouse, journal, start } = await setUp(t, bridge)
    const sink = await start()
    await journal.append(events(2_500))
    await until(() => journal.committed(0) >= 0 || journal.committed(1) >= 0 || journal.committed(2) >= 0)
    await journal.append(events(10))
    await sink.stop()
    const lag = await sink.lag()
    const rows = await rowsOf(clickhouse)
    for (const { partition, end, lag: behind } of lag)
      assert.equal(rows.filter(row => row.partition === partition).length, end - behind)
    await caughtUp(await start())
    await assertExact(clickhouse, journal)
  })

  await t.test('an insert that its sink sends only after it was replaced is refused by the store itself', async t => {
    const { clickhouse, journal, start } = await setUp(t, bridge)
    const real = historyOf(clickhouse)
    let heldUp: (() => void) | undefined
    let refused: unknown
    await journal.append(events(300))
    const first = await start({
      ...real,
      insert: async (rows, bounds) => {
        if (heldUp !== undefined) return real.insert(rows, bounds)
        await new Promise<void>(resolve => {
          heldUp = resolve
        })
        await real.insert(rows, bounds).catch(error => {
          refused = error
          throw error
        })
      },
    })
    await until(() => heldUp !== undefined)
    // The journal in memory hands everything to both: the first one does not know that it was replaced.
    const second = await start()
    await until(async () => (await rowsOf(clickhouse)).length === 300)
    await caughtUp(second)
    heldUp?.()
    await until(() => refused !== undefined)
    assert.match(String(refused), /the insert began too late/)
    // A journal gives a partition to one at a time; the one in memory goes on giving it to both.
    await second.stop()
    await journal.append(events(100))
    await caughtUp(first)
    await until(async () => (await rowsOf(clickhouse)).length >= 400)
    await first.stop()
    await assertExact(clickhouse, journal)
  })

  await t.test(
    'who follows a sink that left in order waits for nothing, who follows a dead one waits it out',
    async t => {
      const { clickhouse, journal, start } = await setUp(t, bridge)
      const patient = { fence: { sendMs: 3_600_000, insertMs: 10_000, slackMs: 0 } }
      await journal.append(events(50))
      const first = await start(undefined, patient)
      await caughtUp(first)
      await first.stop()
      await journal.append(events(50))
      const second = await start(undefined, patient)
      await caughtUp(second)
      await second.stop()
      const third = await start(diesSilently(historyOf(clickhouse)), patient)
      await journal.append(events(50))
      await caughtUp(third)
      await third.stop()
      await journal.append(events(50))
      const startedAt = performance.now()
      const last = await start(undefined, { fence: { sendMs: 300, insertMs: 1_000, slackMs: 0 } })
      await caughtUp(last)
      assert.ok(performance.now() - startedAt >= 1_300)
      await assertExact(clickhouse, journal)
    },
  )

  await t.test('random doubts, deaths and rebalances: nothing lost, nothing doubled', async t => {
    const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000)
    t.diagnostic(`SEED=${seed}`)
    let state = seed
    const random = (below: number) => {
      state = (state * 1_103_515_245 + 12_345) % 2_147_483_648
      return Math.floor((state / 2_147_483_648) * below)
    }
    const { clickhouse, journal, start } = await setUp(t, bridge)
    const real = historyOf(clickhouse)
    const doubtful: History = {
      ...real,
      insert: async rows => {
        const fate = random(4)
        if (fate === 0) throw new Error('nothing took effect')
        if (fate === 1) await real.insert(rows.filter(() => random(2) === 0))
        if (fate !== 1) await real.insert(rows)
        if (fate < 3) throw new Error('something took effect')
      },
    }
    let sink = await start(doubtful)
    for (let step = 0; step < 30; step += 1) {
      await journal.append(events(1 + random(150)))
      await new Promise(resolve => setTimeout(resolve, random(30)))
      const fate = random(6)
      journal.loseCommits(random(3) === 0)
      if (fate === 0) await journal.rebalance()
      if (fate === 1) {
        await sink.stop()
        sink = await start(doubtful)
      }
    }
    journal.loseCommits(false)
    await sink.stop()
    sink = await start()
    await caughtUp(sink)
    await assertExact(clickhouse, journal)
  })
})
