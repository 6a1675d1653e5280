/**
 * A day of two tenants that do the same, in few events, whose answers can be counted by hand. Every event is told twice,
 * as a relay that was killed may.
 *
 * Times are minutes and seconds after 2026-11-24 10:00 UTC, a Tuesday.
 */
import type { EventName, HoldfastEvent } from '../../shared/events/event.ts'

export const day = { from: '2026-11-24T10:00', to: '2026-11-24T12:00' }
const start = Date.UTC(2026, 10, 24, 10)
const at = (minutes: number, ms = 0) => new Date(start + minutes * 60_000 + ms).toISOString()

type More = Partial<HoldfastEvent>

const support = { agent: 'support-bot', keyspace: 'support-bot', client: 'claude-code', conversation: 'case-1' }
const ops = { agent: 'ops-bot', keyspace: 'ops-bot', client: 'codex', conversation: 'case-2' }
const transfer = { server: 'payments', tool: 'transfer', effect: 'write' as const, toolHash: 'hash-1' }
const send = { server: 'mail', tool: 'send', effect: 'write' as const, toolHash: 'hash-9' }
const balance = { server: 'payments', tool: 'get_balance', effect: 'read' as const }
const allowed = { policyRule: 'payments:*', policyVersion: 'v1', verdict: 'allow' }

/** The first event of a call says all of it. */
const asks = (minutes: number, argument: string, more: More = {}): More => ({
  receivedAt: at(minutes),
  keySource: 'argument',
  fingerprint: argument,
  arguments: JSON.stringify({ to: argument }),
  ...allowed,
  ...more,
})

