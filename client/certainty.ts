/**
 * What a failed request says about the write it carried. Judged by where the error was made, never by its wording: an
 * SDK's own error (time-out, closed, an answer it could not read) says nothing about the other side.
 */

export type Failure =
  /** Nothing left this process, or the other side turned the request away before looking at the call. */
  | { readonly certainty: 'not_sent'; readonly why: string; readonly isWorthRepeating: boolean }
  /** The other side answered: this request is refused for good. */
  | { readonly certainty: 'refused'; readonly why: string; readonly code: number }
  /** It may have happened. */
  | { readonly certainty: 'ambiguous'; readonly why: string }

type Shape = {
  readonly name?: string
  readonly message?: string
  readonly code?: unknown
  readonly status?: unknown
  readonly data?: unknown
  readonly cause?: unknown
}

/**
 * Judges whatever a request of an MCP client rejected with, of the v1 SDK, the v2 SDK or `fetch`. What is not recognised
 * is ambiguous.
 */
export function judgeFailure(error: unknown): Failure {
  const shape = (typeof error === 'object' && error !== null ? error : {}) as Shape
  const why = shape.message || String(error)
  const status = statusOf(shape)
  if (status !== undefined) return judgeStatus(status, why)
  const code = systemCode(shape)
  if (code !== undefined && neverConnected.has(code)) return notSent(why, true)
  if (typeof shape.code === 'string' && madeBeforeSending.has(shape.code)) return notSent(why, couldConnectLater(shape))
  if (shape.name === 'UnauthorizedError') return notSent(why, false)
  const rpcCode = rpcCodeOf(shape)
  if (rpcCode !== undefined && refusals.has(rpcCode)) return { certainty: 'refused', why, code: rpcCode }
  return { certainty: 'ambiguous', why }
}

/** A connection that was refused for its credential is refused again; of anything else nobody knows. */
function couldConnectLater({ cause }: Shape): boolean {
  const reason = cause === undefined ? undefined : judgeFailure(cause)
  return reason?.certainty !== 'not_sent' || reason.isWorthRepeating
}

const notSent = (why: string, isWorthRepeating: boolean): Failure => ({ certainty: 'not_sent', why, isWorthRepeating })

/** The connection was never made, so no byte of the request was sent. A reset or a broken pipe comes after that. */
const neverConnected = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
  'CERT_HAS_EXPIRED',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'ERR_TLS_CERT_ALTNAME_INVALID',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
])

/** Codes of the v2 SDK's own errors that it makes before it hands a message to the transport. */
const madeBeforeSending = new Set([
  'NOT_CONNECTED',
  'NOT_INITIALIZED',
  'CAPABILITY_NOT_SUPPORTED',
  'METHOD_NOT_SUPPORTED_BY_PROTOCOL_VERSION',
])

/**
 * JSON-RPC errors with which a message is turned away before anybody looks at the call. The others stay ambiguous: -32603
 * is the other side's own failure, -32000 and -32001 are what the v1 SDK calls closed connections and time-outs, and
 * -32600 and -32602 are what both SDKs throw when they refuse a result after the effect (`callTool`).
 */
const refusals = new Set([-32700, -32601, -32020, -32021, -32022])

/** `McpError` (v1) and `ProtocolError` (v2) carry the other side's error. */
const rpcCodeOf = ({ name, code }: Shape): number | undefined =>
  (name === 'McpError' || name === 'ProtocolError') && typeof code === 'number' ? code : undefined

/** Both SDKs tell the HTTP status of a refused POST: v1 as `code` of `StreamableHTTPError`, v2 as `status`. */
function statusOf({ code, status, data }: Shape): number | undefined {
  const candidates = [status, (data as { status?: unknown } | undefined)?.status, code]
  return candidates.find((value): value is number => typeof value === 'number' && value >= 300 && value <= 599)
}

/** The operating system's or undici's code, which `fetch` hides in the cause. */
function systemCode(shape: Shape): string | undefined {
  let at: Shape | undefined = shape
  for (let depth = 0; at !== undefined && depth < 5; depth += 1) {
    if (typeof at.code === 'string' && neverConnected.has(at.code)) return at.code
    at = (at.cause ?? undefined) as Shape | undefined
  }
  return undefined
}

/** As Holdfast itself judges the servers behind it (docs/concepts.md). */
function judgeStatus(status: number, why: string): Failure {
  if (status === 408 || status === 499 || status >= 500) return { certainty: 'ambiguous', why }
  // An ended session (404) is opened again, a full server (429) has room later; the others need somebody's hand.
  return notSent(why, status === 404 || status === 429)
}
