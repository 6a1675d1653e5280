/**
 * What a model is told, word for word. Every text names the call and the very next step, because `_meta` never reaches
 * a model and a model acts on what it reads last.
 */
import { type Code, codes, type OutcomeCode } from '../../shared/call/codes.ts'

/** What `holdfast_outcome` is asked with, ready to use. */
export type Question =
  | { readonly callId: string }
  | { readonly server?: string; readonly key: string }
  | { readonly tool: string; readonly arguments: unknown }

const ask = (question: Question) => `holdfast_outcome ${JSON.stringify({ ...question, waitMs: 30_000 })}`

export const keyDescription =
  'A name for this one intended change, including what and when (invoice-1042-payment-2026-11-21). Same change, same key, always.'

/** What the server itself said, where it may help; long texts are cut. */
const quoted = (upstream: string | undefined) =>
  upstream === undefined || upstream === ''
    ? ''
    : `\nThe server's own answer: ${upstream.length > 2000 ? `${upstream.slice(0, 2000)} …` : upstream}`

const sentences = (...parts: string[]) => parts.filter(part => part !== '').join(' ')

const finalForKey = 'This is final for this key; a corrected call is a new change: use a new key.'

export const words = {
  pending: (question: Question) =>
    `STILL RUNNING, not failed. Do not send this under another key. Next: ${ask(question)}.`,

  awaitingApproval: (question: Question) =>
    `WAITING FOR A PERSON'S APPROVAL, not failed. Do not send this under another key. Next: ${ask(question)}.`,

  unknown: (question: Question, code: Code, upstream?: string, recovery?: 'under_way' | 'over') =>
    sentences(
      `MAY HAVE HAPPENED. ${codes[code].what}`,
      recovery === undefined ? '' : recoveryWords[recovery],
      'Do not send it again under a new key, and do not report success or failure.',
      `Next: ${ask(question)}; if still unknown, tell the user that this is unconfirmed.`,
    ) + quoted(upstream),

  /** Nothing left this process for the server. */
  notExecuted: (code: OutcomeCode, reopenable: boolean, upstream?: string) => {
    const { what, means, next } = codes[code]
    if (!reopenable) return `NOT EXECUTED. ${what} ${means} ${next}` + quoted(upstream)
    // A request that was turned away was sent, so "nothing was sent" would be untrue of it.
    if (code === 'refused_by_upstream') {
      return `NOT EXECUTED. ${what} Safe to repeat with the same key once the cause is removed.` + quoted(upstream)
    }
    return `NOTHING WAS SENT. ${what} Safe to repeat with the same key.`
  },

  /** Follows the server's own words. Not every client tells its model that a result is an error, so this does. */
  failedFinally: `FAILED: the server answered with an error. ${finalForKey}`,

  failed: (code: OutcomeCode, upstream?: string) =>
    `FAILED. ${codes[code].what} ${codes[code].means}${quoted(upstream)}\n${finalForKey}`,

  /** The outcome is on record, the server's answer is not. */
  succeededByEvidence: (evidence: string) =>
    `IT HAPPENED. The server's own answer is not on record; this was established by ${evidenceWords[evidence] ?? evidence}. Report it as done; do not send it again.`,

  /** Follows the recorded answer. */
  alreadyDone: (at: string) => `Not done again: already done at ${at}; for another one use a new key.`,

  question: (question: Question, upstream: string | undefined) =>
    `THE SERVER ASKS BEFORE IT GOES ON, and this client cannot answer such questions. Tell the user. Do not send this under another key. Later: ${ask(question)}.` +
    quoted(upstream),

  conflict: (
    code: 'idempotency_conflict' | 'input_conflict' | 'possible_duplicate',
    question: Question,
    firstCall: string,
  ) => {
    const { what, next } = codes[code]
    const ready = code === 'possible_duplicate' ? next.replace('<callId>', firstCall) : next
    return `NOTHING WAS SENT for this request. ${what} ${ready} Next: ${ask(question)}.`
  },

  expired: () => {
    const { what, means, next } = codes.idempotency_key_expired
    return `NOTHING WAS SENT for this request. ${what} ${means} ${next}`
  },

  notFound: () => {
    const { what, means } = codes.not_found
    return `NOT FOUND. ${what} ${means} It is safe to send it, with this key.`
  },

  /** A refusal before the key was claimed. */
  notAccepted: (code: Code, detail: string | undefined, question: Question | undefined) => {
    const { what, means, next } = codes[code]
    const earlier =
      question === undefined || !means.startsWith('This request was not accepted') ? '' : `To ask: ${ask(question)}.`
    return sentences(`NOT ACCEPTED. ${what}`, detail ?? '', means, next, earlier)
  },

  /** The append was not acknowledged: nobody may call it refused. */
  doubtful: (question: Question) => {
    const { what, means } = codes.journal_doubtful
    return `MAY STILL HAPPEN. ${what} ${means} Do not send it under a new key. Next: ${ask(question)}, or repeat with the same key.`
  },

  /** A read changes nothing, so it can be repeated whatever happened to it. */
  readFailed: (code: Code, upstream?: string) =>
    `THE READ WAS NOT ANSWERED. ${codes[code].what} It changes nothing and may be repeated.` + quoted(upstream),
} as const

/** What is done about an unknown by itself. */
const recoveryWords = {
  under_way: 'Holdfast is finding out by itself.',
  over: 'Holdfast has tried to find out and tries no further; a person can settle it.',
} as const

const evidenceWords: Record<string, string> = {
  upstream: 'the server',
  late_answer: 'a late answer of the server',
  probe: 'looking at the server',
  upstream_replay: 'asking the server again',
  person: 'a person',
  dispatcher: 'the process that was to send it',
  no_intent: 'the absence of any intent to send it',
}

/** What to do about each state, for `holdfast_outcome` and `holdfast_report`. */
export const nextStep = {
  succeeded: 'It happened. Report it; do not send it again.',
  failed: words.failedFinally,
  notExecutedReopenable: 'It did not happen. Send it again with the same key if it is still wanted.',
  notExecutedClosed: 'It did not happen and this key is closed. Use a new key if it is still wanted.',
  pending: 'Still running, not failed. Ask again; do not send it under another key.',
  awaitingInput:
    'The server asks a question. Repeat the call with its answer and the same key, from a client that can answer.',
  awaitingApproval: 'A person has to approve it. Ask again; do not send it under another key.',
  unknownRecovering:
    'May have happened; Holdfast is finding out by itself. Do not send it again under a new key; ask again, and if still unknown tell the user that this is unconfirmed.',
  unknownOver:
    'May have happened; Holdfast has tried to find out and tries no further. Do not send it again under a new key; tell the user that this is unconfirmed and that a person can settle it (holdfast unknowns).',
  unknown:
    'May have happened. Do not send it again under a new key; ask again, and if still unknown tell the user that this is unconfirmed.',
  notFound: 'It did not happen under this key. Send it, with this key, if it is wanted.',
  notFoundCall: 'No such call is on record here. Ask by key, or by tool and arguments.',
  notFoundChange: 'This change is not on record. Send it, with a key, if it is wanted.',
  expired: 'The outcome was kept for its retention and dropped. It is never run again; use a new key for a new change.',
  unavailable: 'Nothing is said about the call: the record could not be read now. Ask again.',
} as const
