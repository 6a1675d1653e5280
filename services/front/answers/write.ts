/**
 * How a write is answered: one exhaustive switch from what is known to the result on the wire. Answers that are not the
 * upstream's own have `isError: true`, one text block and no `structuredContent`, which SDKs would check against the
 * tool's schema.
 */
import type { Code } from '../../../shared/call/codes.ts'
import { isFinal } from '../../../shared/call/operation.ts'
import type { Reply, UpstreamAnswer } from '../../../shared/call/record.ts'
import { InvariantError } from '../../../shared/errors.ts'
import { hasRoom } from '../schema/notice.ts'
import { type Question, words } from '../words.ts'
import {
  answerState,
  codeOf,
  finishedAt,
  type OutcomeMeta,
  outcomeMetaName,
  recordFields,
  recoveryState,
} from './outcome-meta.ts'
import { editResult, textOf } from './raw.ts'

/** Everything a write can be answered with. */
export type WriteReply =
  | Reply
  /** The wait is over and nothing was heard. */
  | { readonly kind: 'silent'; readonly callId: string }
  /** Refused before a row existed; `detail` says what exactly. */
  | {
      readonly kind: 'not_accepted'
      readonly callId: string
      readonly code: Code
      readonly detail?: string | undefined
      readonly retryAfterMs?: number
    }
  /** The journal did not acknowledge the command. */
  | { readonly kind: 'doubtful'; readonly callId: string }

/** `question`: what `holdfast_outcome` is asked with when the call itself is not on record. */
export type WriteContext = {
  readonly era: 'legacy' | 'modern'
  readonly server: string
  readonly key?: string | undefined
  readonly keySource?: string | undefined
  /** Database time, milliseconds. */
  readonly now: number
  /** The shape of results that the tool declares, if it does: clients refuse a success that has none. */
  readonly outputSchema: unknown
  /** Whether the client can answer the question that upstream asks. */
  readonly canAnswer: (rawQuestion: string) => boolean
  /** Holdfast's name in the `_meta` of modern answers. */
  readonly serverInfo: Readonly<Record<string, unknown>>
}

/** A key that the model chose is quickly reused by mistake; a younger replay is a retry and needs no remark. */
const noticeAfterMs = 120_000

/**
 * @returns JSON text of a `CallToolResult` (or of the recorded `input_required` result)
 */
export function answerWrite(reply: WriteReply, context: WriteContext): string {
  const question = questionOf(reply, context)
  switch (reply.kind) {
    case 'not_accepted': {
      const { callId, code, detail, retryAfterMs } = reply
      const meta = {
        state: 'not_accepted',
        code,
        callId,
        replayed: false,
        ...keyOf(context),
        ...(retryAfterMs !== undefined && { retryAfterMs }),
      } as const
      return own(words.notAccepted(code, detail, context.key === undefined ? undefined : byKey(context)), meta, context)
    }
    case 'doubtful':
      return own(
        words.doubtful(question),
        { state: 'unknown', code: 'journal_doubtful', callId: reply.callId, replayed: false, ...keyOf(context) },
        context,
      )
    case 'silent':
      return own(
        words.pending(question),
        { state: 'pending', code: 'idempotency_in_flight', callId: reply.callId, replayed: false, ...keyOf(context) },
        context,
      )
    case 'running':
      return answerRecord(
        { kind: 'outcome', how: 'own', callId: reply.callId, record: reply.record },
        question,
        context,
      )
    case 'outcome':
      return reply.how === 'conflicted'
        ? answerConflict(reply, question, context)
        : answerRecord(reply, question, context)
    case 'not_found':
      throw new InvariantError(`a write was answered not_found (call ${reply.callId})`)
  }
}

type OutcomeReply = Extract<Reply, { kind: 'outcome' }>

function answerConflict(reply: OutcomeReply, question: Question, context: WriteContext): string {
  const { callId, record } = reply
  const code = reply.code ?? 'idempotency_conflict'
  const meta = {
    state: 'conflict',
    code,
    callId,
    of: record.operation.callId,
    replayed: false,
    ...recordFields(record),
    ...keyOf(context),
  } as const
  return own(words.conflict(code, question, record.operation.callId), meta, context)
}

