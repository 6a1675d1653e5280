/** What repeated calls were told, against what happened. I4, I5. */
import type { EventFact, Facts, Finding } from './facts.ts'
import { briefly, numberIn, textIn, transitionsOf } from './streams.ts'

const refusals = ['call.conflicted', 'call.denied', 'call.not_accepted']

export function checkTold(facts: Facts): Finding[] {
  const lives = transitionsOf(facts.events)
  return [...contradicted(facts, lives), ...refusedAndSent(facts, lives)]
}

/** I4: a call that joined an operation was told a state that the operation was in. */
function contradicted(facts: Facts, lives: ReadonlyMap<string, readonly EventFact[]>): Finding[] {
  const rows = new Map(facts.operations.map(fact => [fact.operation.operationId, fact]))
  return facts.events.flatMap(join => {
    if (join.type !== 'call.replayed' && join.type !== 'call.attached') return []
    const operationId = textIn(join, 'operationId')
    const life = lives.get(operationId)
    const row = rows.get(operationId)
    // Only where all of its events are here can one of them be missed.
    if (life === undefined || row === undefined || life.length < row.operation.sequence) return []
    const wasSo = life.some(
      event =>
        event.fields['state'] === join.fields['state'] &&
        numberIn(event, 'epoch') === numberIn(join, 'epoch') &&
        numberIn(event, 'round') === numberIn(join, 'round'),
    )
    if (wasSo) return []
    const what = `a repeated call was told ${textIn(join, 'state')}, which the operation never was`
    const evidence = { told: briefly(join), events: life.map(briefly) }
    return [{ invariant: 'I4' as const, what, operationId, server: row.server, key: row.key, evidence }]
  })
}

/** I5: what was refused was not sent. */
function refusedAndSent(facts: Facts, lives: ReadonlyMap<string, readonly EventFact[]>): Finding[] {
  const sent = new Map<string, EventFact>()
  for (const life of lives.values())
    for (const event of life) if (event.type === 'call.dispatched') sent.set(textIn(event, 'callId'), event)
  return facts.events.flatMap(refusal => {
    const dispatched = refusals.includes(refusal.type) ? sent.get(textIn(refusal, 'callId')) : undefined
    if (dispatched === undefined) return []
    return [
      {
        invariant: 'I5' as const,
        what: `a call was ${refusal.type.slice('call.'.length)} and sent`,
        operationId: dispatched.stream,
        server: textIn(dispatched, 'server'),
        key: textIn(dispatched, 'key'),
        evidence: { refused: briefly(refusal), sent: briefly(dispatched) },
      },
    ]
  })
}
