/** Each operation for itself: its events lead to its row, and no step of them was forbidden. I1, I2, I6, I7, I8, I9. */
import type { OperationEvent } from '../../../shared/call/decide.ts'
import { evolve } from '../../../shared/call/evolve.ts'
import type { Operation } from '../../../shared/call/operation.ts'
import { fingerprintPseudonym } from '../../../shared/events/arguments.ts'
import { isPseudonym, noFingerprint } from '../../../shared/events/commitment.ts'
import { InvariantError } from '../../../shared/errors.ts'
import type { EventFact, Facts, Finding, Limits, OperationFact } from './facts.ts'
import { briefly, coreEvent, numberIn, transitionsOf } from './streams.ts'

type Invariant = Finding['invariant']

export function checkOperations(facts: Facts, limits: Limits): Finding[] {
  const events = transitionsOf(facts.events)
  const findings = facts.operations.flatMap(fact => {
    // What happened after the rows were read is not judged yet.
    const own = (events.get(fact.operation.operationId) ?? []).filter(
      ({ sequence }) => sequence <= fact.operation.sequence,
    )
    return [
      ...attempts(fact, own),
      ...finals(fact, own),
      ...intents(fact, own),
      ...overdue(fact, facts.readAt, limits),
      ...fenced(fact, own),
      ...life(fact, own, limits),
    ]
  })
  const orphans = facts.orphans.map((operationId): Finding => {
    const [first] = events.get(operationId) ?? []
    const evidence = (events.get(operationId) ?? []).map(briefly)
    return { invariant: 'I8', what: 'an operation of the journal has no row', operationId, ...keyOf(first), evidence }
  })
  return [...findings, ...orphans]
}

const keyOf = (event: EventFact | undefined) => ({
  server: event?.fields['server'] as string | undefined,
  key: event?.fields['key'] as string | undefined,
})

export function finding(
  { operation: { operationId }, server, key }: Pick<OperationFact, 'operation' | 'server' | 'key'>,
  invariant: Invariant,
  what: string,
  evidence: unknown,
): Finding {
  return { invariant, what, operationId, server, key, evidence }
}

const tryOf = (event: EventFact) => `${numberIn(event, 'epoch')}.${numberIn(event, 'round')}`

function groupBy(events: readonly EventFact[], name: (event: EventFact) => string): EventFact[][] {
  const groups = new Map<string, EventFact[]>()
  for (const event of events) groups.set(name(event), [...(groups.get(name(event)) ?? []), event])
  return [...groups.values()]
}

/** I1. A further dispatch of the same round is a recovery, which only a tool that honours keys is declared to have. */
function attempts(fact: OperationFact, events: readonly EventFact[]): Finding[] {
  const dispatched = events.filter(({ type }) => type === 'call.dispatched')
  const again = groupBy(dispatched, tryOf).filter(group =>
    group.slice(1).some(({ fields }) => fields['recovery'] === undefined),
  )
  const findings = again.map(group =>
    finding(fact, 'I1', `it was dispatched ${group.length} times in one round`, group.map(briefly)),
  )
  if (dispatched.length < fact.operation.attempts && isWhole(fact, events))
    findings.push(
      finding(fact, 'I1', `its row counts ${fact.operation.attempts} attempts, the journal ${dispatched.length}`, {
        dispatched: dispatched.map(briefly),
      }),
    )
  return findings
}

const isWhole = ({ operation }: OperationFact, events: readonly EventFact[]) => events.length === operation.sequence

const finalTypes = ['call.succeeded', 'call.failed', 'call.not_executed']

/** I2. */
const finals = (fact: OperationFact, events: readonly EventFact[]): Finding[] =>
  groupBy(
    events.filter(({ type }) => finalTypes.includes(type)),
    event => String(numberIn(event, 'epoch')),
  )
    .filter(group => group.length > 1)
    .map(group => finding(fact, 'I2', 'an epoch has more than one final outcome', group.map(briefly)))

/** What upstream said, it said of something that was sent. */
const fromUpstream = ['upstream', 'late_answer', 'dispatcher']

