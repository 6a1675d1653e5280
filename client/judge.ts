/** What an answer of Holdfast means for the write that is being made. Pure. */
import { outcomeOf, type OutcomeMeta, type OutcomeRecord, type ToolResult } from './outcome.ts'
import type { Settled } from './written.ts'

/** What the writer knows after a request. */
export type Known =
  | { readonly kind: 'settled'; readonly written: Settled }
  /** It is proved that no earlier request of this key had an effect or will have one: it may be sent, with the same key. */
  | { readonly kind: 'clear'; readonly why: string; readonly retryAfterMs?: number | undefined; readonly last: Last }
  /** It may have happened, or is under way: ask. */
  | { readonly kind: 'doubt'; readonly why: string; readonly isRunning: boolean }
  /** The key has a final record. Sending it again returns that record and nothing else. */
  | { readonly kind: 'recorded'; readonly record: OutcomeRecord }

/** The last proof that nothing happened, for a caller whose budget ends before it does. */
export type Last = Extract<Settled, { state: 'not_executed' | 'not_accepted' }>

/** Codes of `not_executed` and `not_accepted` that another try can be spared from. The rest is for the caller to decide. */
const passing = new Set([
  'deadline_passed',
  'queue_full',
  'owner_gone',
  'asked_before',
  'not_sent',
  'refused_by_upstream',
  'draining',
  'journal_unavailable',
  'too_many_waiting',
  'server_unavailable',
  'auth_unavailable',
  'holdfast_unreachable',
])

/** @param result the answer to the write itself */
export function judgeAnswer(result: ToolResult): Known {
  const outcome = outcomeOf(result)
  if (outcome === undefined) return { kind: 'settled', written: { state: 'unprotected', result } }
  const code = outcome.code ?? outcome.state
  switch (outcome.state) {
    case 'succeeded':
    case 'failed':
    case 'awaiting_input':
    case 'expired':
    case 'conflict':
      return { kind: 'settled', written: { state: outcome.state, result, outcome } }
    case 'not_executed':
    case 'not_accepted':
      return judgeNothingSent(outcome.state, code, result, outcome)
    case 'pending':
    case 'awaiting_approval':
      return { kind: 'doubt', why: code, isRunning: true }
    case 'unknown':
      return { kind: 'doubt', why: code, isRunning: false }
    default:
      // A state of a later version: nothing may be concluded from it.
      return { kind: 'doubt', why: `Holdfast says ${String(outcome.state)}`, isRunning: false }
  }
}

function judgeNothingSent(state: Last['state'], code: string, result: ToolResult, outcome: OutcomeMeta): Known {
  // Holdfast's own failure says nothing about the call.
  if (code === 'internal') return { kind: 'doubt', why: code, isRunning: false }
  const last = { state, result, outcome }
  if (!passing.has(code)) return { kind: 'settled', written: last }
  return { kind: 'clear', why: code, retryAfterMs: outcome.retryAfterMs, last }
}

/** @param record the answer to a question about the key; undefined when the record could not be read */
export function judgeRecord(record: OutcomeRecord): Known | undefined {
  switch (record.state) {
    case 'not_found':
      return { kind: 'clear', why: 'not_found', last: { state: 'not_executed', record } }
    case 'not_executed':
      return passing.has(record.code ?? '')
        ? { kind: 'clear', why: record.code ?? record.state, last: { state: 'not_executed', record } }
        : { kind: 'recorded', record }
    case 'succeeded':
    case 'failed':
    case 'awaiting_input':
    case 'expired':
      return { kind: 'recorded', record }
    case 'pending':
    case 'awaiting_approval':
      return { kind: 'doubt', why: record.code ?? record.state, isRunning: true }
    case 'unknown':
      return { kind: 'doubt', why: record.code ?? record.state, isRunning: false }
    case 'unavailable':
      return undefined
    default:
      return { kind: 'doubt', why: `Holdfast says ${String(record.state)}`, isRunning: false }
  }
}
