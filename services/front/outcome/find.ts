/**
 * Finds the record that a question is about. `not_found` is said only where it is proved (I9): of a key, by the journal
 * itself, behind every command of that key; of a call or a change, when everything appended before has been handled.
 */
import { type AskCommand, type Caller, commandRecord } from '../../../shared/call/command.ts'
import type { OutcomeQuery, Viewer } from '../../../shared/call/broker-port.ts'
import { isFinal } from '../../../shared/call/operation.ts'
import type { OutcomeRecord } from '../../../shared/call/record.ts'
import { crashPoint } from '../../../shared/process/crash-point.ts'
import type { Front } from '../deps.ts'

/** `server` is the name that keys are recorded under. */
export type Question =
  | { readonly by: 'key'; readonly servers: readonly string[]; readonly key: string }
  | { readonly by: 'call'; readonly callId: string }
  | { readonly by: 'fingerprint'; readonly server: string; readonly fingerprint: string }

export type Found =
  | { readonly kind: 'record'; readonly record: OutcomeRecord }
  | { readonly kind: 'not_found' }
  /** The key stands for changes on several servers. */
  | { readonly kind: 'ambiguous'; readonly servers: readonly string[] }
  | { readonly kind: 'unavailable' }

export type Asker = { readonly viewer: Viewer; readonly caller: Caller }
type Deps = Pick<Front, 'broker' | 'journal' | 'waiters' | 'clock' | 'ids' | 'replyTo' | 'rereadMs' | 'closing' | 'log'>

/** How long the way through the journal may take, whatever the caller's own wait. */
const askWithinMs = 10_000
const pauses = { firstMs: 100, mostMs: 2_000 } as const

/**
 * @param waitMs how long to wait for a final state; 0 answers with the state as it is
 * @returns never rejects: what cannot be read is `unavailable`
 */
export async function findOutcome(deps: Deps, asker: Asker, question: Question, waitMs: number): Promise<Found> {
  const end = performance.now() + waitMs
  try {
    const found = question.by === 'key' ? await findKey(deps, asker, question) : await findOther(deps, asker, question)
    return found.kind === 'record'
      ? { kind: 'record', record: await waitForEnd(deps, asker, found.record, end) }
      : found
  } catch (error) {
    deps.log.warn({ err: error }, 'an outcome could not be read')
    return { kind: 'unavailable' }
  }
}

async function findKey(deps: Deps, asker: Asker, { servers, key }: Question & { by: 'key' }): Promise<Found> {
  const { viewer } = asker
  const records = await Promise.all(servers.map(server => deps.broker.outcome({ viewer, by: 'key', server, key })))
  const known = together(
    records.map(record => (record === undefined ? { kind: 'not_found' } : { kind: 'record', record })),
  )
  if (known.kind !== 'not_found') return known
  return together(await Promise.all(servers.map(server => askJournal(deps, asker, { server, key }))))
}

/** One record is the answer; none is `not_found` only where every server says so. */
function together(found: readonly Found[]): Found {
  const records = found.filter(each => each.kind === 'record')
  if (records.length > 1) return { kind: 'ambiguous', servers: records.map(({ record }) => record.server) }
  return records[0] ?? found.find(each => each.kind === 'unavailable') ?? { kind: 'not_found' }
}

async function askJournal(
  deps: Deps,
  { viewer, caller }: Asker,
  { server, key }: { server: string; key: string },
): Promise<Found> {
  const { broker, journal, waiters, clock, ids, replyTo, rereadMs, closing } = deps
  const callId = ids.ulid()
  const command: AskCommand = { type: 'ask', callId, ...viewer, server, key, caller, receivedAt: clock.now(), replyTo }
  const mailbox = waiters.open(callId)
  const end = performance.now() + askWithinMs
  try {
    crashPoint('front.ask.before')
    await journal.append([commandRecord(command)])
    crashPoint('front.ask.after')
    while (!closing.aborted && performance.now() < end) {
      const reply = await mailbox.next(Math.min(rereadMs, end - performance.now()), closing)
      if (reply?.kind === 'not_found') return { kind: 'not_found' }
      // Silence proves nothing about an absent key: only the reply says `not_found`.
      const record = reply?.record ?? (await broker.outcome({ viewer, by: 'key', server, key }))
      if (record !== undefined) return { kind: 'record', record }
    }
    return { kind: 'unavailable' }
  } finally {
    mailbox.close()
  }
}

async function findOther(
  { broker }: Deps,
  { viewer }: Asker,
  question: Exclude<Question, { by: 'key' }>,
): Promise<Found> {
  const query: OutcomeQuery = { viewer, ...question }
  const record = await broker.outcome(query)
  if (record !== undefined) return { kind: 'record', record }
  if (!(await broker.caughtUp(askWithinMs))) return { kind: 'unavailable' }
  const now = await broker.outcome(query)
  return now === undefined ? { kind: 'not_found' } : { kind: 'record', record: now }
}

/** Polls with growing pauses, and wakes on a reply about the operation. */
async function waitForEnd(deps: Deps, { viewer }: Asker, first: OutcomeRecord, end: number): Promise<OutcomeRecord> {
  if (isOver(first) || performance.now() >= end) return first
  const { callId, operationId } = first.operation
  const mailbox = deps.waiters.open(operationId)
  let record = first
  let pauseMs: number = pauses.firstMs
  try {
    while (!isOver(record) && !deps.closing.aborted) {
      const left = end - performance.now()
      if (left <= 0) break
      await mailbox.next(Math.min(pauseMs, left), deps.closing)
      pauseMs = Math.min(pauseMs * 2, pauses.mostMs)
      record = (await deps.broker.outcome({ viewer, by: 'call', callId })) ?? record
    }
    return record
  } finally {
    mailbox.close()
  }
}

/** Waiting longer changes nothing, unless somebody acts. An `unknown` may still be settled by a late answer. */
const isOver = ({ operation, expired }: OutcomeRecord): boolean =>
  expired || isFinal(operation) || operation.state === 'awaiting_input'
