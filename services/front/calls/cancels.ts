/**
 * Explicit MCP cancels, matched to (agent, session, request id). A disconnect is not a cancel, and neither is a client's
 * time-out, which SDKs announce with the same notification: the write was wanted and still is.
 *
 * Known only to the front that took the call: a cancel that reaches another one has no effect, which is always safe.
 */
import { type CancelCommand, commandRecord, type SubmitCommand } from '../../../shared/call/command.ts'
import { crashPoint } from '../../../shared/process/crash-point.ts'
import type { Front } from '../deps.ts'

export type RequestId = string | number
/** Without a session request ids of two clients of one agent cannot be told apart: such calls are never matched. */
export type RequestRef = { readonly agent: string; readonly session: string | undefined; readonly requestId: RequestId }

type Entry = { readonly submit: SubmitCommand; readonly appended: Promise<unknown> }

export type Cancels = {
  /** Remembers a submitted call until the returned function is called. */
  register(ref: RequestRef, entry: Entry): () => void
  find(ref: RequestRef): Entry | undefined
}

const nameOf = ({ agent, session, requestId }: RequestRef) => JSON.stringify([agent, session, requestId])

export function createCancels(): Cancels {
  const entries = new Map<string, Entry>()
  return {
    register(ref, entry) {
      if (ref.session === undefined) return () => {}
      const name = nameOf(ref)
      entries.set(name, entry)
      return () => {
        if (entries.get(name) === entry) entries.delete(name)
      }
    },
    find: ref => (ref.session === undefined ? undefined : entries.get(nameOf(ref))),
  }
}

const isTimeout = (reason: unknown) => typeof reason === 'string' && /time[sd]?[\s-]?out/i.test(reason)

/** Passes a cancel on, behind the call it is for. Never rejects; what cannot be appended is dropped, like a late cancel. */
export async function cancelCall(
  { cancels, journal, clock, log }: Pick<Front, 'cancels' | 'journal' | 'clock' | 'log'>,
  { ref, reason }: { ref: RequestRef; reason: unknown },
): Promise<void> {
  const entry = isTimeout(reason) ? undefined : cancels.find(ref)
  if (entry === undefined) return
  const { callId, tenant, keyspace, server, key, caller } = entry.submit
  const command: CancelCommand = {
    type: 'cancel',
    callId,
    tenant,
    keyspace,
    server,
    key,
    caller,
    receivedAt: clock.now(),
  }
  try {
    await entry.appended
    crashPoint('front.cancel.before')
    await journal.append([commandRecord(command)])
    crashPoint('front.cancel.after')
  } catch (error) {
    log.warn({ err: error, callId }, 'a cancel could not be passed on; the call runs')
  }
}
