/**
 * What the client is told when Holdfast did not answer: in the words that Holdfast has for it, and never more than is
 * known. The bridge knows no call and no record; it knows the key.
 */
import { type Code, codes } from '../../../shared/call/codes.ts'
import { isRecord } from '../../../shared/config/raw.ts'
import { outcomeMetaName } from '../../front/answers/outcome-meta.ts'
import { ownResult } from '../../front/answers/write.ts'
import { serverInfo } from '../../front/mcp/identity.ts'
import { type Question, words } from '../../front/words.ts'
import type { Request } from './message.ts'

export type Failure =
  /** Nothing was sent, or it was turned away before anybody looked at the call. */
  | { readonly kind: 'refused'; readonly code: Code; readonly detail?: string | undefined }
  /** It was sent, and no complete answer came. */
  | { readonly kind: 'lost' }

type About = {
  readonly era: 'legacy' | 'modern' /** Of the address `/mcp/{server}`. */
  readonly route: string | undefined
}

/** @returns the JSON-RPC answer to one request, on one line */
export function failureAnswer(request: Request, failure: Failure, about: About): string {
  const id = JSON.stringify(request.id)
  if (request.method !== 'tools/call') return `{"jsonrpc":"2.0","id":${id},"error":${JSON.stringify(errorOf(failure))}}`
  return `{"jsonrpc":"2.0","id":${id},"result":${resultOf(request, failure, about)}}`
}

/** Outside of what JSON-RPC and MCP keep for themselves. */
const errorCode = -31_000

function errorOf(failure: Failure) {
  const code = failure.kind === 'lost' ? 'holdfast_lost' : failure.code
  const { what, next } = codes[code]
  const detail = failure.kind === 'refused' && failure.detail !== undefined ? ` ${failure.detail}` : ''
  const say = failure.kind === 'lost' ? 'Repeat the request.' : next
  return { code: errorCode, message: `${what}${detail} ${say}`, data: { code } }
}

function resultOf(request: Request, failure: Failure, { era, route }: About): string {
  const question = questionOf(request, route)
  const key = keyOf(request)
  const known = { replayed: false, ...(key !== undefined && { key }) }
  const own = (text: string, outcome: object) =>
    ownResult(text, { [outcomeMetaName]: { ...outcome, ...known } }, { era, serverInfo })
  if (failure.kind === 'refused')
    return own(words.notAccepted(failure.code, failure.detail, key === undefined ? undefined : question), {
      state: 'not_accepted',
      code: failure.code,
    })
  const text =
    key === undefined
      ? `NO ANSWER. ${codes.holdfast_lost.what} A read may be repeated. If this changes anything it may have happened: ask holdfast_outcome ${JSON.stringify(question)} first.`
      : words.unknown(question, 'holdfast_lost')
  return own(text, { state: 'unknown', code: 'holdfast_lost' })
}

function questionOf(request: Request, route: string | undefined): Question {
  const key = keyOf(request)
  const tool = typeof request.params.name === 'string' ? request.params.name : ''
  if (key === undefined) return { tool, arguments: request.params.arguments ?? {} }
  const server = route ?? (tool.includes('__') ? tool.slice(0, tool.indexOf('__')) : undefined)
  return { ...(server !== undefined && { server }), key }
}

/** Wherever a client without HTTP can put it. */
function keyOf({ params }: Request): string | undefined {
  const { _meta: meta, arguments: args } = params
  return [
    isRecord(meta) ? meta['dev.holdfast/idempotency-key'] : undefined,
    params.idempotencyKey,
    isRecord(args) ? args.idempotency_key : undefined,
  ].find(key => typeof key === 'string')
}
