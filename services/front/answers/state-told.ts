import type { Code } from '../../../shared/call/codes.ts'
import { type AnswerState, answerState, codeOf } from './outcome-meta.ts'
import type { WriteReply } from './write.ts'

/** The state and code that an answer to a write names. */
export function stateTold(reply: WriteReply): { readonly state: AnswerState; readonly code?: Code | undefined } {
  switch (reply.kind) {
    case 'not_accepted':
      return { state: 'not_accepted', code: reply.code }
    case 'doubtful':
      return { state: 'unknown', code: 'journal_doubtful' }
    case 'silent':
      return { state: 'pending', code: 'idempotency_in_flight' }
    case 'not_found':
      return { state: 'not_found', code: 'not_found' }
    case 'running':
      return { state: answerState(reply.record), code: codeOf(reply.record) }
    case 'outcome':
      return reply.how === 'conflicted'
        ? { state: 'conflict', code: reply.code ?? 'idempotency_conflict' }
        : { state: answerState(reply.record), code: codeOf(reply.record) }
  }
}
