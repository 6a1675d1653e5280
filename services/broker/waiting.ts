/**
 * Who waits for which operation, and the replies to them. A courtesy: what is lost here costs the front a re-read.
 */
import { isBeingRecovered } from '../../shared/call/operation.ts'
import type { OutcomeRecord, Reply } from '../../shared/call/record.ts'
import type { ReplyPort } from '../../shared/call/broker-port.ts'

export type Waiter = { readonly callId: string; readonly replyTo: string | undefined; readonly how: 'own' | 'attached' }
type Entry = Waiter & { readonly since: number }

export type Waiting = ReturnType<typeof createWaiting>

/** @param monotonic milliseconds that only go forward */
export function createWaiting(reply: ReplyPort, monotonic: () => number) {
  const waiters = new Map<string, Map<string, Entry>>()
  return {
    add(operationId: string, waiter: Waiter): void {
      if (waiter.replyTo === undefined) return
      const of = waiters.get(operationId) ?? new Map<string, Entry>()
      of.set(waiter.callId, { ...waiter, since: monotonic() })
      waiters.set(operationId, of)
    },
    /** Tells every waiter of the operation. They wait no longer, unless it is still being found out. */
    settle(record: OutcomeRecord, retryAfterMs?: number): void {
      const { operationId } = record.operation
      const of = waiters.get(operationId)
      if (of === undefined) return
      if (!isBeingRecovered(record.operation)) waiters.delete(operationId)
      const byFront = new Map<string, Reply[]>()
      for (const { callId, replyTo, how } of of.values()) {
        const replies = byFront.get(replyTo as string) ?? []
        replies.push({ kind: 'outcome', callId, how, record, ...(retryAfterMs !== undefined && { retryAfterMs }) })
        byFront.set(replyTo as string, replies)
      }
      for (const [replyTo, replies] of byFront) reply(replyTo, replies)
    },
    /** Tells one call at once. */
    tell(replyTo: string | undefined, answer: Reply): void {
      if (replyTo !== undefined) reply(replyTo, [answer])
    },
    /** Operations somebody waits for. */
    operations: (): string[] => [...waiters.keys()],
    /** Drops waiters that came before `time`: no front waits that long, it has read the record itself by then. */
    forgetBefore(time: number): void {
      for (const [operationId, of] of waiters) {
        for (const [callId, { since }] of of) if (since < time) of.delete(callId)
        if (of.size === 0) waiters.delete(operationId)
      }
    },
  }
}
