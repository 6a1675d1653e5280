/** An event that was published twice has two rows and counts once: in every view, and in every query of docs/auditors.md. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import test from 'node:test'
import { insertEvents } from '../../shared/clickhouse/events.ts'
import { eventId, type HoldfastEvent } from '../../shared/events/event.ts'
import { createNumbering } from '../../shared/events/numbering.ts'
import { asRecord, openHistory, rowOf, select, temporaryFolder } from '../helpers/clickhouse.ts'
import { officeDay } from '../helpers/office-day.ts'

const page = readFileSync(new URL('../../docs/auditors.md', import.meta.url), 'utf8')
const documented = [...page.matchAll(/```sql\n([\s\S]*?)```/g)].map(([, sql]) => (sql ?? '').trim())

/** As text, in no order: what merely depends on when it is asked is left out. */
const textOf = (rows: readonly object[]) =>
  rows.map(row => JSON.stringify({ ...row, age_seconds: undefined })).toSorted()

test('whatever is asked, an event that was published twice counts once', async t => {
  await using folder = await temporaryFolder()
  await using history = await openHistory(folder.path)
  const facts = [...new Map<string, HoldfastEvent>(officeDay().map(event => [eventId(event), event])).values()]
  const numbering = createNumbering('the process')
  const records = facts.map((event, index) => {
    const record = asRecord(event, { partition: index % 3, offset: index })
    numbering.stamp(record)
    // Every fifth event was lost after its process thought that it was on record: `gaps` has something to say.
    numbering.end(record, 'recorded')
    return record
  })
  const published = records.filter((_, index) => index % 5 !== 3)
  await insertEvents(history, published.map(rowOf))

  const views = await select<{ name: string }>(
    history,
    "select name from system.tables where database = 'holdfast' and engine = 'View' order by name",
  )
  assert.ok(views.length >= 5 && documented.length >= 8)
  const questions = [...views.map(({ name }) => `select * from holdfast.${name}`), ...documented]
  const ask = async (sql: string) => textOf(await select<object>(history, sql))
  const before = new Map<string, string[]>()
  for (const sql of questions) before.set(sql, await ask(sql))
  assert.ok([...before.values()].filter(rows => rows.length > 0).length >= 6, 'the questions are about something')

  const again = published.toReversed().map(record => ({ ...record, offset: record.offset + 1_000 }))
  await insertEvents(history, again.map(rowOf))
  const [count] = await select<{ n: number }>(history, 'select toUInt32(count()) as n from holdfast.events')
  assert.equal(count?.n, 2 * published.length)
  for (const sql of questions)
    await t.test(sql.slice(0, 100), async () => assert.deepEqual(await ask(sql), before.get(sql)))
})
