import assert from 'node:assert/strict'
import test from 'node:test'
import { AppendRefused, type Journal } from '../../shared/journal/port.ts'
import { topics } from '../../shared/journal/topics.ts'
import { callBody, resultOf, startHarness } from '../helpers/front/harness.ts'

const textOf = ({ content }: { content: Array<{ text: string }> }) => content.map(({ text }) => text).join('\n')

/** Appends of events are held back until released, or refused. */
function gate() {
  let release = () => {}
  const opened = new Promise<void>(resolve => {
    release = resolve
  })
  let refuses = false
  return {
    release: () => release(),
    refuse: () => {
      refuses = true
    },
    around: (journal: Journal): Journal => ({
      ...journal,
      async append(records) {
        if (records.every(({ topic }) => topic !== topics.events.name)) return journal.append(records)
        if (refuses) throw new AppendRefused('not connected')
        await opened
        return journal.append(records)
      },
    }),
  }
}

test('a read is answered with the bytes of the server and leaves two records, without the broker', async t => {
  const { post, events, broker, lab } = await startHarness(t)
  const result = await resultOf(
    await post(callBody('echo', { password: 'hunter2', n: 1 }, { _meta: { 'example.com/x': 1, progressToken: 5 } })),
  )
  assert.equal(result.content[0]?.text, '{"password":"hunter2","n":1}')
  assert.equal(result.isError ?? false, false)
  const [requested] = await events('call.requested')
  const [finished] = await events('call.succeeded')
  assert.equal(requested?.arguments, '{"password":"[redacted]","n":1}')
  assert.equal(requested?.effectSource, 'readOnlyHint')
  assert.equal(requested?.policyRule, 'role all allows lab:*')
  assert.equal(finished?.stream, requested?.stream)
  assert.deepEqual([requested?.sequence, finished?.sequence], [1, 2])
  assert.ok(Number(finished?.resultBytes) > 0)
  assert.equal(broker.commands.length, 0)
  assert.equal(lab.calls()[0]?.meta['example.com/x'], 1)
})

test('a read needs no key, and one that comes along is an argument like any other', async t => {
  const { post, lab } = await startHarness(t)
  await post(callBody('echo', { idempotency_key: 'mine' }))
  assert.deepEqual(lab.calls()[0]?.arguments, { idempotency_key: 'mine' })
})

test("the server's numbers and spelling survive a read (I10)", async t => {
  const { post, lab } = await startHarness(t)
  lab.behave('big_numbers')
  const text = await (await post(callBody('echo', {}))).text()
  assert.match(text, /12345678901234567890/)
  assert.match(text, /"dev.holdfast\/call"/)
})

test('a read is not answered before its records are acknowledged', async t => {
  const journal = gate()
  const { post, lab } = await startHarness(t, { journalForFront: journal.around })
  let answered = false
  const call = post(callBody('echo', { n: 1 })).then(response => {
    answered = true
    return response
  })
  await lab.waitForCall()
  await new Promise(resolve => setTimeout(resolve, 50))
  assert.equal(answered, false)
  journal.release()
  assert.equal((await resultOf(await call)).content[0]?.text, '{"n":1}')
})

test('a read whose records are refused is withheld, and says that the journal is the cause', async t => {
  const journal = gate()
  journal.refuse()
  const { post } = await startHarness(t, { journalForFront: journal.around })
  const response = await post(callBody('echo', { n: 'the data' }))
  const body = await response.text()
  assert.match(body, /"code":"journal_unavailable"/)
  assert.doesNotMatch(body, /the data/)
})

test('a best-effort read is answered while the journal is silent, and recorded when it is back', async t => {
  const journal = gate()
  const { post, events } = await startHarness(t, {
    journalForFront: journal.around,
    server: '    tools: { echo: { audit: best-effort } }',
  })
  assert.equal((await resultOf(await post(callBody('echo', { n: 1 })))).content[0]?.text, '{"n":1}')
  journal.release()
  assert.equal((await events('call.succeeded')).length, 1)
})

test("a server's JSON-RPC error goes on as it came", async t => {
  const { post, lab, events } = await startHarness(t)
  lab.behave('rpc_error')
  const response = await post(callBody('echo', {}))
  const { error } = (await response.json()) as { error: { code: number; message: string } }
  assert.equal(typeof error.code, 'number')
  assert.equal((await events('call.failed'))[0]?.isError, true)
})

test('a read that breaks is said to be repeatable, and is on record as lost', async t => {
  const { post, lab, events } = await startHarness(t)
  lab.behave('reset_after')
  const result = await resultOf(await post(callBody('echo', {})))
  assert.equal(result.isError, true)
  assert.match(textOf(result), /^THE READ WAS NOT ANSWERED\..*may be repeated\.$/)
  assert.equal((await events('call.lost')).length, 1)
})

test('a read takes no longer than the time-out of its tool', async t => {
  const { post, lab, events } = await startHarness(t, { server: '    timeout: 100ms' })
  lab.behave('hang')
  const result = await resultOf(await post(callBody('echo', {})))
  assert.match(textOf(result), /did not answer within the time-out/)
  assert.equal((await events('call.lost'))[0]?.code, 'timeout')
})

test('a read with arguments that do not fit is refused and on record', async t => {
  const tools = [
    { name: 'get', inputSchema: { type: 'object', required: ['id'] }, annotations: { readOnlyHint: true } },
  ]
  const { post, lab, events } = await startHarness(t, { lab: { tools } })
  const result = await resultOf(await post(callBody('get', {})))
  assert.match(textOf(result), /required property 'id'/)
  assert.equal((await events('call.not_accepted'))[0]?.code, 'invalid_arguments')
  assert.equal(lab.calls().length, 0)
})

test("a call whose subject's key cannot be had goes on, and nothing personal of it is recorded", async t => {
  const server = '    tools: { echo: { personal: { subject: $.id, keep: [$.name] } } }'
  const { post, events, pool } = await startHarness(t, { server })
  await pool.query('alter table subject_keys rename to gone')
  const result = await resultOf(await post(callBody('echo', { id: 'p-1', name: 'Ann', n: 1 })))
  assert.equal(result.content[0]?.text, '{"id":"p-1","name":"Ann","n":1}')
  const [requested] = await events('call.requested')
  const [finished] = await events('call.succeeded')
  assert.deepEqual(JSON.parse(String(requested?.arguments)), { id: '[personal]', name: '[personal]', n: 1 })
  assert.deepEqual([requested?.argumentsCommitment, finished?.resultCommitment], ['none', 'none'])
  assert.deepEqual([requested?.sealed, requested?.subject], [undefined, undefined])
})