function dayOf(tenant: string): HoldfastEvent[] {
  const id = (name: string) => `${tenant}-${name}`
  const event = (type: EventName, name: string, sequence: number, time: string, more: More): HoldfastEvent => ({
    type,
    stream: id(name),
    sequence,
    time,
    source: 'holdfast/broker',
    tenant,
    ...more,
  })
  const step = (type: EventName, name: string, sequence: number, time: string, more: More) =>
    event(type, name, sequence, time, {
      callId: id(name),
      operationId: id(name),
      epoch: 1,
      round: 1,
      attempt: 1,
      ...more,
    })
  const joins = (type: EventName, name: string, of: string, time: string, more: More) =>
    event(type, name, 1, time, { callId: id(name), operationId: id(of), of: id(of), ...more })

  const a = { ...support, ...transfer, key: 'invoice-1' }
  const b = { ...support, ...transfer, key: 'invoice-2' }
  const c = { ...ops, ...send, key: 'mail-1' }
  const d = { ...ops, ...send, key: 'mail-2' }
  const e = { ...support, ...transfer, key: 'invoice-3', toolHash: 'hash-2' }
  const f = { ...ops, ...transfer, key: 'invoice-4', toolHash: 'hash-2' }
  const g = { ...ops, ...send, key: 'mail-0' }
  return [
    event('service.started', 'run-1', 1, at(0), { tenant: '', policyVersion: 'v1', source: 'holdfast/single' }),
    event('key.created', 'key-1', 1, at(0, 500), { ...support, credential: 'c0ffee' }),
    // timed out; a person settled it
    step('call.dispatched', 'A', 1, at(1), { ...a, ...asks(1, 'ada'), trace: `00-${'a'.repeat(32)}-01` }),
    step('call.lost', 'A', 2, at(1, 30_000), { ...a, code: 'timeout', durationMs: 30_000 }),
    step('call.succeeded', 'A', 3, at(6), { ...a, evidence: 'person' }),
    event('call.resolved', 'A/resolved/1', 1, at(6), {
      ...a,
      callId: id('A'),
      operationId: id('A'),
      agent: 'anna',
      credential: 'beef',
      state: 'succeeded',
      reason: 'seen in the books',
      evidence: 'person',
    }),
    // answered; the same key again, while it ran and later
    step('call.dispatched', 'B', 1, at(10), { ...b, ...asks(10, 'bob') }),
    joins('call.attached', 'B2', 'B', at(10, 100), { ...b, ...asks(10, 'bob'), state: 'executing' }),
    step('call.succeeded', 'B', 2, at(10, 200), { ...b, evidence: 'upstream', durationMs: 200, resultBytes: 77 }),
    joins('call.replayed', 'B3', 'B', at(11), { ...b, ...asks(11, 'bob'), state: 'succeeded' }),
    // the connection was cut; the answer came late
    step('call.dispatched', 'C', 1, at(20), { ...c, ...asks(20, 'carl', { keySource: 'meta' }) }),
    step('call.lost', 'C', 2, at(20, 1_000), { ...c, code: 'connection_lost', durationMs: 1_000 }),
    step('call.succeeded', 'C', 3, at(20, 41_000), { ...c, evidence: 'late_answer' }),
    // never settled; the agent tried another key
    step('call.dispatched', 'D', 1, at(30), { ...d, ...asks(30, 'dora') }),
    step('call.lost', 'D', 2, at(30, 2_000), { ...d, code: 'connection_lost', durationMs: 2_000 }),
    joins('call.conflicted', 'D2', 'D', at(31), {
      ...d,
      ...asks(31, 'dora'),
      key: 'mail-3',
      code: 'possible_duplicate',
    }),
    // provably not sent, then again by another call, which failed
    step('call.dispatched', 'E', 1, at(40), { ...e, ...asks(40, 'ada') }),
    step('call.not_executed', 'E', 2, at(40, 50), { ...e, code: 'not_sent', evidence: 'dispatcher', durationMs: 50 }),
    step('call.dispatched', 'E', 3, at(41), { ...e, ...asks(41, 'ada'), callId: id('E2'), epoch: 2, attempt: 2 }),
    step('call.failed', 'E', 4, at(41, 400), {
      ...e,
      callId: id('E2'),
      epoch: 2,
      attempt: 2,
      code: 'upstream_error',
      evidence: 'upstream',
      durationMs: 400,
    }),
    // sent with no rule on record
    step('call.dispatched', 'F', 1, at(50), { ...f, ...asks(50, 'fred'), policyRule: undefined }),
    step('call.succeeded', 'F', 2, at(50, 600), { ...f, evidence: 'upstream', durationMs: 600 }),
    // reads: one answered, one without an end
    event('call.requested', 'R', 1, at(55), {
      ...support,
      ...balance,
      callId: id('R'),
      receivedAt: at(55),
      ...allowed,
    }),
    event('call.succeeded', 'R', 2, at(55, 40), {
      ...support,
      ...balance,
      callId: id('R'),
      state: 'succeeded',
      durationMs: 40,
    }),
    event('call.requested', 'S', 1, at(56), { ...ops, ...balance, callId: id('S'), receivedAt: at(56), ...allowed }),
    // refusals
    event('call.denied', 'X', 1, at(57), {
      ...ops,
      server: 'payments',
      tool: 'close_account',
      callId: id('X'),
      code: 'denied',
      policyRule: '!payments:close_account',
      policyVersion: 'v2',
    }),
    event('call.not_accepted', 'Y', 1, at(58), {
      ...ops,
      ...send,
      callId: id('Y'),
      code: 'idempotency_key_required',
      ...allowed,
    }),
    // the day before, a step is missing
    step('call.dispatched', 'G', 1, at(-1_440), { ...g, ...asks(-1_440, 'gus') }),
    step('call.succeeded', 'G', 3, at(-1_439), { ...g, evidence: 'late_answer' }),
    // who read, and what could not be read
    event('history.queried', 'read-1', 1, at(59), {
      agent: 'auditor',
      credential: 'f00d',
      statement: 'select 1',
      rows: 7,
    }),
    event('record.rejected', 'holdfast.events/3/17', 1, at(60), {
      tenant: '',
      reason: 'the value is not a JSON object',
      commitment: 'sha256:00',
    }),
    event('service.stopped', 'run-1', 2, at(61), { tenant: '', policyVersion: 'v1', source: 'holdfast/single' }),
  ]
}

/** Of both tenants, each event twice. */
export const officeDay = (): HoldfastEvent[] => {
  const events = [...dayOf('acme'), ...dayOf('globex').filter(({ tenant }) => tenant !== '')]
  return [...events, ...events]
}
