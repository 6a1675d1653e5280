/** What this process holds in memory of the operations it may act on. Lost with the process: the sweep takes over. */
import type { SubmitCommand } from '../../shared/call/command.ts'
import type { KeyedRequest } from '../../shared/call/keyed.ts'
import type { Operation } from '../../shared/call/operation.ts'
import type { OutcomeRecord, UpstreamAnswer } from '../../shared/call/record.ts'
import { changingOf, receiptOf } from './sql/row.ts'

export type Held = {
  /** The command of the current try. */
  readonly command: SubmitCommand
  /** As last committed. */
  operation: Operation
  readonly retentionMs: number
  /** Leaf of the event that ended it, once one did. */
  receipt?: string | undefined
  /** The request of this try, where it carries a key of ours or may be needed again. */
  readonly request?: KeyedRequest | undefined
}

/** Lets go of this very try: the same operation may already be held for a later one. */
export function letGo(all: Map<string, Held>, held: Held): void {
  if (all.get(held.operation.operationId) === held) all.delete(held.operation.operationId)
}

/** The record as this process knows it, for a reply without another read. */
export function recordOfHeld(
  { command, operation, retentionMs, receipt }: Held,
  answer: UpstreamAnswer | undefined,
): OutcomeRecord {
  const { tenant, keyspace, server, tool, key, caller } = command
  const { expires_ms: expires } = changingOf(operation, retentionMs)
  return {
    operation,
    tenant,
    keyspace,
    server,
    tool,
    key,
    agent: caller.agent,
    conversation: caller.conversation,
    expiresAt: typeof expires === 'number' ? expires : undefined,
    expired: false,
    receipt: receiptOf(operation.operationId, operation.sequence, receipt),
    answer,
  }
}
