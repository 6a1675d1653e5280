/**
 * What a dispatcher saw of one attempt, named by its origin, and what that means. Design section 3: the origin of an
 * error decides, never a number alone. `shared/upstream` produces `Seen`; `classify` is the only judge of it.
 */
import type { OutcomeCode } from './codes.ts'

/** Why no byte of the request left this process. */
export type NotSentWhy = 'dns' | 'refused' | 'tls' | 'spawn' | 'deadline' | 'connect' | 'stopping'

/** Why there is no complete answer although bytes may have been sent. */
export type LostWhy =
  | 'timeout'
  | 'reset'
  | 'truncated'
  | 'closed'
  | 'session'
  | 'protocol'
  | 'sdk'
  | 'too_large'
  | 'exit'

export type Seen =
  /** A JSON-RPC result. `raw` is the result member exactly as upstream sent it; `isError` its own flag. */
  | { readonly kind: 'result'; readonly raw: string; readonly isError: boolean }
  /** A JSON-RPC result of type `input_required`. */
  | { readonly kind: 'input_required'; readonly raw: string; readonly requestState: string | undefined }
  /** A JSON-RPC error in upstream's own body. `raw` is the error member exactly as sent; `http` the status it came with. */
  | {
      readonly kind: 'error'
      readonly raw: string
      readonly rpcCode: number
      readonly message: string
      readonly http: number | undefined
    }
  /** An HTTP status without a JSON-RPC answer for this request. `session`: the request named an upstream session. */
  | { readonly kind: 'http'; readonly status: number; readonly session: boolean; readonly excerpt: string }
  /** Proof that no byte of this request was sent. */
  | { readonly kind: 'not_sent'; readonly why: NotSentWhy; readonly message: string }
  /** Bytes may have been sent and no complete answer came. Everything that fits nowhere else is this. */
  | { readonly kind: 'lost'; readonly why: LostWhy; readonly message: string }

export type Verdict =
  | { readonly state: 'succeeded' }
  | { readonly state: 'failed'; readonly code: OutcomeCode }
  | { readonly state: 'not_executed'; readonly code: OutcomeCode }
  | { readonly state: 'unknown'; readonly code: OutcomeCode }
  | { readonly state: 'awaiting_input'; readonly requestState: string | undefined }

export type ClassifyRules = {
  /** The tool's `ambiguousWhen`: true when this error does not say whether the change happened. */
  readonly ambiguous?: (raw: string) => boolean
}

/** HTTP statuses that upstream gives before it looks at the call (design section 3). */
const turnedAwayStatuses = new Set([401, 405, 413, 415, 429])
/** Protocol errors of the POST itself: header mismatch, missing capability, unsupported version (MCP 2026-07-28). */
const turnedAwayRpcCodes = new Set([-32020, -32021, -32022])

/**
 * Words in an error that say "I do not know myself": output validated after the effect, a time-out or reset further
 * down, a 5xx passed on as text. An error that matches is `unknown`, never `failed`.
 */
export const ambiguousPatterns: readonly RegExp[] = [
  /output validation/i,
  /structured content|outputSchema/i,
  /time[d]?[\s-]?out|ETIMEDOUT|deadline exceeded/i,
  /ECONNRESET|EPIPE|socket hang up|connection (?:was )?(?:reset|closed|lost|aborted)|unexpected (?:eof|end of)/i,
  // A status that is named as one ("HTTP/1.1 503", `"statusCode":502`, "error 522."), never any number of three digits.
  /\b(?:http|status|response)(?:\/\d(?:\.\d)?)?(?:[\s_-]*(?:status|error|response))*(?:[\s_-]*code)?[\s"'\\:=!(]{1,6}5\d\d\b(?![.,]\d)/i,
  /\berror(?:[\s_-]*code)?[\s"'\\:=#(]{1,4}5\d\d(?=\s*(?:["')\\,;:!-]|\.(?!\d)|$))(?!,\d)/i,
  /"code\\?"\s*:\s*5\d\d\b/i,
  /\b5\d\d\s+server error/i,
  /\b50[0-4]\b\s*:?\s*(?:internal|bad gateway|service unavailable|gateway|not implemented)/i,
  /bad gateway|gateway time|service unavailable|internal server error/i,
]

const seemsAmbiguous = (raw: string, rules: ClassifyRules) =>
  ambiguousPatterns.some(pattern => pattern.test(raw)) || (rules.ambiguous?.(raw) ?? false)

/**
 * The meaning of what was seen for the operation.
 * @param seen what the dispatcher saw
 * @param rules the tool's own rules
 */
export function classify(seen: Seen, rules: ClassifyRules = {}): Verdict {
  switch (seen.kind) {
    case 'result':
      if (!seen.isError) return { state: 'succeeded' }
      if (seemsAmbiguous(seen.raw, rules)) return { state: 'unknown', code: 'ambiguous_error' }
      return { state: 'failed', code: 'upstream_error' }
    case 'input_required':
      return { state: 'awaiting_input', requestState: seen.requestState }
    case 'error':
      if (seen.http !== undefined && seen.http >= 300) {
        const byStatus = classifyStatus(seen.http, false)
        if (byStatus.state !== 'failed') return byStatus
      }
      // On the POST itself: inside a stream that was begun the same code may come after an effect.
      if (turnedAwayRpcCodes.has(seen.rpcCode) && (seen.http ?? 200) >= 400) {
        return { state: 'not_executed', code: 'refused_by_upstream' }
      }
      if (seemsAmbiguous(seen.raw, rules)) return { state: 'unknown', code: 'ambiguous_error' }
      return { state: 'failed', code: 'upstream_error' }
    case 'http':
      return classifyStatus(seen.status, seen.session)
    case 'not_sent':
      return { state: 'not_executed', code: seen.why === 'deadline' ? 'deadline_passed' : 'not_sent' }
    case 'lost':
      return { state: 'unknown', code: lostCodes[seen.why] }
  }
}

function classifyStatus(status: number, session: boolean): Verdict {
  if (turnedAwayStatuses.has(status) || (status >= 300 && status < 400) || (status === 404 && session)) {
    return { state: 'not_executed', code: 'refused_by_upstream' }
  }
  if (status >= 400 && status < 500 && status !== 408 && status !== 499) {
    return { state: 'failed', code: 'upstream_rejected' }
  }
  return { state: 'unknown', code: status >= 500 ? 'upstream_5xx' : status === 408 ? 'timeout' : 'unreadable_answer' }
}

const lostCodes: Record<LostWhy, OutcomeCode> = {
  timeout: 'timeout',
  reset: 'connection_lost',
  truncated: 'connection_lost',
  closed: 'connection_lost',
  session: 'connection_lost',
  exit: 'connection_lost',
  protocol: 'unreadable_answer',
  sdk: 'unreadable_answer',
  too_large: 'unreadable_answer',
}
