import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { rejectionOf } from '../../services/audit/sink/rejected.ts'
import { keepOriginal, textOfColumns, textOfRow } from '../../services/audit/sink/original.ts'
import { eventFields, parseEvent, rejectedRow } from '../../services/audit/sink/row.ts'
import { columnIndex } from '../../shared/clickhouse/events.ts'
import { eventRecord, type HoldfastEvent } from '../../shared/events/event.ts'
import { leafOf, leafText } from '../../shared/proof/leaf.ts'

const event: HoldfastEvent = {
  type: 'call.succeeded',
  stream: 'op-1',
  sequence: 2,
  time: '2026-11-27T10:00:00.123Z',
  source: 'holdfast/broker',
  tenant: 'acme',
  agent: 'bot',
  callId: 'op-1',
  operationId: 'op-1',
  arguments: '{"b":1,"a":"é\\u0000\\n"}',
  finishedAt: '2026-11-27T10:00:00.120Z',
  durationMs: 0,
  isError: false,
  resultBytes: 0,
  truncated: ['arguments'],
  recovery: { replays: 1, next: 'probe' },
  settledBy: 'a person',
}
const placed = (record: ReturnType<typeof eventRecord>) => ({ ...record, offset: 5, time: 1_795_000_000_000 })

test('a row gives back the text of its leaf from its columns alone', () => {
  const written = eventRecord(event)
  const producer = { ce_producer: 'p-1', ce_sequence: '7', ce_settled: '5', ce_void: '2,4' }
  const record = placed({ ...written, headers: { ...written.headers, ...producer } })
  const parsed = parseEvent(record)
  assert.ok('row' in parsed)
  const row = keepOriginal(parsed.row, record)
  assert.equal(row[columnIndex('original')], '', 'nothing is stored twice')
  assert.equal(textOfColumns(row), leafText(record))
  assert.match(
    leafText(record),
    /^\{"data":\{"agent":"bot".*\},"id":"op-1:2","producer":"p-1","sequence":"7","settled":"5","source":"holdfast\/broker","time":"2026-11-27T10:00:00.123Z","type":"dev.holdfast.call.succeeded.v1","void":"2,4"\}$/,
  )
})

test('whatever an event looks like, its row gives back exactly the bytes that were hashed', t => {
  const seed = Number(process.env['SEED'] ?? Date.now() & 0x7fffffff)
  t.diagnostic(`SEED=${seed}`)
  const odd = fc.oneof(
    fc.constantFrom(null, '', 0, [], '2026-11-27T10:00:00Z', '2026-11-27T10:00:00.000Z', '2026-02-30T00:00:00.000Z'),
    fc.string({ unit: 'binary' }),
    fc.nat(),
    fc.boolean(),
    fc.array(fc.string()),
    fc.jsonValue(),
  )
  let rows = 0
  fc.assert(
    fc.property(
      fc.dictionary(fc.oneof(fc.constantFrom(...eventFields.keys()), fc.string()), odd, { maxKeys: 6 }),
      fc.constantFrom('', ' '),
      fc.constantFrom('2026-11-27T10:00:00.123Z', '2026-11-27T10:00:00Z', '2026-11-27T11:00:00+01:00'),
      fc.record(
        { ce_producer: fc.string(), ce_sequence: fc.constantFrom('0', '1', '07'), ce_void: fc.string() },
        { requiredKeys: [] },
      ),
      (fields, space, time, producer) => {
        const written = eventRecord(event)
        const value = JSON.stringify({ ...fields, stream: 'op-1', sequence: 2, tenant: 'acme' }, null, space)
        const record = placed({ ...written, value, headers: { ...written.headers, ce_time: time, ...producer } })
        const parsed = parseEvent(record)
        if (!('row' in parsed)) return
        rows += 1
        assert.equal(textOfRow(keepOriginal(parsed.row, record)), leafText(record))
      },
    ),
    { seed, numRuns: 150 },
  )
  assert.ok(rows > 20, `${rows} rows`)
})

test('the row of a record that is no event carries its leaf', () => {
  const record = { ...placed(eventRecord(event)), value: 'not JSON' }
  const row = rejectedRow(record, rejectionOf(record, 'the value is not a JSON object'))
  assert.equal(JSON.parse(row[columnIndex('data')] as string).leaf, leafOf(record).toString('base64'))
})
