/**
 * Moving an operation this process holds: decide, evolve, commit, and after a doubt look again. The only way a held
 * operation changes.
 */
import { type Command, decide, type OperationEvent } from '../../shared/call/decide.ts'
import { evolve } from '../../shared/call/evolve.ts'
import type { Operation } from '../../shared/call/operation.ts'
import type { UpstreamAnswer } from '../../shared/call/record.ts'
import type { NewRecord } from '../../shared/journal/port.ts'
import type { Broker } from './deps.ts'
import { transitionRecord } from './events.ts'
import type { Held } from './held.ts'
import { isKept } from './kept.ts'
import { patiently } from './patience.ts'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Beside, cutWords, type Evidence } from './sql/advance.ts'
import { readById } from './sql/outcomes.ts'
import { changingOf, operationOf } from './sql/row.ts'

export type MoveOptions = {
  readonly answer?: UpstreamAnswer | undefined
  readonly intentBefore?: number | undefined
  readonly startedAt?: number | undefined
  /** What the dispatcher saw, in words, where upstream gave no answer. */
  readonly reason?: string | undefined
  /** Which attempt the answer is of, where it is not the newest. */
  readonly attempt?: number | undefined
  /** What is kept beside, should the operation move. */
  readonly evidence?: Evidence | undefined
  readonly also?: NewRecord | undefined
  /** Of an unknown, should this settle it. */
  readonly settled?: { readonly by: string; readonly words?: string | undefined } | undefined
}

/**
 * @param commandFor given the operation as it stands, what to ask of it (a fenced process asks something else)
 * @returns the operation as it stands now, and whether this call moved it. Resolves only when that is known for certain.
 */
export async function move(
  broker: Broker,
  held: Held,
  commandFor: (operation: Operation, fenced: boolean) => Exclude<Command, { type: 'submit' }>,
  options: MoveOptions = {},
): Promise<{ operation: Operation; moved: boolean }> {
  const { recovery } = broker.settings.tool(held.command.server, held.command.tool)
  let fenced = false
  let doubted = 0
  for (;;) {
    const { event } = decide({ operation: held.operation }, commandFor(held.operation, fenced), recovery)
    if (event === undefined) return { operation: held.operation, moved: false }
    const next = evolve(held.operation, event)
    const tried = await tryAdvance(broker, held, { next, event, hasRecovery: recovery !== undefined }, options)
    if (typeof tried === 'object') {
      held.operation = next
      held.receipt = tried.receipt
      broker.telemetry.moved(held.command, next)
      return { operation: next, moved: true }
    }
    if (tried === 'doubtful') doubted += 1
    const stands = await lookAgain(broker, held)
    // Lost in a failover, and the key is held by another call: there is nothing left to move.
    if (stands === undefined) return { operation: held.operation, moved: false }
    // After a lost COMMIT reply the row may hold exactly what we meant to write: then it is done. Also when it was
    // committed only after we had looked and tried again.
    const isOurs = doubted > 0 && isSame(stands, next)
    const isUntouched = stands.sequence === held.operation.sequence
    held.operation = stands
    if (isOurs) {
      broker.telemetry.moved(held.command, stands)
      return { operation: stands, moved: true }
    }
    // An intent that was refused (lease, dispatchBy, cancel) stays refused: the caller decides what that means.
    if (options.intentBefore !== undefined && tried === 'refused') return { operation: stands, moved: false }
    fenced = !isUntouched
    await sleep(Math.min(pauseMs * doubted, longestPauseMs))
  }
}

/** A database that answers reads and fails writes must not be asked in a tight loop. */
const pauseMs = 10
const longestPauseMs = 500

async function tryAdvance(
  broker: Broker,
  held: Held,
  { next, event, hasRecovery }: { next: Operation; event: OperationEvent; hasRecovery: boolean },
  options: MoveOptions,
): Promise<{ receipt: string | undefined } | 'refused' | 'doubtful'> {
  const { command, operation, retentionMs } = held
  const { answer, intentBefore, startedAt, reason, attempt, settled } = options
  const record = transitionRecord(broker.events, {
    event,
    operation: next,
    command,
    opens: false,
    answer,
    startedAt,
    reason,
    attempt,
    settled,
  })
  const changing = changingOf(next, retentionMs)
  try {
    const moved = await broker.advances.add({
      operationId: operation.operationId,
      expectedSequence: operation.sequence,
      changing,
      event: record,
      // What a replay was told without settling anything is not the answer to the call.
      answer: settlesNothing(event) ? undefined : answer,
      intentBefore,
      beside: besideOf(next, event, hasRecovery, options),
    })
    return moved ? { receipt: changing.receipt as string | undefined } : 'refused'
  } catch (error) {
    broker.log.warn(
      { err: error, operation: operation.operationId },
      'a transition could not be confirmed; looking again',
    )
    return 'doubtful'
  }
}

/** Whether the row is as we meant to leave it: nobody else writes our owner id into one that is being sent. */
const isSame = (stands: Operation, next: Operation): boolean =>
  stands.sequence === next.sequence &&
  stands.state === next.state &&
  (next.state !== 'executing' || (stands.state === 'executing' && stands.owner === next.owner))

/** The end of an attempt that leaves the outcome unknown, of a call that was sent more than once. */
const settlesNothing = (event: OperationEvent): boolean =>
  (event.type === 'lost' || event.type === 'attempt_ended') && (event.recovery?.tries.length ?? 0) > 1

/** Only tools with recovery have anything beside their row. */
function besideOf(
  next: Operation,
  event: OperationEvent,
  hasRecovery: boolean,
  { answer, reason, evidence, also }: MoveOptions,
): Beside | undefined {
  const drop = hasRecovery && !isKept(next)
  const found = evidence ?? (settlesNothing(event) ? replayEvidence(event, answer, reason) : undefined)
  return drop || found || also ? { drop, evidence: found, also } : undefined
}

const replayEvidence = (
  event: OperationEvent,
  answer: UpstreamAnswer | undefined,
  reason: string | undefined,
): Evidence => ({
  kind: 'replay',
  says:
    reason ??
    (answer ? `the server answered (${answer.kind}), which settles nothing` : event.type === 'lost' ? 'no answer' : ''),
  raw: answer && cutWords(answer.raw),
})

async function lookAgain(broker: Broker, held: Held): Promise<Operation | undefined> {
  const { operationId } = held.operation
  const row = await patiently({ log: broker.log, signal: broker.stopping, doing: 'reading an operation again' }, () =>
    readById(broker.db, operationId),
  )
  held.receipt = row?.receipt ?? undefined
  return row && operationOf(row)
}
