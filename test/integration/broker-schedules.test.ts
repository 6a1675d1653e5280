/**
 * Two real brokers over one real database, their statements and sends put in an order by fast-check's scheduler: calls,
 * repeats, redeliveries, twins, questions and cancels of one key interleave statement by statement. A failure prints its
 * seed and the order; seeds that failed once are in `test/seeds.json` and come first.
 *
 * HOLDFAST_SCHEDULE_RUNS sets the number of orders, HOLDFAST_SCHEDULE_SEED repeats one.
 */
import assert from 'node:assert/strict'
import test from 'node:test'
import fc, { type Scheduler } from 'fast-check'
import type { Queryable } from '../../services/broker/sql/row.ts'
import type { CallCommand } from '../../shared/call/command.ts'
import { done, eventually, type Lab, lost, openLab, refused, type TestBroker } from '../helpers/broker.ts'
import { seedsOf } from '../helpers/seeds.ts'

const runs = Number(process.env.HOLDFAST_SCHEDULE_RUNS ?? 120)

const deliveries = ['call', 'redelivered', 'repeat', 'twin', 'other change', 'question', 'cancel'] as const
const moves = fc.array(
  fc.record({ broker: fc.constantFrom(0, 1), what: fc.constantFrom(...deliveries), appended: fc.boolean() }),
  { minLength: 2, maxLength: 8 },
)
const ends = fc.constantFrom(done, refused, lost)

/** Whose turn it is decides the scheduler while there is one. */
let scheduler: Scheduler | undefined
async function inTurn<T>(label: string, act: () => Promise<T>): Promise<T> {
  if (scheduler === undefined) return act()
  let ended: Promise<T> | undefined
  // The report of a failure shows the names of the functions, and would show what they return.
  const step = { [label]: () => (ended = act()).then(nothing, nothing) }[label] as () => Promise<void>
  await scheduler.scheduleFunction(step)()
  return ended as Promise<T>
}
const nothing = () => {}

const ordered = (pool: Queryable): Queryable => ({
  query: (statement, values) =>
    inTurn(typeof statement === 'string' ? statement : statement.name, () => pool.query(statement, values)),
})

test('no order of two brokers and their statements breaks an invariant', { timeout: 900_000 }, async t => {
  // Nothing but the scheduler decides what comes next: leases and sweeps are far away.
  const calm = { leaseMs: 600_000, sweepMs: 60_000, consume: false, atEnd: true, db: ordered }
  await using lab = await openLab(calm)
  const brokers = [await lab.start(), await lab.start()]
  let n = 0
  for (const seed of seedsOf('schedules', process.env.HOLDFAST_SCHEDULE_SEED)) {
    t.diagnostic(`seed ${seed}`)
    const property = fc.asyncProperty(fc.scheduler(), moves, ends, async (order, played, end) => {
      n += 1
      await play({ lab, brokers, order }, { key: `key-${n}`, moves: played, end })
    })
    await fc.assert(property, { seed, numRuns: runs, includeErrorInReport: true })
  }
})

type Stage = { readonly lab: Lab; readonly brokers: readonly TestBroker[]; readonly order: Scheduler }
type Play = {
  readonly key: string
  readonly moves: ReadonlyArray<{
    readonly broker: number
    readonly what: (typeof deliveries)[number]
    /** Comes from a front in the process of that broker, which may claim it before it is delivered. */
    readonly appended: boolean
  }>
  readonly end: typeof done
}

async function play({ lab, brokers, order }: Stage, { key, moves: played, end }: Play): Promise<void> {
  const keys = [key, `${key}/twin`]
  for (const each of keys) {
    lab.upstream.pauseBeforeSending(each, () => inTurn('send', async () => {}))
    // What was not sent has no answer to wait for.
    lab.upstream.plan(each, () => (end === refused ? end : inTurn('answer', async () => end)))
  }
  const commands = commandsOf(lab, key)
  scheduler = order
  const queues = brokers.map(async (broker, index) => {
    for (const { broker: to, what, appended } of played) {
      if (to !== index) continue
      const command = commands(what)
      // Nothing is delivered before it was appended: what both brokers are given is in the journal already.
      if (appended && what !== 'call' && what !== 'redelivered') await broker.append(command)
      await broker.deliver(command)
    }
  })
  await order.waitFor(Promise.all(queues))
  scheduler = undefined
  await order.waitAll()
  await ended(lab, keys)
  assert.ok(lab.upstream.count(key) <= 1, `I1: ${key} was sent ${lab.upstream.count(key)} times`)
  await lab.check()
}

function commandsOf(lab: Lab, key: string): (what: Play['moves'][number]['what']) => CallCommand {
  const args = { change: key }
  const first = lab.submitOf(key)
  return what => {
    switch (what) {
      case 'call':
      case 'redelivered':
        return first
      case 'repeat':
        return lab.submitOf(key)
      case 'twin':
        return lab.submitOf(`${key}/twin`, { args })
      case 'other change':
        return lab.submitOf(key, { args: { change: `${key}/other` } })
      case 'question':
        return lab.askOf(key)
      case 'cancel':
        return lab.cancelOf(first)
    }
  }
}

const ended = (lab: Lab, keys: readonly string[]) =>
  eventually(
    async () => {
      const { rows } = await lab.pool.query<{ n: number }>(
        `select count(*)::int as n from operations where key = any($1) and state in ('accepted', 'executing')`,
        [keys],
      )
      return rows[0]?.n === 0 ? true : undefined
    },
    () => `${keys[0]} did not end`,
  )
