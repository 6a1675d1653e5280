/**
 * Who reads the history is in the history: each statement with who asked it and how much it read, on record before the answer
 * leaves. What cannot be put on record is not answered. Nothing of the answer is kept.
 */
import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { type Clock, eventRecord } from '../../../shared/events/event.ts'
import type { Journal, NewRecord } from '../../../shared/journal/port.ts'
import type { Log } from '../log.ts'
import { type Refusal, refuse } from './refusal.ts'
import type { Reading } from './run.ts'

export type ReadsDeps = {
  readonly journal: Pick<Journal, 'append'>
  readonly clock: { now(): number }
  /** Whose time that is. */
  readonly clockIs: Clock
  readonly ids: { ulid(): string }
  readonly log: Log
}

export type Read = {
  readonly reading: Pick<Reading, 'agent' | 'tenant' | 'credential'>
  readonly message: IncomingMessage
  readonly statement: string
  readonly startedAt: number
  /** What came of it: how much was read and sent, or why it was not. */
  readonly outcome: { readonly rows?: number; readonly bytes?: number } | { readonly refused: string }
}

/** @returns why the answer must not be given, when its record could not be made */
export async function recordRead(deps: ReadsDeps, read: Read): Promise<Refusal | undefined> {
  try {
    await deps.journal.append([recordOf(deps, read)])
    return undefined
  } catch (error) {
    deps.log.warn({ err: error }, 'a read of the history could not be put on record, so it was not answered')
    return refuse(
      'NETWORK_ERROR',
      'Reads of the history are put on record, and the journal does not take records now: ask again when it does.',
    )
  }
}

const longestStatement = 4_096
const longestReason = 500

function recordOf({ clock, clockIs, ids }: ReadsDeps, read: Read): NewRecord {
  const { reading, message, statement, startedAt, outcome } = read
  const isCut = statement.length > longestStatement
  const isRefused = 'refused' in outcome
  return eventRecord({
    type: isRefused ? 'history.refused' : 'history.queried',
    stream: `history/${ids.ulid()}`,
    sequence: 1,
    time: new Date(clock.now()).toISOString(),
    source: 'holdfast/audit',
    tenant: reading.tenant,
    agent: reading.agent,
    credential: reading.credential,
    client: headerOf(message, 'user-agent'),
    origin: headerOf(message, 'origin'),
    effect: 'read',
    clock: clockIs,
    statement: isCut ? statement.slice(0, longestStatement) : statement,
    statementCommitment: isCut ? `sha256:${createHash('sha256').update(statement).digest('hex')}` : undefined,
    truncated: isCut ? ['statement'] : undefined,
    rows: isRefused ? undefined : outcome.rows,
    resultBytes: isRefused ? undefined : outcome.bytes,
    reason: isRefused ? outcome.refused.trim().slice(0, longestReason) : undefined,
    durationMs: Math.max(0, Math.round(performance.now() - startedAt)),
  })
}

function headerOf({ headers }: IncomingMessage, name: string): string | undefined {
  const value = headers[name]
  return typeof value === 'string' && value !== '' ? value.slice(0, 255) : undefined
}
