import type { Personal } from '../../../shared/events/arguments.ts'
import { sealPersonal } from '../../../shared/subjects/personal.ts'
import type { Front } from '../deps.ts'
import { recordContext } from './refuse.ts'
import type { SettledCall } from './settled.ts'

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
    return await sealPersonal(deps.subjects, {
      redaction,
      tenant: incoming.identity.tenant,
      text: argumentsJson,
      maxBytes: recordContext(deps).maxArgumentsBytes,
    })
  } catch (error) {
    deps.log.warn({ err: error, callId }, "a subject's key could not be had: nothing personal is kept of a call")
    return undefined
  }
}