/** I6: before every answer stands the intent of its round. */
function intents(fact: OperationFact, events: readonly EventFact[]): Finding[] {
  const answered = events.filter(
    ({ type, fields }) => type === 'call.input_required' || fromUpstream.includes(String(fields['evidence'])),
  )
  return answered
    .filter(
      answer =>
        !events.some(
          event =>
            event.type === 'call.dispatched' && tryOf(event) === tryOf(answer) && event.sequence < answer.sequence,
        ),
    )
    .filter(answer => events.some(event => event.sequence === answer.sequence - 1) || answer.sequence === 1)
    .map(answer => finding(fact, 'I6', 'an answer has no intent before it', [briefly(answer)]))
}

/** I7. */
function overdue(fact: OperationFact, now: number, { overdueMs }: Limits): Finding[] {
  const { operation } = fact
  const from =
    operation.state === 'executing'
      ? operation.dispatchedAt
      : operation.state === 'accepted'
        ? operation.dispatchBy
        : undefined
  if (from === undefined || now - from <= overdueMs) return []
  const evidence = { state: operation.state, since: new Date(from).toISOString(), readAt: new Date(now).toISOString() }
  return [finding(fact, 'I7', `it is ${operation.state} for ${Math.round((now - from) / 1000)} s`, evidence)]
}

/** I9: whoever was told `not_found` was told it of every command that had been received. */
function fenced(fact: OperationFact, events: readonly EventFact[]): Finding[] {
  const { fencedAt } = fact
  if (fencedAt === undefined) return []
  const received = new Map(
    events.flatMap(({ fields: { callId, receivedAt } }) =>
      typeof receivedAt === 'string' ? [[callId, Date.parse(receivedAt)] as const] : [],
    ),
  )
  return events
    .filter(
      ({ type, fields }) => type === 'call.dispatched' && (received.get(fields['callId']) ?? fencedAt + 1) <= fencedAt,
    )
    .map(event =>
      finding(fact, 'I9', 'a call that was received before somebody was told not_found was sent', {
        toldNotFound: new Date(fencedAt).toISOString(),
        received: event.fields['receivedAt'],
        event: briefly(event),
      }),
    )
}

/** I8: events 1 to the row's sequence are there, and lead to the row. */
function life(fact: OperationFact, events: readonly EventFact[], { secrets }: Limits): Finding[] {
  const { operation } = fact
  const have = new Set(events.map(({ sequence }) => sequence))
  const missing = Array.from({ length: operation.sequence }, (_, index) => index + 1).filter(n => !have.has(n))
  if (missing.length > 0)
    return [
      finding(fact, 'I8', `events ${missing.join(', ')} are neither in the journal nor in the outbox`, { missing }),
    ]
  const led = replay(events.map(coreEvent))
  if (led instanceof InvariantError) return [finding(fact, invariantIn(led.message), led.message, events.map(briefly))]
  const differing = differences(led as Operation, operation).filter(
    name => name !== 'fingerprint' || !isPseudonymOf(secrets, (led as Operation).fingerprint, operation.fingerprint),
  )
  if (differing.length === 0) return []
  return [
    finding(fact, 'I8', `its row differs from its events in ${differing.join(', ')}`, { row: operation, events: led }),
  ]
}

/** Errors of `evolve` name the invariant that they guard. */
const invariantIn = (message: string): Invariant => (/\((I\d+)\)/.exec(message)?.[1] ?? 'I8') as Invariant

/** Without a secret it cannot be told, and nothing is said. */
const isPseudonymOf = (secrets: readonly string[], shown: string, fingerprint: string): boolean =>
  isPseudonym(shown) &&
  (shown === noFingerprint ||
    secrets.length === 0 ||
    secrets.some(secret => fingerprintPseudonym(secret, fingerprint) === shown))

function replay(events: readonly OperationEvent[]): Operation | InvariantError | undefined {
  try {
    return events.reduce<Operation | undefined>((operation, event) => evolve(operation, event), undefined)
  } catch (error) {
    if (error instanceof InvariantError) return error
    throw error
  }
}

/** What events do not carry is not compared. */
const notInEvents = new Set(['owner', 'dispatchBy', 'inputsHash', 'requestStateHash', 'recovery'])

function differences(led: Operation, row: Operation): string[] {
  const of = (operation: Operation) => operation as unknown as Record<string, unknown>
  const names = new Set([...Object.keys(led), ...Object.keys(row)])
  return [...names].filter(name => !notInEvents.has(name) && of(led)[name] !== of(row)[name])
}
