import assert from 'node:assert/strict'
import test from 'node:test'
import { replay } from '../../services/audit/replay/replay.ts'
import { eventRecord } from '../../shared/events/event.ts'
import { createPostgresJournal } from '../../shared/journal/postgres/journal.ts'
import { topics } from '../../shared/journal/topics.ts'
import { runCli } from '../helpers/cli.ts'
import { incidentAt } from '../helpers/incident.ts'
import { silent, testPostgres } from '../helpers/postgres.ts'
import { replaySuite } from '../helpers/replay-suite.ts'

test('a replay over the journal in PostgreSQL', async t => {
  const { url } = await (await testPostgres()).database()
  const journal = await createPostgresJournal({ url, log: silent, topics: Object.values(topics) })
  t.after(() => journal.close())
  await replaySuite(t, journal)

  const began = Date.now() - 60_000
  const range = { from: began - 1, to: began + 3_600_000 }
  const ask = () =>
    replay({ journal, now: Date.now, progress: () => {} }, { range, filters: {}, lateMs: 0, follow: true })

  await t.test('the command tells it, and misuse says what to do', async () => {
    const env = { DATABASE_URL: url }
    const ran = await runCli(['replay', '--from', '4h', '--late', '4h', '--json', '--key', 'invoice-1042'], {
      env,
      cwd: '.',
    })
    assert.equal(ran.exit, 0, ran.err)
    const told = JSON.parse(ran.out) as { stories: { after: { state: string } }[]; moments: { at: string }[] }
    assert.equal(told.stories[0]?.after.state, 'succeeded')
    assert.match(told.moments[0]?.at ?? '', /^\d{4}-.*Z$/)
    for (const [words, expected] of [
      [[], /Say with --from when it began/],
      [['--from', 'yesterday'], /--from must be a duration such as 2h/],
      [['--from', '1h', '--to', '2h'], /--from must be before --to/],
    ] as const) {
      const misused = await runCli(['replay', ...words], { env, cwd: '.' })
      assert.equal(misused.exit, 2)
      assert.match(misused.err, expected)
    }
  })

  await t.test('a record that is no event and an event told in two ways are named', async () => {
    const { events, operationId } = incidentAt(began)
    const [first] = events.map(eventRecord)
    await journal.append([first!, { ...first!, value: first!.value.replace('payments', 'elsewhere') }])
    await journal.append([{ ...first!, value: 'no event' }])
    const incident = await ask()
    assert.deepEqual(incident.journal.contradicted, [`${operationId}:1`])
    assert.equal(incident.journal.unreadable.length, 1)
  })

  await t.test('the part of the range that retention has deleted is named, and so is what hangs on it', async () => {
    await journal.trim({ topic: topics.events.name, olderThanMs: -1_000, keepUncommitted: false })
    const { events, operationId } = incidentAt(began)
    await journal.append(events.slice(1).map(eventRecord))
    const incident = await ask()
    assert.ok(incident.journal.lost.length > 0)
    assert.ok(incident.journal.lost.every(({ kind, to }) => kind === 'trimmed' && to > 0))
    const story = incident.stories.find(({ id }) => id === operationId)
    assert.match(story?.problem ?? '', /events 1 to 1 are not in what was read/)
    assert.equal(story?.after?.state, 'succeeded', 'as the events themselves say')
  })
})
