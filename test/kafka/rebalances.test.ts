/**
 * Members of a group come and stop at random while records are appended. Whatever happens: every record is
 * handled, a partition is handled in its order, a commit never goes back, and nobody handles behind another's back.
 */
import assert from 'node:assert/strict'
import test from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import type { Consumer, Delivery, Journal } from '../../shared/journal/port.ts'
import { createKafkaJournal, journalOptions, kafkaTopic, testKafka } from '../helpers/kafka.ts'

const topic = 't'
const partitions = 6
const runMs = 15_000

test('however members come and go, nothing is missed, overtaken or handled by two at once', {
  timeout: 120_000,
}, async () => {
  const random = seeded()
  const options = journalOptions(await testKafka(), { topics: [kafkaTopic(topic, partitions)] })
  const journal = await createKafkaJournal(options)
  const handled = Array.from({ length: partitions }, (): number[] => [])
  const busy = new Map<number, string>()
  const overlaps: string[] = []
  const committed = Array.from({ length: partitions }, () => 0)

  const handle = (name: string) => async (delivery: Delivery) => {
    const { partition, records } = delivery
    const other = busy.get(partition)
    if (other !== undefined) overlaps.push(`${name} and ${other} on ${partition}`)
    busy.set(partition, name)
    await pause(random(30))
    handled[partition]?.push(...records.map(({ offset }) => offset))
    if (random(10) > 0) await delivery.commit()
    busy.delete(partition)
  }

  const members: { name: string; journal: Journal; consumer: Consumer }[] = []
  const join = async (name: string) => {
    const own = await createKafkaJournal(options)
    const consumer = await own.consume({ group: 'g', topics: [topic], maxRecords: 20, handle: handle(name) })
    members.push({ name, journal: own, consumer })
  }
  const leave = async () => {
    const [member] = members.splice(random(members.length), 1)
    await member?.journal.close()
  }

  await join('m0')
  let appended = 0
  let stopped = false
  const appending = (async () => {
    while (!stopped) {
      await journal.append([{ topic, partition: random(partitions), key: '', value: String(appended), headers: {} }])
      appended += 1
    }
  })()
  const watching = (async () => {
    while (!stopped) {
      for (const place of await journal.lag('g', topic)) {
        const before = committed[place.partition] as number
        assert.ok(
          (place.committed ?? 0) >= before,
          `partition ${place.partition} went back to ${place.committed} from ${before}`,
        )
        committed[place.partition] = place.committed ?? 0
      }
      await pause(50)
    }
  })()
  const endAt = performance.now() + runMs
  for (let step = 1; performance.now() < endAt; step += 1) {
    if (members.length < 2 || (members.length < 4 && random(2) === 0)) await join(`m${step}`)
    else await leave()
    await pause(random(800))
  }
  stopped = true
  await Promise.all([appending, watching])
  const ends = await journal.ends(topic)
  const isDone = () => ends.every(({ partition, end }) => end === 0 || handled[partition]?.includes(end - 1))
  while (!isDone()) await pause(20)
  await Promise.all(members.map(member => member.journal.close()))
  await journal.close()

  assert.equal(
    ends.reduce((sum, { end }) => sum + end, 0),
    appended,
  )
  assert.ok(appended > 500, `only ${appended} records`)
  assert.deepEqual(overlaps, [])
  for (const { partition, end } of ends) {
    const offsets = handled[partition] as number[]
    assert.equal(new Set(offsets).size, end, `partition ${partition} has every record`)
    // What is handled again follows on what was committed: a jump forward would mean that something was left out.
    for (const [index, offset] of offsets.entries())
      assert.ok(
        offset <= (index === 0 ? 0 : (offsets[index - 1] as number) + 1),
        `partition ${partition} skipped to ${offset}`,
      )
  }
})

/** Whole numbers below a bound, repeatable: prints its seed, takes SEED from the environment. */
function seeded(): (below: number) => number {
  let state = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31))
  console.log(`SEED=${state}`)
  return below => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}
