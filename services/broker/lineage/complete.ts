/**
 * Completing operations after a failover (design section 4, Postgres). While the database is of another lineage than the
 * one its operations are complete under, its own functions let nothing be claimed, moved or answered. One broker, or
 * several at once, read the journal back: what the events say is applied, calls without a record become `unknown`, and so
 * does whatever was under way. Every statement may run twice, and none runs after somebody has finished; a broker that
 * dies in between leaves the rest to the next.
 */
import { decide } from '../../../shared/call/decide.ts'
import { evolve } from '../../../shared/call/evolve.ts'
import type { Journal } from '../../../shared/journal/port.ts'
import { topics } from '../../../shared/journal/topics.ts'
import { isDeadlock, isUniqueViolation } from '../../../shared/postgres/errors.ts'
import type { Broker } from '../deps.ts'
import { transitionRecord } from '../events.ts'
import { bringForward, finishCompleting, isOvertaken, readByIds, readLineage, readUnsettled } from '../sql/lineage.ts'
import { changingOf, operationOf, type OperationRow } from '../sql/row.ts'
import { commandOfRow } from '../sweep.ts'
import { applyEvents } from './told.ts'
import { enterUnrecorded } from './unrecorded.ts'
import { partitionsCutShort } from './window.ts'

export type CompleteDeps = Pick<Broker, 'db' | 'settings' | 'clock' | 'log' | 'events'> & {
  readonly journal: Pick<Journal, 'read' | 'ends' | 'lag'>
}

export type Completing = CompleteDeps & {
  /** The lineage that is being completed; when it changes again, this work is void. */
  readonly lineage: string
  /** Where the window begins, by the journal's time. */
  readonly fromMs: number
}

/**
 * Looks at the lineage, and completes operations when it is a new one.
 * @param windowMs how far before the last sign of life the journal is read: longer than a call may wait to be sent, and
 *   than the clocks of database and journal differ
 */
export async function keepComplete(deps: CompleteDeps, windowMs: number): Promise<void> {
  for (let collisions = 0; ; ) {
    const { current, completeUnder, aliveMs } = await readLineage(deps.db)
    if (current === completeUnder) return
    const to: Completing = { ...deps, lineage: current, fromMs: aliveMs - windowMs }
    deps.log.warn(
      { was: completeUnder, is: current, from: new Date(to.fromMs).toISOString() },
      'this is another database than before, or an older copy: reading the journal back before anything is sent',
    )
    try {
      await complete(to)
    } catch (error) {
      // Brokers that enter the same rows at once get into each other's way: one goes on, the other begins anew.
      if (isCollision(error) && collisions < maxCollisions) collisions += 1
      else if (!isOvertaken(error)) throw error
    }
  }
}

const maxCollisions = 10
const isCollision = (error: unknown) => isDeadlock(error) || isUniqueViolation(error)

async function complete(to: Completing): Promise<void> {
  const cut = await partitionsCutShort(to, topics.calls.name)
  if (cut.length > 0)
    to.log.error(
      { partitions: cut, from: new Date(to.fromMs).toISOString() },
      'the journal no longer has all commands since the last commit that survived: keys of that time may be sent again',
    )
  const told = await applyEvents(to)
  const calls = await enterUnrecorded(to, told)
  const questions = await loseQuestions(to, [...told.questions])
  const unsettled = await loseUnsettled(to)
  await finishCompleting(to.db, to.lineage)
  to.log.warn({ calls, unsettled: unsettled + questions }, 'operations are complete again; these calls are unknown')
}

const batchSize = 500

/** What was under way has an end that may be lost: a queued call may have been sent (I1), a sent one answered. */
async function loseUnsettled(to: Completing): Promise<number> {
  let count = 0
  for (;;) {
    const rows = await readUnsettled(to.db, batchSize)
    if (rows.length === 0) return count
    count += rows.length
    await loseAll(to, rows)
  }
}

async function loseQuestions(to: Completing, operationIds: readonly string[]): Promise<number> {
  const rows = (await readByIds(to.db, operationIds)).filter(({ state }) => state === 'awaiting_input')
  await loseAll(to, rows)
  return rows.length
}

async function loseAll(to: Completing, rows: readonly OperationRow[]): Promise<void> {
  const forwards = rows.flatMap(row => {
    const operation = operationOf(row)
    const { event } = decide({ operation }, { type: 'lose_record', at: to.clock.now(), questionLost: true })
    if (operation === undefined || event === undefined) return []
    const next = evolve(operation, event)
    return {
      operationId: row.operation_id,
      expectedSequence: row.sequence,
      changing: changingOf(next, row.retention_ms),
      event: transitionRecord(to.events, {
        event,
        operation: next,
        command: commandOfRow(row),
        opens: false,
        reason: 'database failover',
      }),
    }
  })
  if (forwards.length > 0) await bringForward(to.db, to.lineage, forwards)
}
