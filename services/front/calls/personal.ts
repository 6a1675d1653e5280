import type { Personal } from '../../../shared/events/arguments.ts'
import { sealPersonal } from '../../../shared/subjects/personal.ts'
import type { Front } from '../deps.ts'
import { recordContext } from './refuse.ts'
import type { SettledCall } from './settled.ts'

/** PostgreSQL answers in a few milliseconds, or it is in trouble. */
const patienceMs = 2_000

/**
 * What is kept of a call about a subject, encrypted with the subject's key; undefined for all other calls, which pay
 * nothing for it. Without the key (PostgreSQL is away) nothing is kept and the call goes on: no call waits for its record
 * to be complete in this, and nothing personal is recorded in clear.
 */
export async function personalOf(deps: Front, call: SettledCall, argumentsJson: string): Promise<Personal | undefined> {
  const { known, incoming, callId } = call
  const redaction = deps.settings.redaction(known.server, known.name)
  if (redaction.personal === undefined) return undefined
  try {
    const sealing = sealPersonal(deps.subjects, {
      redaction,
      tenant: incoming.identity.tenant,
      text: argumentsJson,
      maxBytes: recordContext(deps).maxArgumentsBytes,
    })
    return await within(patienceMs, sealing)
  } catch (error) {
    deps.log.warn({ err: error, callId }, "a subject's key could not be had: nothing personal is kept of a call")
    return undefined
  }
}

async function within<Value>(ms: number, work: Promise<Value>): Promise<Value> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`PostgreSQL did not answer within ${ms} ms`)), ms)
  })
  return Promise.race([work, late]).finally(() => clearTimeout(timer))
}
