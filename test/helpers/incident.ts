/** An incident as events, told over any journal: a transfer whose answer was lost, what agents then did, and how it was settled. */
import type { HoldfastEvent } from '../../shared/events/event.ts'
import { ulid } from 'ulid'

export type TestIncident = {
  readonly began: number
  readonly operationId: string
  /** The call that asked again under the same key, and the one under another key. */
  readonly again: string
  readonly twin: string
  readonly read: string
  /** In the order in which they happened. */
  readonly events: readonly HoldfastEvent[]
}

/** @param began milliseconds; the whole takes ten minutes */
export function incidentAt(began: number): TestIncident {
  const at = (ms: number) => new Date(began + ms).toISOString()
  const operationId = ulid(began)
  const again = ulid(began + 2_000)
  const twin = ulid(began + 3_000)
  const read = ulid(began + 4_000)
  const who = { tenant: 'default', agent: 'support-bot', keyspace: 'support-bot', conversation: 'case-7' }
  const what = {
    server: 'payments',
    tool: 'transfer',
    key: 'invoice-1042',
    effect: 'write' as const,
    epoch: 1,
    round: 1,
  }
  const asks = (callId: string, ms: number) => ({ callId, receivedAt: at(ms), fingerprint: 'ab'.repeat(32) })
  const move = (sequence: number, type: HoldfastEvent['type'], ms: number, more: Partial<HoldfastEvent>) => ({
    type,
    stream: operationId,
    sequence,
    time: at(ms),
    source: 'holdfast/broker',
    ...who,
    ...what,
    callId: operationId,
    operationId,
    ...more,
  })
  return {
    began,
    operationId,
    again,
    twin,
    read,
    events: [
      move(1, 'call.dispatched', 5, { ...asks(operationId, 0), state: 'executing', attempt: 1 }),
      move(2, 'call.lost', 1_000, { state: 'unknown', code: 'timeout', attempt: 1 }),
      {
        ...move(1, 'call.replayed', 2_005, { ...asks(again, 2_000), state: 'unknown', of: operationId }),
        stream: again,
      },
      {
        ...move(1, 'call.conflicted', 3_005, {
          ...asks(twin, 3_000),
          key: 'invoice-1042-again',
          state: 'unknown',
          code: 'possible_duplicate',
          of: operationId,
        }),
        stream: twin,
      },
      {
        ...move(1, 'call.requested', 4_000, { callId: read, receivedAt: at(4_000) }),
        ...{ stream: read, tool: 'get_balance', effect: 'read', key: undefined, operationId: undefined },
      },
      move(3, 'call.succeeded', 600_000, { state: 'succeeded', evidence: 'person', attempt: 1 }),
      {
        ...move(1, 'call.resolved', 600_000, { state: 'succeeded', evidence: 'person', reason: 'seen in the <books>' }),
        agent: 'anna',
        stream: `${operationId}/resolved/1`,
      },
    ],
  }
}
