/**
 * Named places between two steps that belong together, where the fault suite (docs/reliability.md) ends this process,
 * stops it, or holds up its event loop: `HOLDFAST_CRASH_POINT=<name>[:<hit>[:kill|stop|block=<ms>]][,…]`, for example
 * `broker.claim.committed:2`. Without the variable a call does nothing.
 */
import { writeSync } from 'node:fs'

type Place = {
  /** What is done, and what is not done yet. */
  readonly between: string
  /** Passed at most once in a process's life. */
  readonly once?: true
  /** Only with this journal, or only where front and broker are processes of their own. */
  readonly only?: 'kafka' | 'postgres' | 'cluster'
}

export const crashPoints = {
  'front.append.before': { between: 'a write is checked; its command is not in the journal' },
  'front.append.after': { between: 'the command is durable; nobody waits for the reply yet' },
  'front.answer.before': { between: 'the outcome is known; the agent is not told' },
  'front.resubmit.before': {
    between: 'the broker that held the call is gone; it is not submitted again yet',
    only: 'cluster',
  },
  'front.ask.before': { between: 'a key is not on record; the question is not in the journal' },
  'front.ask.after': { between: 'the question is in the journal; nobody waits for the answer yet' },
  'front.cancel.before': { between: 'a cancel came; it is not in the journal' },
  'front.cancel.after': { between: 'the cancel is in the journal' },
  'front.read.dispatched': { between: 'a read is answered; its end is not recorded' },
  'front.read.recorded': { between: 'the end of a read is recorded; the agent has no answer' },
  'front.drain.begun': { between: 'new calls are refused; those in flight have no answer yet', once: true },
  'broker.batch.read': { between: 'commands are taken from the journal; none is handled' },
  'broker.append_claim.before': {
    between: 'a command and its claim are prepared; neither is committed',
    only: 'postgres',
  },
  'broker.append_claim.committed': {
    between: 'a command, its claim and its intent are committed together; nothing is sent',
    only: 'postgres',
  },
  'broker.claim.before': { between: 'claims are prepared; nothing is committed' },
  'broker.claim.committed': { between: 'claims and intents are committed; nothing is sent' },
  'broker.claim_fenced.committed': { between: 'a key that was asked for is claimed; nothing is sent' },
  'broker.reopen.committed': { between: 'a new try of a key is committed; nothing is sent' },
  'broker.intent.committed': { between: 'a waiting call has its intent; nothing is sent' },
  'broker.dispatch.before': { between: 'the next step is the first byte' },
  'broker.dispatch.answered': { between: 'the server answered; nothing is recorded' },
  'broker.complete.committed': { between: 'the outcome is committed; nobody is told' },
  'broker.timeout.committed': { between: 'the time-out is on record; the request stays open' },
  'broker.evidence.committed': { between: 'a late answer that settles nothing is kept' },
  'broker.join.before': { between: 'a repeated call is recognised; it is not on record' },
  'broker.join.committed': { between: 'a repeated call is on record; it is not answered' },
  'broker.ask.before': { between: 'a question is taken from the journal; no fence is set' },
  'broker.ask.committed': { between: 'the fence is set; nobody is told' },
  'broker.cancel.committed': { between: 'a waiting call is cancelled; nobody is told' },
  'broker.reject.recorded': { between: 'a command that cannot be handled is on record; its offset is not committed' },
  'broker.offsets.before': { between: 'commands are handled; their offsets are not committed' },
  'broker.offsets.committed': { between: 'offsets are committed' },
  'broker.owner.entered': { between: 'the process has an owner id; it handles nothing yet', once: true },
  'broker.owner.renewed': { between: 'the lease is renewed; the process does not know it' },
  'broker.sweep.before': { between: 'abandoned operations are found; they are as they were' },
  'broker.sweep.committed': { between: 'an abandoned operation is ended; nobody is told' },
  'broker.replay.before': { between: 'a replay is due and taken; it has no intent' },
  'broker.replay.committed': { between: 'a replay has its intent; nothing is sent' },
  'broker.replay.answered': { between: 'the server answered a replay; nothing is recorded' },
  'broker.replay.recorded': { between: 'what came of a replay is committed; nobody is told' },
  'broker.probe.before': { between: 'a look is due and taken; the server is not asked' },
  'broker.probe.answered': { between: 'the server answered a look; nothing is recorded' },
  'broker.probe.recorded': { between: 'what a look saw is committed; nobody is told' },
  'broker.resolve.before': { between: "a person's word has come; it is not recorded" },
  'broker.resolve.committed': { between: "a person's word is committed; nobody is told" },
  'broker.drain.begun': { between: 'what waited is handed back; calls in flight go on', once: true },
  'relay.moved': { between: 'rows of the outbox are in the journal', only: 'postgres' },
  'relay.taken': {
    between: 'rows of the outbox are deleted, not committed; the journal has none of them',
    only: 'kafka',
  },
  'relay.published': { between: 'the journal has the rows; their deletion is not committed', only: 'kafka' },
  'relay.committed': { between: 'the rows are published and gone', only: 'kafka' },
  'sink.readback.done': { between: 'the history was asked what it has; nothing is inserted' },
  'sink.rejected.recorded': { between: 'a record that is no event is on record; the history has no row in its place' },
  'sink.inserted': { between: 'rows are in the history; their offsets are not committed' },
  'sink.committed': { between: 'rows are in the history and their offsets committed' },
  'checkpoint.signed': { between: 'a checkpoint is signed; it is on record nowhere' },
  'checkpoint.entered': { between: 'a checkpoint is on record; no place has it' },
  'checkpoint.published': { between: 'a place has a checkpoint; the process does not know it' },
} as const satisfies Record<string, Place>

export type CrashPoint = keyof typeof crashPoints

/** Passes a place. */
export const crashPoint: (place: CrashPoint) => void = armed(process.env['HOLDFAST_CRASH_POINT'])

function armed(setting: string | undefined): (place: CrashPoint) => void {
  if (!setting) return () => {}
  const traps = setting.split(',').map(trap => {
    const [place, hit = '1', action = 'kill'] = trap.split(':')
    return { place, action, left: Number(hit) }
  })
  return place => {
    for (const trap of traps) {
      if (trap.place !== place) continue
      trap.left -= 1
      if (trap.left === 0) act(place, trap.action)
    }
  }
}

function act(place: CrashPoint, action: string): void {
  writeSync(2, `crash point ${place}: ${action}\n`)
  if (action === 'kill') process.kill(process.pid, 'SIGKILL')
  if (action === 'stop') process.kill(process.pid, 'SIGSTOP')
  const ms = /^block=(\d+)$/.exec(action)?.[1]
  if (ms !== undefined) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Number(ms))
}
