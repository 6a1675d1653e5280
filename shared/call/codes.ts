/**
 * Every code Holdfast itself can put into an answer, with what happened, what it means for the call, and what to do.
 * One table: the wire, the docs (`docs/errors.md`) and the tests read it. Codes of the HTTP API follow the IETF draft
 * draft-ietf-httpapi-idempotency-key-header.
 */

export type CodeEntry = {
  /** HTTP status where the code travels over the HTTP API; MCP answers carry it in `_meta["dev.holdfast/outcome"]`. */
  readonly http: number
  /** `outcome`: says something about an operation. `refusal`: the request was not accepted, the key not claimed. */
  readonly kind: 'outcome' | 'refusal'
  readonly what: string
  readonly means: string
  readonly next: string
}

const outcome = (what: string, means: string, next: string, http = 200) =>
  ({ http, kind: 'outcome' as const, what, means, next }) satisfies CodeEntry
const refusal = (http: number, what: string, means: string, next: string) =>
  ({ http, kind: 'refusal' as const, what, means, next }) satisfies CodeEntry

const nothingSent = 'Nothing was sent to the server.'
const nothingSentForThis = 'Nothing was sent for this request.'
const notClaimed = 'This request was not accepted; earlier ones with this key may have run.'

export const codes = {
  // Outcomes: not_executed
  deadline_passed: outcome(
    'The call waited longer than it may before it was sent.',
    nothingSent,
    'Repeat it with the same key.',
  ),
  queue_full: outcome(
    'Too many accepted calls wait for this server.',
    nothingSent,
    'Repeat it with the same key after retryAfterMs.',
  ),
  cancelled: outcome(
    'The caller cancelled before anything was sent.',
    nothingSent,
    'Repeat it with the same key if it is wanted after all.',
  ),
  owner_gone: outcome(
    'The process that held the call stopped before it sent anything.',
    nothingSent,
    'Repeat it with the same key.',
  ),
  asked_before: outcome(
    'Somebody asked for the outcome of this key and was told not_found before this call was handled.',
    nothingSent,
    'Repeat it with the same key.',
  ),
  not_sent: outcome(
    'The server could not be reached: no byte of the call was sent.',
    nothingSent,
    'Repeat it with the same key.',
  ),
  refused_by_upstream: outcome(
    'The server turned the request away before looking at the call (for example 401, 429, an unknown session).',
    'It was not executed.',
    'Repeat it with the same key once the cause is removed.',
  ),
  approval_refused: outcome(
    'A person refused the call.',
    nothingSent,
    'Do not repeat it; a changed call is a new change with a new key.',
  ),
  settled_not_executed: outcome(
    'A person or a probe established that the change did not happen.',
    'This key is closed: the first request may still be on its way, so it is never sent again.',
    'Use a new key if the change is still wanted.',
  ),

  // Outcomes: failed
  upstream_error: outcome(
    'The server answered with an error.',
    'Final for this key. It does not say that nothing happened.',
    'A corrected call is a new change: use a new key.',
  ),
  upstream_rejected: outcome(
    'The server rejected the HTTP request.',
    'Final for this key.',
    'A corrected call is a new change: use a new key.',
  ),

  settled_failed: outcome(
    'A person established that the change failed.',
    'Final for this key. It does not say that nothing happened.',
    'A corrected call is a new change: use a new key.',
  ),

  // Outcomes: unknown
  timeout: outcome(
    'The server did not answer within the time-out.',
    'It may have happened, or may still happen.',
    'Ask holdfast_outcome; do not send it under a new key.',
  ),
  connection_lost: outcome(
    'The connection to the server ended before its answer was complete.',
    'It may have happened.',
    'Ask holdfast_outcome; do not send it under a new key.',
  ),
  upstream_5xx: outcome(
    'The server or a proxy before it answered with a 5xx status.',
    'It may have happened.',
    'Ask holdfast_outcome.',
  ),
  ambiguous_error: outcome(
    'The server answered with an error that does not say whether the change happened.',
    'It may have happened.',
    'Ask holdfast_outcome; the recorded answer is attached.',
  ),
  unreadable_answer: outcome(
    'The server answered something that is not a valid MCP result.',
    'It may have happened.',
    'Ask holdfast_outcome.',
  ),
  dispatcher_lost: outcome(
    'The process that sent the call stopped before it recorded an answer.',
    'It may have happened.',
    'Ask holdfast_outcome; do not send it under a new key.',
  ),
  record_lost: outcome(
    'The record of this call was lost in a database failover.',
    'It may have happened.',
    'Ask holdfast_outcome; do not send it under a new key.',
  ),

  // Joins of a key that exists
  idempotency_conflict: outcome(
    'This key already stands for another change (other tool or arguments).',
    'Nothing was sent for this request.',
    'Use the same arguments to ask for the first change, or a new key for a new one.',
    422,
  ),
  input_conflict: outcome(
    'This round of questions was already answered with other inputs.',
    'Nothing was sent for this request.',
    'Repeat with the inputs that were sent first, or ask holdfast_outcome.',
    422,
  ),
  possible_duplicate: outcome(
    'The same change was sent under another key and is not settled.',
    'Nothing was sent for this request.',
    'Ask holdfast_outcome about the first call; for a deliberate second change end the key with ;after=<callId>.',
    409,
  ),
  idempotency_key_expired: outcome(
    'The outcome of this key was kept for its retention and then dropped.',
    'It is never run again.',
    'Use a new key for a new change.',
    410,
  ),
  idempotency_in_flight: outcome(
    'The first call with this key is still running.',
    'Not failed.',
    'Ask holdfast_outcome and wait.',
    409,
  ),

  // Refusals before a row: the key is not claimed
  idempotency_key_required: refusal(
    400,
    'A write needs an idempotency key and the call carried none.',
    nothingSentForThis,
    'Add idempotency_key: a name for this one intended change.',
  ),
  idempotency_key_invalid: refusal(
    400,
    'The key is empty, longer than 255 characters, or not printable ASCII.',
    nothingSentForThis,
    'Use 1 to 255 printable ASCII characters.',
  ),
  idempotency_key_disagrees: refusal(
    400,
    'Two places in the request carry different keys.',
    notClaimed,
    'Send one key.',
  ),
  invalid_arguments: refusal(
    400,
    "The arguments do not fit the tool's schema.",
    notClaimed,
    'Correct the arguments named in the message.',
  ),
  lossy_json: refusal(
    400,
    'The request holds JSON that would not survive a round trip (duplicate names, numbers beyond double precision, lone surrogates).',
    notClaimed,
    'Send large numbers as strings and each name once.',
  ),
  unknown_tool: refusal(
    404,
    'There is no tool of this name here.',
    notClaimed,
    'List the tools and use an exact name.',
  ),
  denied: refusal(
    403,
    'The policy does not allow this agent to call this tool.',
    notClaimed,
    'Ask the operator for a role that allows it; do not try again.',
  ),
  too_large: refusal(
    413,
    'The call is larger than the body limit, or than the journal takes in one record.',
    notClaimed,
    'Send less in one call.',
  ),
  starting: refusal(
    503,
    'This Holdfast process is starting and waits for what it needs.',
    notClaimed,
    'Repeat with the same key; /readyz says what is missing.',
  ),
  draining: refusal(
    503,
    'This Holdfast process is stopping.',
    notClaimed,
    'Repeat with the same key; another process answers.',
  ),
  journal_unavailable: refusal(
    503,
    'The journal could not be reached, and the call was provably not recorded.',
    notClaimed,
    'Repeat with the same key.',
  ),
  journal_doubtful: refusal(
    503,
    'The journal did not acknowledge the call: it may be recorded and may still run.',
    'It may happen. The same key finds it.',
    'Ask holdfast_outcome with this key, or repeat with the same key.',
  ),
  too_many_waiting: refusal(
    429,
    'Too many calls are waiting on this front.',
    notClaimed,
    'Repeat with the same key after retryAfterMs.',
  ),
  server_unavailable: refusal(
    503,
    'The server behind this tool cannot be reached.',
    'Nothing was sent.',
    'Try again later.',
  ),

  // The HTTP API
  not_found: refusal(
    404,
    'No call with this key is on record, and none received before this question will run.',
    'It did not happen under this key.',
    'Send it, with this key.',
  ),
  holdfast_unreachable: refusal(
    503,
    'Holdfast cannot be reached: no byte of the request was sent to it.',
    notClaimed,
    'Repeat it with the same key; if that goes on, tell the user that Holdfast is not running.',
  ),
  holdfast_lost: refusal(
    503,
    'The connection to Holdfast ended before its answer was complete.',
    'It may have been accepted, and may have happened. The same key finds it.',
    'Ask holdfast_outcome with this key, or repeat with the same key.',
  ),
  unauthorized: refusal(
    401,
    'The API key is missing, wrong or revoked.',
    notClaimed,
    'Send Authorization: Bearer <key>; holdfast keys create makes one.',
  ),
  auth_unavailable: refusal(503, 'API keys cannot be checked now.', notClaimed, 'Repeat with the same key.'),
  origin_refused: refusal(
    403,
    'The Host or Origin header names a site that may not call this Holdfast.',
    notClaimed,
    'Call it by the address it is bound to, not from a web page of another site.',
  ),
  internal: refusal(
    500,
    'Holdfast failed at something of its own.',
    'Nothing is said about the call: it may have run.',
    'Ask holdfast_outcome with the same key; the log has the cause.',
  ),
  resolve_denied: refusal(
    403,
    'No role of this agent may look at or settle the unknowns of others.',
    'Nothing was changed.',
    'Ask the operator for a role with resolve: true.',
  ),
  no_such_call: refusal(
    404,
    'No such call is on record for this tenant.',
    'Nothing was changed.',
    'Take the callId from holdfast unknowns.',
  ),
  not_unknown: refusal(
    409,
    'The outcome of this call is not unknown now: it is settled, or being found out at this moment.',
    'Nothing was changed.',
    'Look at it again with holdfast outcome --call <callId>.',
  ),
  bad_request: refusal(400, 'The request could not be read.', notClaimed, 'Correct what the message names.'),
  route_not_found: refusal(404, 'There is nothing at this path.', notClaimed, 'See docs/http.md for the paths.'),
  outcome_unavailable: refusal(
    503,
    'The record could not be read now.',
    'Nothing is said about the call.',
    'Ask again.',
  ),
} as const satisfies Record<string, CodeEntry>

export type Code = keyof typeof codes
/** Codes that can stand in an operation's row. */
export type OutcomeCode = {
  [C in Code]: (typeof codes)[C]['kind'] extends 'outcome' ? C : never
}[Code]
