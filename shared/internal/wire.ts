/**
 * Records and replies as JSON between services. What was recorded travels as strings inside strings, so it arrives byte
 * for byte; what does not look like a record is not believed, whoever sent it.
 */
import { z } from 'zod'
import { operationStates } from '../call/operation.ts'
import type { OutcomeRecord, Reply } from '../call/record.ts'

const operation = z.looseObject({
  operationId: z.string(),
  callId: z.string(),
  fingerprint: z.string(),
  state: z.enum(operationStates),
  epoch: z.int(),
  round: z.int(),
  sequence: z.int(),
  attempts: z.int(),
  firstSeenAt: z.number(),
})

const recordSchema = z.looseObject({
  operation,
  tenant: z.string(),
  keyspace: z.string(),
  agent: z.string(),
  conversation: z.string().optional(),
  server: z.string(),
  tool: z.string(),
  key: z.string(),
  expiresAt: z.number().optional(),
  expired: z.boolean(),
  receipt: z.object({ event: z.string(), leaf: z.string() }).optional(),
  answer: z.object({ kind: z.enum(['result', 'input_required', 'error', 'http']), raw: z.string() }).optional(),
})

/** The cases of an operation carry more than is checked here: they were written by `evolve` and travel as they are. */
export const record = recordSchema as unknown as z.ZodType<OutcomeRecord>

export const reply = z.discriminatedUnion('kind', [
  z.looseObject({
    kind: z.literal('outcome'),
    callId: z.string(),
    how: z.enum(['own', 'replayed', 'attached', 'conflicted']),
    code: z.enum(['idempotency_conflict', 'input_conflict', 'possible_duplicate']).optional(),
    record: recordSchema,
    retryAfterMs: z.number().optional(),
  }),
  z.looseObject({ kind: z.literal('not_found'), callId: z.string() }),
  z.looseObject({ kind: z.literal('running'), callId: z.string(), record: recordSchema }),
]) as unknown as z.ZodType<Reply>
