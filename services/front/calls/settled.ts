import type { JsonObject } from '../../../shared/call/fingerprint.ts'
import type { KnownTool } from '../catalogue/catalogue.ts'
import type { Told } from '../../../shared/telemetry/front.ts'
import type { Verdict } from '../settings.ts'
import type { Incoming } from './incoming.ts'
import type { CallFacts } from './records.ts'

/** A call whose tool and authority are settled. */
export type SettledCall = {
  readonly callId: string
  readonly incoming: Incoming
  readonly known: KnownTool
  readonly args: JsonObject
  readonly policy: Verdict
  readonly facts: CallFacts
}

/** An answer as it goes on the wire: the raw text of the `result` or `error` member, and what it says, for those who count. */
export type RawAnswer = { readonly kind: 'result' | 'error'; readonly raw: string; readonly told?: Told | undefined }
