import type { Code } from '../../../shared/call/codes.ts'
import { callMetaName, outcomeMetaName } from '../answers/outcome-meta.ts'
import { ownResult } from '../answers/write.ts'
import type { Told } from '../../../shared/telemetry/front.ts'
import type { Front } from '../deps.ts'
import { serverInfo } from '../mcp/identity.ts'
import { words } from '../words.ts'
import type { Incoming } from './incoming.ts'
import { type CallFacts, type RecordContext, refusedRecord } from './records.ts'
import type { RawAnswer } from './settled.ts'

/** `detail` says what exactly was wrong. */
export type Refusal = { readonly code: Code; readonly detail?: string | undefined }
type Deps = Pick<Front, 'journal' | 'clock' | 'secret' | 'settings' | 'background'>

/** Events hold arguments up to a quarter of what the journal takes in one record. */
export const recordContext = ({
  journal,
  secret,
  settings,
}: Pick<Front, 'journal' | 'secret' | 'settings'>): RecordContext => ({
  secret,
  redactionOf: settings.redaction,
  maxArgumentsBytes: Math.floor(journal.maxRecordBytes / 4),
})

/** Puts a refusal on record without making its caller wait: it had no effect, so nothing depends on it. */
export function recordRefusal(deps: Deps, facts: CallFacts, { code, detail }: Refusal): void {
  const record = refusedRecord(recordContext(deps), { facts, code, reason: detail, at: deps.clock.now() })
  deps.background('record of a refusal', deps.journal.append([record]))
}

/** Refuses a call of which not even a key is known. */
export function refuseCall(deps: Deps, incoming: Incoming, facts: CallFacts, refusal: Refusal): RawAnswer {
  const { code, detail } = refusal
  const { callId } = facts
  recordRefusal(deps, facts, refusal)
  const meta =
    facts.effect === 'read'
      ? { [callMetaName]: { callId, code } }
      : { [outcomeMetaName]: { state: 'not_accepted', code, callId, replayed: false } }
  const raw = ownResult(words.notAccepted(code, detail, undefined), meta, { era: incoming.era, serverInfo })
  return { kind: 'result', raw, told: toldOf(facts, { state: 'not_accepted', code }) }
}

/** Only what servers list is a name to count by: anything else is what some client typed. */
export const toldOf = (
  { server, tool, toolHash, effect }: CallFacts,
  { state, code }: { state: string; code?: string | undefined },
): Told => ({ server, tool: toolHash === undefined ? undefined : tool, effect, state, code })
