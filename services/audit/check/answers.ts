/** Recorded answers, against what was committed to when they came. I6, I10. */
import { isSettled } from '../../../shared/call/operation.ts'
import { commitment, needsSalt } from '../../../shared/events/commitment.ts'
import type { EventFact, Facts, Finding, Limits, OperationFact, ResultFact } from './facts.ts'
import { finding } from './operations.ts'
import { briefly, numberIn, textIn, transitionsOf } from './streams.ts'

const placeOf = (of: { readonly epoch: number; readonly round: number }) => `${of.epoch}.${of.round}`
const tryOf = (event: EventFact) => placeOf({ epoch: numberIn(event, 'epoch'), round: numberIn(event, 'round') })

export function checkAnswers(facts: Facts, limits: Limits): Finding[] {
  const lives = transitionsOf(facts.events)
  const results = new Map<string, ResultFact[]>()
  for (const result of facts.results)
    results.set(result.operationId, [...(results.get(result.operationId) ?? []), result])
  return facts.operations.flatMap(fact => {
    const life = lives.get(fact.operation.operationId) ?? []
    // Without all of its events nothing can be said of its answers, and that has been said.
    if (life.length < fact.operation.sequence) return []
    const events = life.filter(({ sequence }) => sequence <= fact.operation.sequence)
    const own = results.get(fact.operation.operationId) ?? []
    return [...own.flatMap(result => ofResult(fact, events, result, limits)), ...lost(fact, events, own)]
  })
}

function ofResult(
  fact: OperationFact,
  events: readonly EventFact[],
  result: ResultFact,
  { secrets }: Limits,
): Finding[] {
  const ofTry = events.filter(event => tryOf(event) === placeOf(result))
  if (!ofTry.some(({ type }) => type === 'call.dispatched'))
    return [finding(fact, 'I6', 'an answer is recorded for a round that was never sent', { round: placeOf(result) })]
  const committed = ofTry.filter(({ fields }) => fields['resultCommitment'] !== undefined)
  if (committed.length === 0)
    return [finding(fact, 'I10', 'an answer is recorded that no event tells of', { round: placeOf(result) })]
  // A replay of a round may bring a further answer; one of them is the one on record.
  const isOne = committed.some(event =>
    secrets.some(
      secret => commitment(secret, textIn(event, 'callId'), result.answer.raw) === event.fields['resultCommitment'],
    ),
  )
  // Of a call about a subject the secret alone proves nothing.
  const cannotTell = committed.some(event => needsSalt(textIn(event, 'resultCommitment')))
  if (isOne || cannotTell || secrets.length === 0) return []
  return [finding(fact, 'I10', 'the recorded answer is not the one that came', committed.map(briefly))]
}

/** Until the retention has passed, what can be replayed is there. */
function lost(fact: OperationFact, events: readonly EventFact[], results: readonly ResultFact[]): Finding[] {
  const { operation, expired } = fact
  if (expired || (isSettled(operation) && operation.state === 'not_executed')) return []
  const last = events.findLast(event => event.fields['resultCommitment'] !== undefined && !settlesNothing(event))
  if (last === undefined || tryOf(last) !== placeOf(operation)) return []
  if (results.some(result => placeOf(result) === placeOf(operation))) return []
  return [finding(fact, 'I10', 'the answer that came is not on record any more', { event: briefly(last) })]
}

/** What a replay was told without settling anything is kept as evidence, not as the answer to the call. */
const settlesNothing = ({ type, fields }: EventFact): boolean =>
  (type === 'call.lost' || type === 'call.attempt_ended') && Number((fields['recovery'] as Replays)?.replays ?? 0) > 0

type Replays = { readonly replays?: unknown } | undefined
