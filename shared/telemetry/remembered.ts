/**
 * Spans of the calls that are being handled, and where the trace of a call handled lately can be found: a call that joins
 * an operation links to it. Bounded: what was handled long ago, or by another process, is not linked.
 */
import type { Carrier } from './carrier.ts'
import type { Span } from './tracing.ts'

export type Remembered = {
  open(callId: string, span: Span): void
  close(callId: string): void
  /** The span of a call that is being handled. */
  span(callId: string): Span | undefined
  carrier(callId: string): Carrier | undefined
}

const most = 10_000

export function createRemembered(): Remembered {
  const open = new Map<string, Span>()
  const carriers = new Map<string, Carrier>()
  return {
    open(callId, span) {
      open.set(callId, span)
      carriers.set(callId, span.carrier)
      if (carriers.size > most) carriers.delete(carriers.keys().next().value as string)
    },
    close: callId => void open.delete(callId),
    span: callId => open.get(callId),
    carrier: callId => carriers.get(callId),
  }
}
