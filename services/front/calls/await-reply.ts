import type { SubmitCommand } from '../../../shared/call/command.ts'
import { isAnswerable } from '../../../shared/call/decide.ts'
import { inputsHash, type Json } from '../../../shared/call/fingerprint.ts'
import { isBeingRecovered } from '../../../shared/call/operation.ts'
import type { OutcomeRecord, Reply } from '../../../shared/call/record.ts'
import type { WriteReply } from '../answers/write.ts'
import type { Front } from '../deps.ts'
import type { Mailbox } from './waiters.ts'

/**
 * Waits for the answer to an appended command: the reply, or the record where no reply comes. Ends with what is known
 * then; never rejects, and never ends the write.
 */
export async function awaitReply(
  deps: Pick<Front, 'broker' | 'closing' | 'rereadMs' | 'log' | 'clock'>,
  { submit, mailbox, waitMs }: { submit: SubmitCommand; mailbox: Mailbox; waitMs: number },
): Promise<WriteReply> {
  const { callId } = submit
  const end = performance.now() + waitMs
  let latest: WriteReply = { kind: 'silent', callId }
  while (!deps.closing.aborted) {
    const left = end - performance.now()
    if (left <= 0) break
    const reply = await mailbox.next(Math.min(left, deps.rereadMs), deps.closing)
    const known = reply?.callId === callId ? reply : await reread(deps, submit)
    if (known === undefined) continue
    if (isAnswer(known) && !isWorthWaiting(known, deps.clock.now() + (end - performance.now()))) return known
    latest = known
  }
  return latest
}

/** An unknown that may be settled while the caller waits anyway: the next step of its recovery is due before that ends. */
const isWorthWaiting = (reply: Reply, untilMs: number): boolean =>
  reply.kind === 'outcome' &&
  reply.how !== 'conflicted' &&
  isBeingRecovered(reply.record.operation) &&
  (reply.record.operation.recovery?.next?.at ?? 0) < untilMs

const isAnswer = (reply: Reply): boolean =>
  reply.kind === 'outcome' &&
  (reply.how === 'conflicted' || reply.record.expired || isAnswerable(reply.record.operation))

async function reread(
  { broker, log }: Pick<Front, 'broker' | 'log'>,
  submit: SubmitCommand,
): Promise<Reply | undefined> {
  const { callId, tenant, keyspace } = submit
  try {
    const record = await broker.outcome({ viewer: { tenant, keyspace }, by: 'call', callId })
    return record && replyFrom(record, submit)
  } catch (error) {
    log.debug({ err: error, callId }, 'an outcome could not be re-read; still waiting')
    return undefined
  }
}

/**
 * How a call stands to the operation that its `callId` leads to, told from the record alone. Undefined where the record
 * does not tell: then only broker's own reply can.
 */
export function replyFrom(record: OutcomeRecord, submit: SubmitCommand): Reply | undefined {
  const { callId } = submit
  const { operation } = record
  const conflicted = (code: 'idempotency_conflict' | 'possible_duplicate'): Reply => ({
    kind: 'outcome',
    callId,
    how: 'conflicted',
    code,
    record,
  })
  if (operation.callId === callId) return { kind: 'outcome', callId, how: 'own', record }
  if (record.key !== submit.key) return conflicted('possible_duplicate')
  // After a failover it is not known which of several changes held the key: none is told that nothing was sent for it.
  const isDoubtful = operation.state === 'unknown' && operation.code === 'record_lost'
  if (isDoubtful) return { kind: 'outcome', callId, how: 'replayed', record }
  if (operation.fingerprint !== submit.fingerprint) return conflicted('idempotency_conflict')
  if (submit.inputs !== undefined && !continues(operation.inputsHash, submit.inputs)) return undefined
  return { kind: 'outcome', callId, how: isAnswerable(operation) ? 'replayed' : 'attached', record }
}

const continues = (hash: string | undefined, inputs: NonNullable<SubmitCommand['inputs']>): boolean =>
  hash === inputsHash(inputs.requestState, inputs.inputResponses as Json | undefined)
