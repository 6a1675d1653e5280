import assert from 'node:assert/strict'
import test from 'node:test'
import {
  afterLook,
  afterReplay,
  beginRecovery,
  joinOf,
  mayReplay,
  provesAbsence,
  type Recovery,
  type RecoveryPlan,
  replayBefore,
  withoutStep,
  withReplay,
} from '../../shared/call/recovery.ts'

const minute = 60_000
const hour = 60 * minute
const at = Date.parse('2026-11-21T10:00:00Z')
const base = { attempts: 8, timeMs: hour, timeoutMs: 30_000, lateWindowMs: 10 * minute }
const probing: RecoveryPlan = { ...base, probe: { afterMs: 30_000, everyMs: 30_000, consistent: true } }
const replaying: RecoveryPlan = { ...base, replay: { keepsMs: 24 * hour, pauseMs: 1_000 } }
const both: RecoveryPlan = { ...probing, ...replaying }

const lost = (plan: RecoveryPlan, open = false): Recovery =>
  beginRecovery(plan, { attempt: 1, dispatchedAt: at - 30_000, at, code: open ? 'timeout' : 'connection_lost', open })

/** Looks until nothing is planned any more, each answered as told. */
function lookAll(
  plan: RecoveryPlan,
  from: Recovery,
  look: 'not_landed' | 'neither',
): { times: number[]; closed: boolean } {
  const times: number[] = []
  let recovery = from
  while (recovery.next?.step === 'probe') {
    const now = recovery.next.at
    times.push((now - at) / 1000)
    if (look === 'not_landed' && provesAbsence(plan, recovery, now)) return { times, closed: true }
    recovery = afterLook(plan, recovery, { look, began: now, at: now })
  }
  assert.equal(recovery.over, 'budget')
  return { times, closed: false }
}

test('the first look waits for the quiet time, the next ones for a pause that doubles', () => {
  const { times, closed } = lookAll(
    { ...probing, probe: { ...probing.probe!, consistent: false } },
    lost(probing),
    'not_landed',
  )
  assert.deepEqual(times, [30, 60, 120, 240, 480, 960, 1920])
  assert.equal(closed, false)
})

test('two looks that do not find the change close the key where that is declared to be proof', () => {
  assert.deepEqual(lookAll(probing, lost(probing), 'not_landed'), { times: [30, 60], closed: true })
})

test('while the request is still open "not there" proves nothing: only looks after its late window count', () => {
  const { times, closed } = lookAll(probing, lost(probing, true), 'not_landed')
  assert.ok(closed)
  assert.equal(times.filter(time => time >= 630).length, 2)
  assert.ok(
    times.some(time => time < 630),
    'the change may be found earlier',
  )
})

test('the last two looks are kept for when they count', () => {
  const few = { ...probing, attempts: 3 }
  assert.deepEqual(lookAll(few, lost(few, true), 'not_landed'), { times: [30, 630, 690], closed: true })
})

test('a look that fails says nothing, and uses up its part of the budget', () => {
  assert.equal(lookAll(probing, lost(probing), 'neither').closed, false)
})

test('no step is planned beyond the time of the budget, and then it says so', () => {
  const short = { ...probing, timeMs: 70_000 }
  const { times } = lookAll(short, lost(short), 'neither')
  assert.deepEqual(times, [30, 60])
})

test('a replay comes soon, again with a pause that doubles, and never when the server may have forgotten the key', () => {
  let recovery = lost(replaying)
  const pauses: number[] = []
  for (let time = at; recovery.next !== undefined; ) {
    pauses.push((recovery.next.at - time) / 1000)
    time = recovery.next.at
    recovery = afterReplay(replaying, withReplay(recovery, { attempt: recovery.tries.length + 1, at: time }), {
      at: time,
      open: false,
    })
  }
  assert.deepEqual(pauses, [1, 2, 4, 8, 16, 32, 64, 128])
  assert.equal(recovery.over, 'budget')
  const forgetful = { ...replaying, replay: { keepsMs: 90_000, pauseMs: 1_000 } }
  assert.equal(mayReplay(forgetful, lost(forgetful), at + 30_000), true)
  assert.equal(mayReplay(forgetful, lost(forgetful), at + 30_001), false)
  assert.equal(replayBefore(forgetful, lost(forgetful)), at + 30_000)
})

test('a replay may itself land: what was not found before it counts no more', () => {
  const once = afterLook(both, lost(both), { look: 'not_landed', began: at + minute, at: at + minute })
  assert.equal(once.notLanded, 1)
  const replayed = afterReplay(both, withReplay(once, { attempt: 2, at: at + 2 * minute }), {
    at: at + 3 * minute,
    open: true,
  })
  assert.equal(replayed.notLanded, 0)
  assert.equal(provesAbsence(both, { ...replayed, notLanded: 1 }, at + 13 * minute), false)
  assert.equal(provesAbsence(both, { ...replayed, notLanded: 1 }, at + 13 * minute + 30_000), true)
})

test('a step that is impossible for this call is not planned again; without any other it is over', () => {
  const noReplay = withoutStep(both, lost(both), { steps: ['replay'], at })
  assert.equal(noReplay.next?.step, 'probe')
  const nothing = withoutStep(both, noReplay, { steps: ['probe'], at })
  assert.deepEqual([nothing.next, nothing.over], [undefined, 'unavailable'])
  assert.equal(withoutStep(undefined, lost(both), { steps: ['replay'], at }).over, 'unavailable')
})

test('a step that was planned within the time is made even when it comes late', () => {
  const late = afterLook(probing, lost(probing), { look: 'neither', began: at + 50 * minute, at: at + 50 * minute })
  assert.equal(late.next?.at, at + 50 * minute + 30_000)
})

test('the join over attempts: unknown while one has no definite end, an unsent one says nothing beside a sent one', () => {
  const join = (...ends: Array<'failed' | 'not_executed' | 'lost' | undefined>) =>
    joinOf(ends.map((ended, index) => ({ attempt: index + 1, at, ...(ended && { ended }) })))
  assert.equal(join('failed', 'failed'), 'failed')
  assert.equal(join('failed', 'not_executed'), 'failed')
  assert.equal(join('not_executed', 'not_executed'), 'not_executed')
  assert.equal(join('lost', 'failed'), 'unknown')
  assert.equal(join('lost', 'not_executed'), 'unknown')
  assert.equal(join(undefined, 'failed'), 'unknown')
})
