import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { checkGaps } from '../../services/audit/check/gaps.ts'
import { eventOf } from '../../services/audit/check/event.ts'
import { eventRecord } from '../../shared/events/event.ts'
import { createNumbering, type End } from '../../shared/events/numbering.ts'
import { gapsIn, readRanges, writeRanges } from '../../shared/events/number-ranges.ts'
import type { NewRecord } from '../../shared/journal/port.ts'

const event = (id: number): NewRecord =>
  eventRecord({
    type: 'call.denied',
    stream: `call-${id}`,
    sequence: 1,
    time: '2026-11-20T10:00:00.000Z',
    source: 'holdfast/front',
    tenant: 'acme',
  })

const readAt = Date.parse('2026-11-21T00:00:00.000Z')
const gapsOf = (records: readonly NewRecord[], at = readAt) =>
  checkGaps({ events: records.flatMap(record => eventOf(record) ?? []), readAt: at }).map(({ evidence }) => evidence)

test('whatever becomes of its events, a process that lost none shows no gap; one that lost some shows exactly these', () => {
  const ends = fc.constantFrom<End | 'lost' | 'open'>(
    'recorded',
    'recorded',
    'recorded',
    'void',
    'doubtful',
    'lost',
    'open',
  )
  const runs = fc.array(fc.record({ end: ends, later: fc.nat(40) }), { minLength: 1, maxLength: 400 })
  fc.assert(
    fc.property(runs, run => {
      const numbering = createNumbering('p')
      const journal: NewRecord[] = []
      const waiting: { due: number; act: () => void }[] = []
      const lost: number[] = []
      const write = (id: number, end: End | 'lost' | 'open', due: number) => {
        const record = numbering.stamp(event(id))
        const number = Number(record.headers['ce_sequence'])
        const act = () => {
          if (end === 'open') return
          if (end === 'lost') lost.push(number)
          if (end === 'recorded') journal.push(record)
          numbering.end(record, end === 'lost' ? 'recorded' : end)
        }
        waiting.push({ due, act })
      }
      // The first event is a start, as of every process.
      write(0, 'recorded', 0)
      run.forEach(({ end, later }, index) => {
        for (const each of waiting.filter(({ due }) => due === index)) each.act()
        write(index + 1, end, index + 1 + later)
      })
      for (const each of waiting.filter(({ due }) => due >= run.length)) each.act()
      const settled = Math.max(0, ...journal.map(record => Number(record.headers['ce_settled'] ?? 0)))
      const told = gapsOf(journal).flatMap(gap => {
        const { from, to } = gap as { from: number; to: number }
        return Array.from({ length: to - from + 1 }, (_, index) => from + index)
      })
      // What was told on an event that was lost is lost with it: those void numbers are missed too, and rightly so.
      for (const number of lost.filter(each => each <= settled)) assert.ok(told.includes(number), String(number))
      if (lost.length === 0) assert.deepEqual(told, [])
    }),
    { numRuns: 1_000 },
  )
})

test('what is told on an event that is still under way is not settled for another one', () => {
  const numbering = createNumbering('p')
  const first = numbering.stamp(event(0))
  numbering.end(numbering.stamp(event(1)), 'void')
  numbering.stamp(event(2)) // tells of number 2, and does not come to its end
  numbering.end(numbering.stamp(event(3)), 'void')
  numbering.end(first, 'recorded')
  const teller = numbering.stamp(event(4))
  assert.equal(teller.headers['ce_void'], '4')
  assert.deepEqual(gapsOf([first, teller]), [])
})

test('what was committed just when the stores were read says nothing of events that were not looked for', () => {
  const numbering = createNumbering('p')
  const records = Array.from({ length: 32 }, (_, id) => {
    const record = numbering.stamp(event(id))
    numbering.end(record, 'recorded')
    return record
  })
  const lacking = records.toSpliced(9, 1)
  const writtenAt = Date.parse('2026-11-20T10:00:00.000Z')
  assert.deepEqual(gapsOf(lacking, writtenAt + 1_000), [])
  assert.deepEqual(gapsOf(lacking, writtenAt + 60_000), [{ producer: 'p', from: 10, to: 10, settled: 31 }])
})

test('what was under way when a process ended is no gap', () => {
  const numbering = createNumbering('p')
  const records = Array.from({ length: 100 }, (_, id) => numbering.stamp(event(id)))
  for (const record of records.slice(0, 90)) numbering.end(record, 'recorded')
  assert.deepEqual(gapsOf(records.slice(0, 90)), [])
  assert.deepEqual(gapsOf([...records.slice(0, 40), ...records.slice(42)]), [])
  const last = numbering.stamp(event(100))
  for (let more = 101; more < 128; more += 1) numbering.stamp(event(more))
  const teller = numbering.stamp(event(128))
  assert.equal(teller.headers['ce_sequence'], '129')
  assert.equal(last.headers['ce_settled'], undefined)
  const settler = Array.from({ length: 31 }, (_, more) => numbering.stamp(event(200 + more))).at(-1) as NewRecord
  assert.equal(settler.headers['ce_settled'], '90')
  assert.deepEqual(gapsOf([...records.slice(0, 40), ...records.slice(42), settler]), [
    { producer: 'p', from: 41, to: 42, settled: 90 },
  ])
})

test('lists of numbers are read as they were written', () => {
  const ranges = [
    { from: 20, to: 22, doubtful: false },
    { from: 17, to: 17, doubtful: false },
    { from: 23, to: 23, doubtful: true },
    { from: 18, to: 18, doubtful: false },
  ]
  assert.equal(writeRanges(ranges), '17-18,20-22,23?')
  assert.deepEqual(readRanges('17-18,20-22,23?'), [
    { from: 17, to: 18, doubtful: false },
    { from: 20, to: 22, doubtful: false },
    { from: 23, to: 23, doubtful: true },
  ])
  assert.deepEqual(readRanges('x,1-,2-3'), [{ from: 2, to: 3, doubtful: false }])
  assert.deepEqual(
    gapsIn(
      [
        { from: 2, to: 3 },
        { from: 3, to: 6 },
      ],
      { after: 0, until: 8 },
    ),
    [
      { from: 1, to: 1 },
      { from: 7, to: 8 },
    ],
  )
})
