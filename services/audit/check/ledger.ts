/**
 * The server's own ledger, where there is one: the only store that knows what was done. An effect is matched by its
 * fingerprint, which is all that the server and Holdfast both know. I1, I3, I6.
 */
import { fingerprint, type JsonObject } from '../../../shared/call/fingerprint.ts'
import { isPseudonym } from '../../../shared/events/commitment.ts'
import type { Effect, EventFact, Facts, Finding, Limits, OperationFact } from './facts.ts'
import { briefly, numberIn, textIn, transitionsOf } from './streams.ts'

export function checkLedger(facts: Facts, limits: Limits): Finding[] {
  if (facts.ledger === undefined) return []
  const lives = transitionsOf(facts.events)
  const changes = new Map<string, Change>()
  for (const effect of facts.ledger) {
    const change = changeOf(changes, fingerprint(effect.tool, effect.arguments as JsonObject), effect.server)
    change.effects.push(effect)
  }
  const named = new Set(facts.ledger.map(({ server }) => server).filter(server => server !== undefined))
  const rows = new Map(facts.operations.map(fact => [fact.operation.operationId, fact]))
  for (const [operationId, life] of lives) {
    const opened = life.find(({ fields }) => typeof fields['fingerprint'] === 'string')
    if (opened === undefined) continue
    const server = textIn(opened, 'server')
    if (named.size > 0 && !named.has(server)) continue
    const row = rows.get(operationId)
    // Of redacted arguments the journal has a pseudonym of the fingerprint; `checkOperations` holds it to the row's.
    const print = textIn(opened, 'fingerprint')
    const change = changeOf(
      changes,
      isPseudonym(print) ? (row?.operation.fingerprint ?? print) : print,
      named.size > 0 ? server : undefined,
    )
    change.operations.push({ operationId, server, key: textIn(opened, 'key'), life, row })
  }
  return [...changes.values()].flatMap(change => ofChange(change, limits))
}

type Member = {
  readonly operationId: string
  readonly server: string
  readonly key: string
  readonly life: readonly EventFact[]
  /** Undefined for an operation that is younger than the rows that were read. */
  readonly row: OperationFact | undefined
}
type Change = { readonly effects: Effect[]; readonly operations: Member[] }

function changeOf(changes: Map<string, Change>, print: string, server: string | undefined): Change {
  const name = JSON.stringify([print, server])
  const found = changes.get(name) ?? { effects: [], operations: [] }
  changes.set(name, found)
  return found
}

/** One change: all operations with its fingerprint (deliberate twins among them) against all effects of it. */
function ofChange({ effects, operations }: Change, { ledgerSkewMs }: Limits): Finding[] {
  const sent = operations.flatMap(({ life }) => life.filter(({ type }) => type === 'call.dispatched'))
  const { operationId, server, key } = operations[0] ?? {}
  const evidence = { effects, events: operations.flatMap(({ life }) => life.map(briefly)) }
  const found = (invariant: Finding['invariant'], what: string): Finding => ({
    invariant,
    what,
    operationId,
    server,
    key,
    evidence,
  })
  const findings: Finding[] = []
  const possible = capable(operations)
  if (effects.length > possible) {
    const isProved = operations.some(({ life }) => life.some(({ type }) => type === 'call.not_executed'))
    if (isProved) findings.push(found('I3', 'the server did what is not_executed'))
    else if (possible === 0) findings.push(found('I6', 'the server did what was never dispatched'))
    else
      findings.push(found('I1', `the server did it ${effects.length} times, and it was dispatched ${possible} times`))
  }
  const succeeded = operations.filter(({ row }) => row !== undefined && saysUpstream(row)).length
  if (succeeded > effects.length)
    findings.push(found('I3', `it succeeded ${succeeded} times, and the server did it ${effects.length} times`))
  const earliest = Math.min(...sent.map(({ at }) => at))
  if (sent.length > 0 && effects.some(({ at }) => at !== undefined && at < earliest - ledgerSkewMs))
    findings.push(found('I6', 'the server did it before its intent was on record'))
  return findings
}

const saysUpstream = ({ operation }: OperationFact) =>
  operation.state === 'succeeded' && (operation.evidence === 'upstream' || operation.evidence === 'late_answer')

/** Dispatches that may have had an effect: all but those whose epoch ended as `not_executed`. */
const capable = (operations: Change['operations']): number =>
  operations.reduce((sum, { life }) => {
    const never = new Set(
      life.filter(({ type }) => type === 'call.not_executed').map(event => numberIn(event, 'epoch')),
    )
    return sum + life.filter(event => event.type === 'call.dispatched' && !never.has(numberIn(event, 'epoch'))).length
  }, 0)