function answerRecord(reply: OutcomeReply, question: Question, context: WriteContext): string {
  const { record } = reply
  const { operation, answer } = record
  const meta = metaOf(reply)
  const said = answer && saidBy(answer)
  if (record.expired) return own(words.expired(), meta, context)
  switch (operation.state) {
    case 'accepted':
    case 'executing':
      return own(words.pending(question), meta, context)
    case 'awaiting_approval':
      return own(words.awaitingApproval(question), meta, context)
    case 'awaiting_input':
      return answer?.kind === 'input_required' && context.canAnswer(answer.raw)
        ? recorded(answer.raw, meta, context)
        : own(words.question(question, said), meta, context)
    case 'succeeded':
      return answer?.kind === 'result'
        ? recorded(answer.raw, meta, context, noticeOf(reply, context))
        : established(words.succeededByEvidence(operation.evidence), meta, context)
    case 'failed':
      return answer?.kind === 'result'
        ? recorded(answer.raw, meta, context, words.failedFinally)
        : own(words.failed(operation.code, said), meta, context)
    case 'not_executed':
      return own(words.notExecuted(operation.code, operation.reopenable, said), meta, context)
    case 'unknown':
      return own(words.unknown(question, operation.code, said, recoveryState(record)), meta, context)
  }
}

function metaOf({ how, callId, record, retryAfterMs }: OutcomeReply): OutcomeMeta {
  const code = codeOf(record) ?? (answerState(record) === 'pending' ? 'idempotency_in_flight' : undefined)
  return {
    state: answerState(record),
    ...(code !== undefined && { code }),
    callId,
    ...(record.operation.callId !== callId && { of: record.operation.callId }),
    ...recordFields(record),
    replayed: how !== 'own' && answerState(record) !== 'pending',
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  }
}

/** Said where a model may have reused a name without meaning to; hosts that name keys mean it. */
function noticeOf({ how, record }: OutcomeReply, context: WriteContext): string | undefined {
  const at = finishedAt(record)
  if (how !== 'replayed' || at === undefined || !isFinal(record.operation)) return undefined
  if (!modelNamedKey(context)) return undefined
  return context.now - record.operation.finishedAt > noticeAfterMs ? words.alreadyDone(at) : undefined
}

const modelNamedKey = ({ keySource }: WriteContext): boolean =>
  keySource === 'argument' || keySource === 'upstream_argument'

const keyOf = ({ key }: WriteContext) => (key === undefined ? {} : { key })
const byKey = ({ server, key }: WriteContext): Question => ({ server, key: key as string })

/** By the call that is surely on record where there is one, else by key, which the journal answers for. */
function questionOf(reply: WriteReply, context: WriteContext): Question {
  if (reply.kind === 'outcome' || reply.kind === 'running') return { callId: reply.record.operation.callId }
  return reply.kind === 'silent' || context.key === undefined ? { callId: reply.callId } : byKey(context)
}

/** What the server said, as text to quote. */
export function saidBy(answer: UpstreamAnswer): string {
  switch (answer.kind) {
    case 'result':
    case 'input_required':
      return textOf(answer.raw) || answer.raw
    case 'error':
      return messageOf(answer.raw)
    case 'http':
      return answer.raw
  }
}

function messageOf(rawError: string): string {
  const { message, code } = JSON.parse(rawError) as { message?: unknown; code?: unknown }
  return typeof message === 'string' ? `${message} (code ${String(code)})` : rawError
}

const own = (text: string, meta: OutcomeMeta, context: WriteContext): string =>
  ownResult(text, { [outcomeMetaName]: meta }, context)

/**
 * It happened, and the server's own answer is not there to be passed on. That is no error; only where the tool promises a
 * shape, a success without it would be thrown away by the client, so there it has to look like one.
 */
const established = (text: string, meta: OutcomeMeta, context: WriteContext): string =>
  ownResult(text, { [outcomeMetaName]: meta }, context, context.outputSchema !== undefined)

const recorded = (raw: string, meta: OutcomeMeta, context: WriteContext, notice?: string): string =>
  editResult(raw, {
    meta: { ...eraMeta(context), [outcomeMetaName]: meta },
    notice,
    // A program that names its keys reads `_meta`, and gets the server's data as they are.
    noticeInside: modelNamedKey(context) && hasRoom(context.outputSchema),
    resultType: resultTypeOf(context),
  })

type Era = Pick<WriteContext, 'era' | 'serverInfo'>

/** Modern results carry their type and the server's name. */
export const resultTypeOf = ({ era }: Era): string | undefined => (era === 'modern' ? 'complete' : undefined)
export const eraMeta = ({ era, serverInfo }: Era): Record<string, unknown> =>
  era === 'modern' ? { 'io.modelcontextprotocol/serverInfo': serverInfo } : {}

/** A result of Holdfast's own: one text, `isError`, no `structuredContent`. */
export function ownResult(text: string, meta: Readonly<Record<string, unknown>>, era: Era, isError = true): string {
  const resultType = resultTypeOf(era)
  return JSON.stringify({
    content: [{ type: 'text', text }],
    isError,
    ...(resultType !== undefined && { resultType }),
    _meta: { ...eraMeta(era), ...meta },
  })
}
