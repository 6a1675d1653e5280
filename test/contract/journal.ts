/**
 * The promises of `shared/journal/port.ts`, as one suite that every implementation passes. A test says what would break
 * in production if it failed; J1 to J6 are the port's numbers.
 */
import assert from 'node:assert/strict'
import test, { describe } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import {
  AppendRefused,
  type Consumer,
  type Delivery,
  type Journal,
  type JournalRecord,
  type NewRecord,
} from '../../shared/journal/port.ts'

export type JournalUnderTest = {
  readonly journal: Journal
  /** Another instance over the same store, as another process would have it. Closed with the first. */
  readonly another: () => Promise<Journal>
  /** An empty topic of four partitions. */
  readonly topic: string
  /**
   * A consumer in a process of its own that joins `group`, commits the records of `topic` whose value is "commit" and
   * keeps the others. `holds` resolves when it has been handed a record of this value. `kill` ends it with SIGKILL.
   */
  readonly consumerProcess: (group: string) => Promise<{ holds(value: string): Promise<void>; kill(): Promise<void> }>
  /** A dead member is replaced within this time. */
  readonly leaseMs: number
  readonly close: () => Promise<void>
}

const partitionCount = 4

/** Declares the suite. `open` gives a journal of its own to each test. */
export function journalContract(name: string, open: () => Promise<JournalUnderTest>): void {
  const promise = (says: string, holds: (under: JournalUnderTest) => Promise<void>) =>
    test(says, { timeout: 60_000 }, async () => {
      const under = await open()
      try {
        await holds(under)
      } finally {
        await under.close()
      }
    })

  describe(`journal over ${name}`, () => {
    promise('J1: what was acknowledged is read back byte for byte, at the position that was given', async under => {
      const { journal, topic } = under
      const values = ['{"a":1}', '', 'naïve 💶 \u2028 "quoted" \\ back, {braces}', 'NULL', 'x'.repeat(50_000)]
      const records = values.map((value, index) => ({
        ...record(topic, 2, value),
        key: `key-${index}`,
        headers: { ce_id: `${index}`, ce_é: '"' },
      }))
      const positions = await journal.append(records)
      assert.deepEqual(
        positions,
        values.map((_, offset) => ({ topic, partition: 2, offset })),
      )
      const before = Date.now()
      const read = await collect(journal, topic, 2)
      assert.deepEqual(
        read,
        records.map((entry, offset) => ({ ...entry, offset, time: read[offset]?.time })),
      )
      for (const { time } of read) assert.ok(Math.abs(time - before) < 60_000, `append time ${time}`)
    })

    promise(
      'J1: an append over several partitions gives each record its own place, in the order given',
      async under => {
        const { journal, topic } = under
        const order = [3, 0, 3, 1, 0, 3]
        const positions = await journal.append(order.map((partition, index) => record(topic, partition, String(index))))
        assert.deepEqual(
          positions.map(({ partition, offset }) => [partition, offset]),
          [
            [3, 0],
            [0, 0],
            [3, 1],
            [1, 0],
            [0, 1],
            [3, 2],
          ],
        )
        assert.deepEqual(
          (await collect(journal, topic, 3)).map(({ value }) => value),
          ['0', '2', '5'],
        )
      },
    )

    promise('J1: a call with a record that is too large is refused whole, and its neighbours are not', async under => {
      const { journal, topic } = under
      const tooLarge = 'x'.repeat(journal.maxRecordBytes + 1)
      const settled = await Promise.allSettled([
        journal.append([record(topic, 0, 'before')]),
        journal.append([record(topic, 0, 'with it'), record(topic, 0, tooLarge)]),
        journal.append([record(topic, 0, 'after')]),
      ])
      assert.deepEqual(
        settled.map(({ status }) => status),
        ['fulfilled', 'rejected', 'fulfilled'],
      )
      assert.ok((settled[1] as PromiseRejectedResult).reason instanceof AppendRefused)
      assert.deepEqual(
        (await collect(journal, topic, 0)).map(({ value }) => value),
        ['before', 'after'],
      )
    })

    promise('J1: a partition or topic that does not exist refuses the append', async under => {
      const { journal, topic } = under
      await assert.rejects(journal.append([record(topic, partitionCount, 'x')]), AppendRefused)
      await assert.rejects(journal.append([record('no.such.topic', 0, 'x')]), AppendRefused)
      assert.equal(journal.partitions(topic), partitionCount)
    })

    promise('J1: a closed journal refuses to append, so that nobody believes otherwise', async under => {
      const closed = await under.another()
      await closed.close()
      await assert.rejects(closed.append([record(under.topic, 0, 'x')]), AppendRefused)
    })

    promise(
      'J2: offsets are gap-free from 0 and keep each caller’s order, with two instances appending at once',
      async under => {
        const { journal, topic } = under
        const instances = [journal, await under.another()]
        const random = seeded()
        const callers = Array.from({ length: 8 }, async (_, caller) => {
          for (let index = 0; index < 30; index += 1) {
            const size = 1 + random(3)
            const records = Array.from({ length: size }, () =>
              record(topic, random(partitionCount), `${caller}:${index}`),
            )
            await (instances[caller % 2] as Journal).append(records)
          }
        })
        await Promise.all(callers)
        for (let partition = 0; partition < partitionCount; partition += 1) {
          const records = await collect(journal, topic, partition)
          assert.deepEqual(
            records.map(({ offset }) => offset),
            records.map((_, index) => index),
          )
          for (let caller = 0; caller < 8; caller += 1) {
            const own = records
              .filter(({ value }) => value.startsWith(`${caller}:`))
              .map(({ value }) => Number(value.split(':')[1]))
            assert.deepEqual(
              own,
              own.toSorted((a, b) => a - b),
              `caller ${caller} in partition ${partition}`,
            )
          }
        }
      },
    )

    promise('J2, J3: a consumer is given every record once and in order while two instances append', async under => {
      const { journal, topic } = under
      const instances = [journal, await under.another()]
      const inbox = collector()
      await using _ = stopping(await journal.consume({ group: 'g', topics: [topic], handle: inbox.handle }))
      const total = 400
      await Promise.all(
        [0, 1].map(async which => {
          for (let index = 0; index < total / 2; index += 1) {
            await (instances[which] as Journal).append([record(topic, index % partitionCount, `${which}:${index}`)])
          }
        }),
      )
      await until(() => inbox.records.length >= total)
      for (let partition = 0; partition < partitionCount; partition += 1) {
        const offsets = inbox.records.filter(entry => entry.partition === partition).map(({ offset }) => offset)
        assert.deepEqual(
          offsets,
          offsets.map((_, index) => index),
        )
      }
      assert.equal(inbox.records.length, total)
    })

    promise('J3: a delivery is never empty, consecutive, and at most as large as asked', async under => {
      const { journal, topic } = under
      await journal.append(Array.from({ length: 25 }, (_, index) => record(topic, 0, String(index))))
      const inbox = collector()
      await using _ = stopping(
        await journal.consume({ group: 'g', topics: [topic], maxRecords: 10, handle: inbox.handle }),
      )
      await until(() => inbox.records.length === 25)
      assert.ok(inbox.deliveries.every(({ records }) => records.length >= 1 && records.length <= 10))
      assert.deepEqual(
        inbox.records.map(({ value }) => Number(value)),
        Array.from({ length: 25 }, (_, index) => index),
      )
    })

    promise('J3: deliveries of one partition come one after the other, those of others beside them', async under => {
      const { journal, topic } = under
      const held = gate()
      const seen: string[] = []
      const handle = async (delivery: Delivery) => {
        const { partition, records } = delivery
        seen.push(...records.map(({ value }) => value))
        if (partition === 0) await held.opened
        await delivery.commit()
      }
      await using _ = stopping(await journal.consume({ group: 'g', topics: [topic], maxRecords: 1, handle }))
      await journal.append([record(topic, 0, 'first'), record(topic, 0, 'second')])
      await until(() => seen.includes('first'))
      await journal.append([record(topic, 1, 'elsewhere')])
      await until(() => seen.includes('elsewhere'))
      assert.equal(seen.includes('second'), false)
      held.open()
      await until(() => seen.includes('second'))
    })

    promise('two groups are each given everything', async under => {
      const { journal, topic } = under
      const inboxes = [collector(), collector()]
      await using _a = stopping(
        await journal.consume({ group: 'a', topics: [topic], handle: (inboxes[0] as Inbox).handle }),
      )
      await using _b = stopping(
        await journal.consume({ group: 'b', topics: [topic], handle: (inboxes[1] as Inbox).handle }),
      )
      await journal.append([record(topic, 0, 'x'), record(topic, 3, 'y')])
      await until(() => inboxes.every(inbox => inbox.records.length === 2))
    })

    promise('J4: the next member goes on behind what was committed, and no further', async under => {
      const { journal, topic } = under
      await journal.append(['0', '1', '2', '3'].map(value => record(topic, 1, value)))
      const seen = gate()
      const first = await journal.consume({
        group: 'g',
        topics: [topic],
        handle: async delivery => {
          assert.equal(await delivery.commit(1), true)
          assert.equal(await delivery.commit(0), true, 'an older commit is no error, and goes unheeded')
          seen.open()
        },
      })
      await seen.opened
      await first.stop()
      const inbox = collector()
      await using _ = stopping(await journal.consume({ group: 'g', topics: [topic], handle: inbox.handle }))
      await until(() => inbox.records.length === 2)
      assert.deepEqual(
        inbox.records.map(({ value }) => value),
        ['2', '3'],
      )
    })

    promise('J4: a delivery that outlived its generation can no longer commit', async under => {
      const { journal, topic } = under
      const deliveries: Delivery[] = []
      const first = await journal.consume({
        group: 'g',
        topics: [topic],
        handle: async delivery => void deliveries.push(delivery),
      })
      await journal.append([record(topic, 0, 'x')])
      await until(() => deliveries.length === 1)
      await first.stop()
      const inbox = collector({ commits: false })
      await using _ = stopping(
        await (await under.another()).consume({ group: 'g', topics: [topic], handle: inbox.handle }),
      )
      await until(() => inbox.records.length === 1)
      const old = deliveries[0] as Delivery
      assert.equal(old.signal.aborted, true)
      assert.equal(await old.commit(), false)
      assert.equal((await journal.lag('g', topic))[0]?.committed ?? 0, 0)
    })

    promise(
      'members share the partitions: after a join and after a leave each has one holder, and the shares are even',
      async under => {
        const { journal, topic } = under
        const other = await under.another()
        const inbox = collector()
        const consume = (on: Journal) => on.consume({ group: 'g', topics: [topic], handle: inbox.handle })
        const first = await consume(journal)
        await first.joined
        await until(() => first.assigned().length === partitionCount)
        const second = await consume(other)
        await until(() => first.assigned().length === 2 && second.assigned().length === 2)
        const places = [...first.assigned(), ...second.assigned()].map(({ partition }) => partition)
        assert.deepEqual(places.toSorted(), [0, 1, 2, 3])

        for (let partition = 0; partition < partitionCount; partition += 1)
          await journal.append([record(topic, partition, 'shared')])
        await until(() => inbox.records.length === partitionCount)
        await second.stop()
        await until(() => first.assigned().length === partitionCount)
        await journal.append([record(topic, 0, 'alone'), record(topic, 3, 'alone')])
        await until(() => inbox.records.length === partitionCount + 2)
        await first.stop()
        assert.equal(
          new Set(inbox.records.map(({ partition, offset }) => `${partition}/${offset}`)).size,
          inbox.records.length,
        )
      },
    )

    promise('a member that stops hands over at once, not after its lease', async under => {
      const { journal, topic } = under
      const first = await journal.consume({ group: 'g', topics: [topic], handle: async () => {} })
      await first.joined
      const second = await (await under.another()).consume({ group: 'g', topics: [topic], handle: async () => {} })
      await until(() => second.assigned().length === 2)
      const stoppedAt = performance.now()
      await first.stop()
      await until(() => second.assigned().length === partitionCount)
      const tookMs = performance.now() - stoppedAt
      await second.stop()
      assert.ok(tookMs < under.leaseMs / 2, `took ${tookMs} ms of a lease of ${under.leaseMs}`)
    })

    promise(
      'J5: a killed member is replaced within one lease, and what it had not committed comes again',
      async under => {
        const { journal, topic } = under
        const doomed = await under.consumerProcess('g')
        await journal.append([record(topic, 1, 'commit')])
        await until(async () => (await journal.lag('g', topic))[1]?.committed === 1)
        await journal.append([record(topic, 1, 'keep')])
        await doomed.holds('keep')
        const inbox = collector()
        await doomed.kill()
        const killedAt = performance.now()
        await using consumer = stopping(await journal.consume({ group: 'g', topics: [topic], handle: inbox.handle }))
        await until(() => consumer.assigned().length === partitionCount && inbox.records.length > 0)
        const tookMs = performance.now() - killedAt
        assert.deepEqual(
          inbox.records.map(({ value }) => value),
          ['keep'],
        )
        // The lease, and what a poll and a loaded machine add.
        assert.ok(tookMs < under.leaseMs + 1_000, `took ${tookMs} ms of a lease of ${under.leaseMs}`)
      },
    )

    promise(
      'J5: a handler that throws is given the same records again, and no other partition waits for it',
      async under => {
        const { journal, topic } = under
        const attempts: string[] = []
        const errors: unknown[] = []
        const inbox = collector()
        const handle = async (delivery: Delivery) => {
          if (delivery.partition !== 0) return inbox.handle(delivery)
          attempts.push(delivery.records.map(({ value }) => value).join())
          if (attempts.length < 4) throw new Error('poison')
          await delivery.commit()
        }
        await using _ = stopping(
          await journal.consume({ group: 'g', topics: [topic], handle, onError: error => errors.push(error) }),
        )
        await journal.append([record(topic, 0, 'a'), record(topic, 0, 'b')])
        await until(() => attempts.length > 0)
        await journal.append([record(topic, 1, 'healthy')])
        await until(() => inbox.records.length === 1 && attempts.length === 4)
        assert.deepEqual(new Set(attempts), new Set(['a,b']))
        assert.ok(errors.filter(error => (error as Error).message === 'poison').length === 3)
      },
    )

    promise('stop tells the handler, waits for it, and its commit still counts', async under => {
      const { journal, topic } = under
      const entered = gate()
      const told: boolean[] = []
      const consumer = await journal.consume({
        group: 'g',
        topics: [topic],
        handle: async delivery => {
          const { signal } = delivery
          entered.open()
          await new Promise(resolve => signal.addEventListener('abort', resolve))
          await pause(20)
          told.push(signal.aborted, await delivery.commit())
        },
      })
      await journal.append([record(topic, 2, 'x')])
      await entered.opened
      await consumer.stop()
      assert.deepEqual(told, [true, true])
      assert.equal((await journal.lag('g', topic))[2]?.lag, 0)
    })

    promise('a new owner is told before the first delivery and after the last', async under => {
      const { journal, topic } = under
      const told: string[] = []
      await journal.append([record(topic, 3, 'x')])
      const consumer = await journal.consume({
        group: 'g',
        topics: [topic],
        onAssigned: async (_, partition) => {
          await pause(10)
          told.push(`assigned ${partition}`)
        },
        onRevoked: async (_, partition) => void told.push(`revoked ${partition}`),
        handle: async delivery => {
          const { partition } = delivery
          told.push(`handled ${partition}`)
          await delivery.commit()
        },
      })
      await until(() => told.includes('handled 3'))
      await consumer.stop()
      assert.deepEqual(
        told.filter(line => line.endsWith('3')),
        ['assigned 3', 'handled 3', 'revoked 3'],
      )
      assert.equal(told.filter(line => line.startsWith('assigned')).length, partitionCount)
      assert.equal(told.filter(line => line.startsWith('revoked')).length, partitionCount)
    })

    promise('J6: a range is read by offset and by time, and reading moves no group', async under => {
      const { journal, topic } = under
      const inbox = collector()
      const consumer = await journal.consume({ group: 'g', topics: [topic], handle: inbox.handle })
      await journal.append(Array.from({ length: 5 }, (_, index) => record(topic, 0, String(index))))
      await until(() => inbox.records.length === 5)
      await consumer.stop()
      await pause(5) // the next append has another millisecond
      await journal.append(Array.from({ length: 5 }, (_, index) => record(topic, 0, String(index + 5))))
      const values = async (range: object) =>
        (await collect(journal, topic, 0, range)).map(({ value }) => value).join('')
      const later = (await collect(journal, topic, 0))[5]?.time as number

      assert.equal(await values({}), '0123456789')
      assert.equal(await values({ fromOffset: 3, toOffset: 7 }), '3456')
      assert.equal(await values({ fromOffset: 8, maxRecords: 1 }), '8')
      assert.equal(await values({ fromOffset: 10 }), '')
      assert.equal(await values({ fromTime: later }), '56789')
      assert.equal(await values({ fromTime: 0, toOffset: 2 }), '01')
      assert.equal(await values({ fromTime: later + 60_000 }), '')
      const lag = (await journal.lag('g', topic))[0]
      assert.deepEqual([lag?.committed, lag?.lag], [5, 5])
    })

    promise('J6: a range ends where the partition ended when reading began', async under => {
      const { journal, topic } = under
      await journal.append(Array.from({ length: 3 }, (_, index) => record(topic, 0, String(index))))
      const read: string[] = []
      for await (const { value } of journal.read({ topic, partition: 0 })) {
        read.push(value)
        await journal.append([record(topic, 0, 'later')])
      }
      assert.deepEqual(read, ['0', '1', '2'])
    })

    promise('ends and lag say where partitions and groups stand', async under => {
      const { journal, topic } = under
      await journal.append([record(topic, 0, 'x'), record(topic, 0, 'y'), record(topic, 2, 'z')])
      assert.deepEqual(
        (await journal.ends(topic)).map(({ partition, earliest, end }) => [partition, earliest, end]),
        [
          [0, 0, 2],
          [1, 0, 0],
          [2, 0, 1],
          [3, 0, 0],
        ],
      )
      const unknown = await journal.lag('nobody', topic)
      assert.deepEqual(
        unknown.map(({ committed, lag }) => [committed, lag]),
        [
          [null, 2],
          [null, 0],
          [null, 1],
          [null, 0],
        ],
      )
      const committed = gate()
      const consumer = await journal.consume({
        group: 'g',
        topics: [topic],
        handle: async delivery => {
          const { partition } = delivery
          if (partition === 0 && (await delivery.commit(0))) committed.open()
        },
      })
      await committed.opened
      await consumer.stop()
      assert.deepEqual(
        (await journal.lag('g', topic)).map(({ lag }) => lag),
        [1, 0, 1, 0],
      )
    })

    promise('a journal that can be reached says so', async ({ journal }) => journal.ping())
  })
}

