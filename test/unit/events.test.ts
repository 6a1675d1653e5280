import assert from 'node:assert/strict'
import { readFileSync, readdirSync } from 'node:fs'
import test from 'node:test'
import { parseEvent } from '../../services/audit/sink/row.ts'
import { codes } from '../../shared/call/codes.ts'
import { type ErrorClass, errorClasses, errorClassOf } from '../../shared/call/error-class.ts'
import { columnIndex, type EventColumn, eventColumns } from '../../shared/clickhouse/events.ts'
import { eventTypes } from '../../shared/events/catalogue.ts'
import { type HoldfastEvent, eventRecord } from '../../shared/events/event.ts'
import { type EventField, fields } from '../../shared/events/fields.ts'
import { readWireType, steps, upcast } from '../../shared/events/upcast.ts'
import type { JournalRecord } from '../../shared/journal/port.ts'

const all = Object.entries<EventField>(fields)
const place = { partition: 0, offset: 7, time: Date.parse('2026-11-20T10:00:00.000Z') }

function valuesOf(record: Omit<JournalRecord, 'partition' | 'offset' | 'time'>) {
  const parsed = parseEvent({ ...record, ...place })
  if ('rejected' in parsed) assert.fail(parsed.rejected)
  return (column: EventColumn) => parsed.row[columnIndex(column)]
}

test('every column of the history is a field that is documented, and every field with a column has one', () => {
  const placed = ['journal_topic', 'journal_partition', 'journal_offset', 'journal_time', 'data', 'original']
  const named = all.flatMap(([, { column }]) => column ?? [])
  assert.deepEqual([...named, ...placed].toSorted(), [...eventColumns].toSorted())
})

test('every column that is inserted is made by a migration', () => {
  const folder = new URL('../../infra/clickhouse/', import.meta.url)
  const sql = readdirSync(folder)
    .filter(name => name.endsWith('.sql'))
    .map(name => readFileSync(new URL(name, folder), 'utf8'))
    .join('\n')
  for (const column of eventColumns) assert.match(sql, new RegExp(`^\\s+(?:add column if not exists )?${column} `, 'm'))
})

test('what an event says stands in the column of its field, and what has none in data', () => {
  const example = {
    type: 'call.dispatched',
    stream: 'op',
    sequence: 1,
    time: '2026-11-20T10:00:00.000Z',
    source: 'holdfast/broker',
    tenant: 'acme',
  } as const satisfies HoldfastEvent
  const sample = {
    text: 'x',
    time: '2026-11-20T10:00:00.000Z',
    count: 3,
    amount: 4,
    flag: true,
    texts: ['y'],
    json: {},
  }
  const data = Object.fromEntries(
    all
      .filter(([name, { attribute }]) => attribute === undefined && !(name in example))
      .map(([name, { kind }]) => [name, sample[kind]]),
  )
  const at = valuesOf(eventRecord({ ...example, ...data } as HoldfastEvent) as JournalRecord)
  const absent = valuesOf(eventRecord(example) as JournalRecord)
  for (const [name, { column, kind }] of all.filter(each => each[0] in data)) {
    if (column === undefined) assert.deepEqual(JSON.parse(String(at('data')))[name], sample[kind], name)
    else assert.notDeepEqual(at(column as EventColumn), absent(column as EventColumn), name)
  }
  assert.equal(at('version'), 1)
})

test('an event of an older version is read as the newest, and its version is told', () => {
  // As release 0.1 wrote it.
  const record = {
    topic: 'holdfast.events',
    key: '01M/resolved/1',
    headers: {
      'content-type': 'application/json',
      ce_specversion: '1.0',
      ce_id: '01M/resolved/1:1',
      ce_type: 'dev.holdfast.call.resolved.v1',
      ce_source: 'holdfast/broker',
      ce_time: '2026-11-27T08:00:00.000Z',
    },
    value:
      '{"stream":"01M/resolved/1","sequence":1,"tenant":"acme","keyspace":"dev","server":"bank","agent":"anna","resolvedBy":"anna","tool":"transfer","key":"k","effect":"write","callId":"01M","operationId":"01M","state":"succeeded","epoch":1,"round":1,"reason":"looked","evidence":"person"}',
  }
  const at = valuesOf(record)
  assert.deepEqual([at('type'), at('version'), at('settled_by'), at('data')], ['call.resolved', 1, 'anna', '{}'])
  const newest = { ...record.headers, ce_type: 'dev.holdfast.call.resolved.v2' }
  const value = record.value.replace('resolvedBy', 'settledBy')
  const same = valuesOf({ ...record, headers: newest, value })
  for (const column of eventColumns.filter(each => each !== 'version'))
    assert.deepEqual(at(column), same(column), column)
  assert.equal(same('version'), 2)
})

test('an event of a version that is not known is not guessed at', () => {
  const { headers, ...record } = eventRecord({
    type: 'call.resolved',
    stream: 's',
    sequence: 1,
    time: '2026-11-20T10:00:00.000Z',
    source: 'x',
    tenant: '',
  })
  const newer = { ...record, ...place, headers: { ...headers, ce_type: 'dev.holdfast.call.resolved.v3' } }
  assert.deepEqual(parseEvent(newer), { rejected: 'ce_type has a version that this release does not know' })
})

test('every version of a type has a step to the next one, and no step is for nothing', () => {
  for (const [type, { version }] of Object.entries(eventTypes)) {
    for (let from = 1; from < version; from += 1) assert.ok(`${type} ${from}` in steps, `${type} ${from}`)
    assert.deepEqual(upcast(type, version, { a: 1 }), { a: 1 })
  }
  for (const step of Object.keys(steps)) {
    const [type = '', from] = step.split(' ')
    assert.ok(type in eventTypes && Number(from) < eventTypes[type as keyof typeof eventTypes].version, step)
  }
  assert.deepEqual(readWireType('dev.holdfast.call.denied.v1'), { type: 'call.denied', version: 1 })
  assert.equal(readWireType('dev.holdfast.call.denied'), undefined)
})

test('every code has a class, and every class a code', () => {
  const used = new Set(Object.keys(codes).map(code => errorClassOf(code as keyof typeof codes)))
  assert.deepEqual([...used].toSorted(), (Object.keys(errorClasses) as ErrorClass[]).toSorted())
})

test('each type and field is mapped: to a class and status of OCSF, to a name of OpenTelemetry', () => {
  for (const [name, { ocsf, otel, means }] of all) {
    assert.match(ocsf ?? '', /^[a-z_]+(?:\[\])?(?:\.[a-z_]+)*$/, name)
    assert.match(otel ?? '', /^[a-z_]+(?:\.[a-z_]+)*$/, name)
    assert.ok(means.endsWith('.'), name)
  }
  for (const [name, { ocsf }] of Object.entries(eventTypes)) assert.ok([6002, 6003].includes(ocsf.class), name)
})
