/** What a replay tells holds over every journal. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { incidentHtml } from '../../services/audit/replay/render/html.ts'
import { incidentText } from '../../services/audit/replay/render/text.ts'
import { type Incident, replay } from '../../services/audit/replay/replay.ts'
import { table } from '../../services/cli/table.ts'
import { eventRecord } from '../../shared/events/event.ts'
import type { Journal } from '../../shared/journal/port.ts'
import { incidentAt, type TestIncident } from './incident.ts'

const hour = 3_600_000
type Asked = Partial<Parameters<typeof replay>[1]>

/** Appends an incident, every event twice and in the wrong order, as a relay that is killed may. */
export async function appendIncident(journal: Journal, began: number): Promise<TestIncident> {
  const incident = incidentAt(began)
  const records = incident.events.map(eventRecord)
  await journal.append(records.toReversed())
  await journal.append(records)
  return incident
}

export async function replaySuite(t: test.TestContext, journal: Journal): Promise<void> {
  const incident = await appendIncident(journal, Date.now() - 3 * hour)
  const { began, operationId, again, twin, read } = incident
  const all = { from: began - 1, to: began + hour }
  const told = (asked: Asked = {}): Promise<Incident> =>
    replay(
      { journal, now: Date.now, progress: () => {} },
      { range: all, filters: {}, lateMs: 4 * hour, follow: true, ...asked },
    )
  const says = ({ moments }: Incident, of: string) =>
    moments.filter(({ story }) => story === of).map(({ at, party, says }) => `${at - began} ${party}: ${says}`)

  await t.test('an incident is told once and in order, whatever order the journal has it in', async () => {
    const whole = await told()
    assert.equal(whole.journal.repeats, incident.events.length)
    assert.deepEqual(says(whole, operationId), [
      '0 agent: asks for payments:transfer with key invoice-1042',
      '5 holdfast: has the intent to send on disk, attempt 1',
      '5 server: may have the request from now on',
      '1000 holdfast: has no definite answer (timeout)',
      '1000 agent: is given: MAY HAVE HAPPENED',
      `2000 agent: asks for payments:transfer with key invoice-1042, call ${again}`,
      '2005 agent: is given again what is on record: MAY HAVE HAPPENED',
      `3000 agent: asks for payments:transfer with key invoice-1042-again, call ${twin}`,
      `3005 holdfast: refuses it (possible_duplicate): the same change is not settled under another key, of call ${operationId}`,
      '3005 agent: is given: NOTHING WAS SENT for this request',
      '600000 holdfast: a person (anna) settles it as succeeded: seen in the <books>',
      '600000 holdfast: records succeeded by person',
      "600000 agent: is given, if it waits or asks: the server's answer (success)",
    ])
    assert.deepEqual(
      whole.answers.map(({ callId, told: answer }) => [callId, answer]),
      [
        [operationId, 'MAY HAVE HAPPENED'],
        [again, 'MAY HAVE HAPPENED'],
        [twin, 'NOTHING WAS SENT (possible_duplicate)'],
        [read, 'nothing yet: it waits, or was told STILL RUNNING'],
      ],
    )
    const [gap, open] = whole.gaps
    assert.deepEqual(
      { sent: gap?.sentAt, since: gap?.unknownSince, at: gap?.settled?.at, by: gap?.settled?.by },
      { sent: began + 5, since: began + 1_000, at: began + 600_000, by: 'anna' },
    )
    assert.equal(open?.story, read)
  })

  await t.test('the state of an operation at any moment is what the broker had', async () => {
    for (const [ms, state] of [
      [4, undefined],
      [5, 'executing'],
      [999, 'executing'],
      [1_000, 'unknown'],
      [600_000, 'succeeded'],
    ] as const) {
      const { known } = await told({ at: began + ms })
      const own = known?.stories.find(({ story }) => story === operationId)
      assert.equal(own?.standing?.state, state, `after ${ms} ms`)
      assert.equal(own?.standing?.operation?.sequence, state && { executing: 1, unknown: 2, succeeded: 3 }[state])
    }
    const { known } = await told({ at: began + 500 })
    const own = known?.stories.find(({ story }) => story === operationId)
    assert.match(own?.agent?.says ?? '', /asks for/)
    assert.match(own?.holdfast?.says ?? '', /intent to send/)
    assert.match(own?.server?.says ?? '', /may have the request/)
  })

  await t.test('what began before the range and what ends after it is found', async () => {
    const middle = await told({ range: { from: began + 500, to: began + 1_500 } })
    const [story] = middle.stories
    assert.deepEqual(
      [story?.before?.state, story?.after?.state, story?.later?.state, story?.problem],
      ['executing', 'unknown', 'succeeded', undefined],
    )
    const alone = await told({ range: { from: began + 500, to: began + 1_500 }, follow: false })
    assert.deepEqual([alone.stories[0]?.after?.state, alone.stories[0]?.later], ['unknown', undefined])
    assert.equal(alone.gaps[0]?.settled, undefined)
  })

  await t.test('a filter leaves what has to do with it, whole', async () => {
    const ids = async (filters: Asked['filters']) =>
      (await told({ filters: filters as NonNullable<Asked['filters']> })).stories.map(({ id }) => id)
    assert.deepEqual(await ids({ key: 'invoice-1042-again' }), [operationId])
    assert.deepEqual(await ids({ call: again }), [operationId])
    assert.deepEqual(await ids({ agent: 'anna', server: 'payments' }), [operationId])
    assert.deepEqual(await ids({ call: read }), [read])
    assert.deepEqual(await ids({ conversation: 'case-7' }), [operationId, read])
    assert.deepEqual(await ids({ agent: 'support-bot', key: 'another' }), [])
  })

  await t.test('what the journal took after the time that was read is not told, and the notes say so', async () => {
    const early = await told({ lateMs: hour })
    assert.equal(early.stories.length, 0)
    assert.match(incidentText(early, { colour: false, table }), /Events that the journal took after .* were read only/)
  })

  await t.test('the text has no colour unless asked, and the page loads nothing and runs nothing', async () => {
    const whole = await told()
    const plain = incidentText(whole, { colour: false, table })
    assert.ok(!plain.includes('\u001b'))
    assert.ok(incidentText(whole, { colour: true, table }).includes('\u001b[36magent'))
    assert.match(plain, /settled .* as succeeded by person \(anna\): seen in the <books>\. Open for 9 min 59 s/)
    const page = incidentHtml(whole)
    assert.ok(page.includes('seen in the &lt;books&gt;') && !page.includes('<books>'))
    assert.doesNotMatch(page, /<script|<link|<img|src=|url\(|https?:/)
    assert.equal(page.match(/<svg /g)?.length, 2)
    assert.equal(page.match(/<rect class="unknown"/g)?.length, 2)
  })
}