const record = (topic: string, partition: number, value: string): NewRecord => ({
  topic,
  partition,
  key: 'key',
  value,
  headers: {},
})

type Inbox = { records: JournalRecord[]; deliveries: Delivery[]; handle: (delivery: Delivery) => Promise<void> }

function collector({ commits = true } = {}): Inbox {
  const records: JournalRecord[] = []
  const deliveries: Delivery[] = []
  const handle = async (delivery: Delivery) => {
    deliveries.push(delivery)
    records.push(...delivery.records)
    if (commits) await delivery.commit()
  }
  return { records, deliveries, handle }
}

async function collect(
  journal: Journal,
  topic: string,
  partition: number,
  range: object = {},
): Promise<JournalRecord[]> {
  const records: JournalRecord[] = []
  for await (const entry of journal.read({ topic, partition, ...range })) records.push(entry)
  return records
}

const stopping = (consumer: Consumer) => Object.assign(consumer, { [Symbol.asyncDispose]: () => consumer.stop() })

/** Waits for a condition; the test's own time-out ends a wait that is in vain. */
async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const giveUpAt = performance.now() + 30_000
  while (!(await condition())) {
    if (performance.now() > giveUpAt) throw new Error(`waited 30 s in vain for ${String(condition)}`)
    await pause(5)
  }
}

function gate(): { opened: Promise<void>; open: () => void } {
  let open = () => {}
  const opened = new Promise<void>(resolve => (open = resolve))
  return { opened, open }
}

/** Whole numbers below a bound, repeatable: prints its seed, takes SEED from the environment. */
function seeded(): (below: number) => number {
  let state = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31))
  console.log(`SEED=${state}`)
  return below => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}
