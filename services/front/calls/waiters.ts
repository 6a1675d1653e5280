/**
 * Who waits at this front, and for which replies. Replies are a courtesy: one that is lost, or comes when nobody waits,
 * costs a re-read and nothing else.
 */
import type { Reply } from '../../../shared/call/record.ts'

export type Waiters = {
  /** Hands replies to those who wait for their call, or for the operation they speak of. */
  readonly deliver: (replies: readonly Reply[]) => void
  /** Opens a mailbox for replies that name `id`, a call or an operation. Open it before asking, or the reply is missed. */
  readonly open: (id: string) => Mailbox
  /** Mailboxes open now. */
  readonly size: () => number
}

export type Mailbox = {
  /** The next reply; undefined after `withinMs`, or once `signal` is aborted. */
  readonly next: (withinMs: number, signal: AbortSignal) => Promise<Reply | undefined>
  readonly close: () => void
}

export function createWaiters(): Waiters {
  const mailboxes = new Map<string, Set<(reply: Reply) => void>>()
  let open = 0

  const idsOf = (reply: Reply) =>
    reply.kind === 'not_found' ? [reply.callId] : [...new Set([reply.callId, reply.record.operation.operationId])]

  return {
    deliver(replies) {
      for (const reply of replies) {
        for (const id of idsOf(reply)) for (const put of mailboxes.get(id) ?? []) put(reply)
      }
    },
    open(id) {
      const box = createBox()
      const of = mailboxes.get(id) ?? new Set()
      of.add(box.put)
      mailboxes.set(id, of)
      open += 1
      return {
        next: box.next,
        close() {
          if (!of.delete(box.put)) return
          open -= 1
          if (of.size === 0 && mailboxes.get(id) === of) mailboxes.delete(id)
        },
      }
    },
    size: () => open,
  }
}

type Box = Pick<Mailbox, 'next'> & { readonly put: (reply: Reply) => void }

/** One reader at a time. */
function createBox(): Box {
  const unread: Reply[] = []
  let wake: (() => void) | undefined
  return {
    put(reply) {
      unread.push(reply)
      wake?.()
    },
    async next(withinMs, signal) {
      if (unread.length > 0) return unread.shift()
      if (signal.aborted || withinMs <= 0) return undefined
      await new Promise<void>(resolve => {
        const done = () => {
          clearTimeout(timer)
          signal.removeEventListener('abort', done)
          wake = undefined
          resolve()
        }
        const timer = setTimeout(done, withinMs)
        signal.addEventListener('abort', done, { once: true })
        wake = done
      })
      return unread.shift()
    },
  }
}
