/** Holds the stores against each other and against the invariants. Pure; what it cannot tell it leaves out. */
import { checkAnswers } from './answers.ts'
import { checkCommands } from './commands.ts'
import type { Facts, Finding, Limits } from './facts.ts'
import { checkGaps } from './gaps.ts'
import { checkHistory } from './history.ts'
import { checkLedger } from './ledger.ts'
import { checkOperations } from './operations.ts'
import { checkTold } from './told.ts'

export type Report = {
  readonly findings: readonly Finding[]
  /** What was looked at. */
  readonly checked: {
    readonly operations: number
    readonly events: number
    readonly commands: number
    readonly historyRows: number | undefined
    readonly effects: number | undefined
    readonly answers: number | undefined
  }
}

export function audit(facts: Facts, limits: Limits): Report {
  const findings = [
    ...checkOperations(facts, limits),
    ...checkTold(facts),
    ...checkAnswers(facts, limits),
    ...checkCommands(facts),
    ...checkHistory(facts),
    ...checkGaps(facts),
    ...checkLedger(facts, limits),
  ]
  const checked = {
    operations: facts.operations.length,
    events: facts.events.length,
    commands: facts.commands.length,
    historyRows: facts.history?.rows.length,
    effects: facts.ledger?.length,
    answers: limits.secrets.length === 0 ? undefined : facts.results.length,
  }
  return { findings, checked }
}
