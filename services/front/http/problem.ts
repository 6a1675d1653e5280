import type { FastifyReply } from 'fastify'
import { type Code, codes } from '../../../shared/call/codes.ts'

/** Answers with a code of the table: its status, its words, and what exactly was wrong where that is known. */
export function sendProblem(reply: FastifyReply, code: Code, message?: string): FastifyReply {
  const { http, what, means, next } = codes[code]
  if (code === 'unauthorized') reply.header('www-authenticate', 'Bearer realm="holdfast"')
  return reply.code(http).send({ code, message: message ?? what, what, means, next })
}
