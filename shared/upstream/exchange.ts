import type { LostWhy, NotSentWhy, Seen } from '../call/seen.ts'
import type { Progress } from './types.ts'

/**
 * One attempt while it is under way. It is the only place that knows whether the first byte may have left, and it takes
 * exactly one verdict: the first. Owned by `dispatch`; a transport reports to it, the SDK never does.
 */
export type Exchange = {
  readonly maxBytes: number
  /**
   * Asked by the transport directly before the first byte.
   * @returns false when nothing may be sent: the deadline passed, it is settled already, or it was begun before
   */
  begin(): boolean
  /** Records what was seen. Only the first counts. */
  settle(seen: Seen): void
  /** It ended without an answer: `not_sent` before `begin`, `lost` after. */
  fail(causes: { notSent: NotSentWhy; lost: LostWhy; message: string }): void
  /** Passes a progress notification on; nothing after the verdict. */
  progress(progress: Progress): void
  /** What to stop when nobody listens any more; set by the transport. */
  onAbandon: (() => void) | undefined
  readonly isSettled: () => boolean
  readonly seen: Promise<Seen>
}

export type ExchangeInput = {
  readonly deadline: number
  readonly timeoutMs: number | undefined
  readonly maxBytes: number
  readonly onSent: (() => void) | undefined
  readonly onProgress: ((progress: Progress) => void) | undefined
}

/** `now` is the monotonic clock in milliseconds that `deadline` belongs to. */
export function createExchange({ now }: { now: () => number }, input: ExchangeInput): Exchange {
  let resolve: (seen: Seen) => void = () => {}
  const promise = new Promise<Seen>(settlePromise => {
    resolve = settlePromise
  })
  let begun = false
  let settled = false

  const settle = (seen: Seen) => {
    if (settled) return
    settled = true
    clearTimeout(deadlineTimer)
    clearTimeout(listenTimer)
    resolve(seen)
  }
  const tooLate = () =>
    settle({ kind: 'not_sent', why: 'deadline', message: 'the deadline passed before anything was sent' })
  const fail: Exchange['fail'] = ({ notSent, lost, message }) =>
    settle(begun ? { kind: 'lost', why: lost, message } : { kind: 'not_sent', why: notSent, message })
  const giveUp = () => {
    fail({ notSent: 'connect', lost: 'timeout', message: `no answer within ${input.timeoutMs} ms` })
    exchange.onAbandon?.()
  }

  // A request can wait for a handshake or a free socket: its caller need not wait longer than the deadline.
  const deadlineTimer = setTimeout(() => begun || tooLate(), clampDelay(input.deadline - now()))
  const listenTimer = input.timeoutMs === undefined ? undefined : setTimeout(giveUp, clampDelay(input.timeoutMs))

  const exchange: Exchange = {
    maxBytes: input.maxBytes,
    begin: () => {
      if (!settled && !begun && now() >= input.deadline) tooLate()
      if (settled || begun) return false
      begun = true
      input.onSent?.()
      return true
    },
    settle,
    fail,
    progress: progress => settled || input.onProgress?.(progress),
    onAbandon: undefined,
    isSettled: () => settled,
    seen: promise,
  }
  return exchange
}

/** Node fires a timer beyond 2^31 - 1 ms at once. */
const clampDelay = (delayMs: number) => Math.min(Math.max(0, delayMs), 2 ** 31 - 1)
