import assert from 'node:assert/strict'
import test from 'node:test'
import { openPurse } from '../../client/budget.ts'

/** A clock that moves only when somebody sleeps. */
function fakeClock(random = () => 1) {
  let now = 0
  const slept: number[] = []
  const sleep = async (ms: number) => {
    slept.push(ms)
    now += ms
  }
  return { slept, pass: (ms: number) => (now += ms), clock: { elapsed: () => now, sleep, random } }
}

test('pauses double up to five seconds, half of each left to chance', async () => {
  const most = fakeClock()
  const purse = openPurse(most.clock, { timeMs: 1e9 })
  for (let pause = 0; pause < 7; pause += 1) await purse.pause()
  assert.deepEqual(most.slept, [200, 400, 800, 1_600, 3_200, 5_000, 5_000])
  const least = fakeClock(() => 0)
  await openPurse(least.clock, { timeMs: 1e9 }).pause()
  assert.deepEqual(least.slept, [100])
})

test('a pause is as long as Holdfast asks for, and never longer than the budget', async () => {
  const { slept, clock } = fakeClock()
  const purse = openPurse(clock, { timeMs: 3_500 })
  await purse.pause(3_000)
  await purse.pause(3_000)
  assert.deepEqual(slept, [3_000, 500])
  assert.equal(purse.leftMs(), 0)
})

test('attempts and time end the budget, whichever is first', () => {
  const few = openPurse(fakeClock().clock, { attempts: 2 })
  assert.deepEqual([few.take(), few.take(), few.take()], [true, true, false])
  const { clock, pass } = fakeClock()
  const short = openPurse(clock, { timeMs: 1_000 })
  assert.equal(short.take(), true)
  pass(1_000)
  assert.equal(short.take(), false)
})
