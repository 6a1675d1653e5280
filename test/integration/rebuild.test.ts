/** The history is filled from the journal as audit filled it, and held against it, over a ClickHouse server. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { startLocalClickhouse } from '../../infra/clickhouse/local/start.ts'
import { rebuild } from '../../services/audit/rebuild/rebuild.ts'
import { historyOf } from '../../services/audit/sink/history.ts'
import { sinkDefaults, startSink } from '../../services/audit/sink/sink.ts'
import { connectClickhouse } from '../../shared/clickhouse/connect.ts'
import { eventColumns } from '../../shared/clickhouse/events.ts'
import { eventRecord } from '../../shared/events/event.ts'
import { createPostgresJournal } from '../../shared/journal/postgres/journal.ts'
import { topics } from '../../shared/journal/topics.ts'
import { select, silent, temporaryFolder } from '../helpers/clickhouse.ts'
import { runCli } from '../helpers/cli.ts'
import { eventually } from '../helpers/node.ts'
import { officeDay } from '../helpers/office-day.ts'
import { testPostgres } from '../helpers/postgres.ts'

test('rebuild and diff', async t => {
  await using folder = await temporaryFolder()
  const { url } = await (await testPostgres()).database()
  const journal = await createPostgresJournal({ url, log: silent, topics: Object.values(topics) })
  t.after(() => journal.close())
  const local = await startLocalClickhouse({ dataDir: folder.path, port: 0, log: silent })
  t.after(() => local.stop())
  const clickhouse = await connectClickhouse({ url: local.url })
  t.after(() => clickhouse.close())
  const env = { DATABASE_URL: url, CLICKHOUSE_URL: local.url, HOLDFAST_DATA: folder.path }
  const run = (words: readonly string[]) => runCli(words, { env, cwd: folder.path })
  const change = (query: string) => clickhouse.client.command({ query: `${query} settings mutations_sync = 1` })
  const rows = () =>
    select<Record<string, unknown>>(
      clickhouse,
      `select ${eventColumns.join(', ')} from holdfast.events order by journal_partition, journal_offset`,
    )

  const [first, ...records] = officeDay().map(eventRecord)
  await journal.append([first!, { ...first!, value: 'no event' }, ...records])
  const sink = await startSink(
    { journal, history: historyOf(clickhouse), log: silent },
    { ...sinkDefaults, intervalMs: 10 },
  )
  await eventually(async () => ((await sink.lag()).every(({ lag }) => lag === 0) ? true : undefined))
  await sink.stop()
  const written = await rows()
  const all = records.length + 2
  assert.equal(written.length, all)

  await t.test('what audit wrote is what the journal says, in every column', async () => {
    const { exit, out, err } = await run(['diff'])
    assert.equal(exit, 0, `${out}${err}`)
    assert.match(out, new RegExp(`^Compared ${all} records: 0 missing, 0 extra, 0 doubled, 0 different\\.\n$`))
  })

  await t.test('each row that was changed behind its back is named', async () => {
    const place = ({ journal_partition, journal_offset }: Record<string, unknown>) =>
      `holdfast.events/${String(journal_partition)}/${String(journal_offset)}`
    const [deleted, changed, doubled] = written
    const at = (row: Record<string, unknown> | undefined) =>
      `journal_partition = ${String(row?.['journal_partition'])} and journal_offset = ${String(row?.['journal_offset'])}`
    const columns = eventColumns.join(', ')
    await change(`alter table holdfast.events delete where ${at(deleted)}`)
    await change(`alter table holdfast.events update reason = 'nothing', agent = 'x' where ${at(changed)}`).catch(() =>
      // agent is part of the order of the table: ClickHouse itself refuses to change it.
      change(`alter table holdfast.events update reason = 'nothing', code = 'x' where ${at(changed)}`),
    )
    await clickhouse.client.command({
      query: `insert into holdfast.events (${columns}) select ${columns} from holdfast.events where ${at(doubled)}`,
    })
    await clickhouse.client.command({
      query: `insert into holdfast.events (event_id, type, journal_topic, journal_partition, journal_offset, journal_time)
        values ('forged:1', 'call.succeeded', 'holdfast.events', 3, 4000000, now64(3))`,
    })
    const { exit, out, err } = await run(['diff'])
    assert.equal(exit, 1)
    assert.match(out, new RegExp(`^missing +${place(deleted!)} `, 'm'))
    assert.match(out, new RegExp(`^different +${place(changed!)} .* in code, reason$`, 'm'))
    assert.match(out, new RegExp(`^doubled +${place(doubled!)} `, 'm'))
    assert.match(out, /1 rows stand at offsets that the journal does not have/)
    assert.match(err, /4 differences were found/)
    const { listed, found } = JSON.parse((await run(['diff', '--json'])).out) as { listed: unknown[]; found: number }
    assert.deepEqual([listed.length, found], [3, 4])
  })

  await t.test('a comparison is gone on with where it was ended', async () => {
    assert.match((await run(['diff', '--resume'])).err, /There is no comparison to go on with/)
    const next = Object.fromEntries(Array.from({ length: 12 }, (_, partition) => [partition, 1_000_000]))
    const counts = { missing: 7, extra: 0, doubled: 0, different: 0 }
    writeFileSync(join(folder.path, 'diff.json'), JSON.stringify({ next, compared: 5, counts }))
    assert.match((await run(['diff', '--resume'])).out, /Compared 5 records: 7 missing/)
  })

  await t.test('a history that is not empty is not rebuilt', async () => {
    const { exit, err } = await run(['rebuild'])
    assert.equal(exit, 1)
    assert.match(err, /The history is not empty, and a rebuild fills an empty one only/)
  })

  await t.test('an empty one is, row by row as it was, also when it is cut off and begun again', async () => {
    await clickhouse.client.command({ query: 'truncate table holdfast.events' })
    const input = { journal, clickhouse, fenceMs: 0 }
    let left = 3
    const cut = () => {
      left -= 1
      if (left === 0) throw new Error('killed')
    }
    await assert.rejects(rebuild({ ...input, writer: 'one', progress: cut }, { everything: false }), /killed/)
    const some = (await rows()).length
    assert.ok(some > 0 && some < written.length)
    const rebuilt = await rebuild({ ...input, writer: 'two', progress: () => {} }, { everything: false })
    assert.deepEqual(
      { ...rebuilt, of: undefined },
      { records: all, rows: all - some, of: undefined, resumed: true, gone: 0, left: 0 },
    )
    assert.deepEqual(await rows(), written)
    assert.equal((await run(['diff'])).exit, 0)
  })

  await t.test('the command rebuilds what audit has committed, and leaves it the rest', async () => {
    await clickhouse.client.command({ query: 'truncate table holdfast.events' })
    await journal.append([first!])
    const { exit, out, err } = await run(['rebuild'])
    assert.equal(exit, 0, err)
    assert.equal(
      out,
      `${all} records of the journal, ${all} rows written.\n1 records are audit's to write: it has not committed them yet.\n`,
    )
    assert.match((await run(['diff'])).out, /1 records are not written yet, and not due/)
  })

  await t.test('a rebuild that another one has replaced writes no more', async () => {
    await clickhouse.client.command({ query: 'truncate table holdfast.events' })
    const input = { journal, clickhouse, fenceMs: 0 }
    let other: Promise<unknown> | undefined
    const overtaken = rebuild(
      {
        ...input,
        writer: 'slow',
        progress: () => {
          other ??= rebuild({ ...input, writer: 'fast', progress: () => {} }, { everything: true })
        },
      },
      { everything: true },
    )
    const outcomes = await Promise.allSettled([overtaken, overtaken.catch(() => other)])
    await other
    assert.deepEqual((await rows()).length, all + 1, JSON.stringify(outcomes))
  })
})
