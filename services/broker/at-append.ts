/**
 * Claiming at the append: where front is in this process and the journal in the operations' own database, one commit puts
 * a command on record and claims it, which the way through the journal does in two (decision 0016). The command is on
 * record before anything is sent, and the journal keeps its order and its promises.
 *
 * It is the same claim, only earlier: unique index, twin guard, lease and fence decide it as ever. What does not win is
 * handled when the journal delivers it, and what has won is then passed over. Only where the journal delivers to this
 * process, and nothing stands before the command in its partition: what waits there is worked off in order.
 *
 * What can break:
 * - the statement is refused: the commands are appended without their claims.
 * - its reply is lost: nobody knows. If the command is there the journal delivers it, and it is found claimed by this
 *   process and not sent, and is sent once.
 * - the partition goes to another process before the delivery: there it is a command that was handled before.
 */
import { createBatcher } from '../../shared/batch/batcher.ts'
import { readCommand, type SubmitCommand, withTraceOf } from '../../shared/call/command.ts'
import { scopeHash } from '../../shared/call/fingerprint.ts'
import {
  AppendDoubtful,
  AppendRefused,
  type Journal,
  type NewRecord,
  type Position,
} from '../../shared/journal/port.ts'
import type { PostgresJournal } from '../../shared/journal/postgres/journal.ts'
import { topics } from '../../shared/journal/topics.ts'
import { crashPoint } from '../../shared/process/crash-point.ts'
import { allowsTwins, tryClaim } from './claim.ts'
import type { Broker } from './deps.ts'
import { numberedBatch } from './numbered.ts'
import { brokerGroup } from './outcomes.ts'
import { problemOf } from './problem.ts'
import { appendAndClaim, type Entry, inScopeOrder } from './sql/claim.ts'
import type { Queryable } from './sql/row.ts'

/** Without a position nothing was appended. */
type Appended = { readonly won: boolean; readonly position?: Position | undefined }

/** If a command in doubt is there it is delivered long before this; until then the sweep leaves its claim alone. */
const doubtMs = 30_000

/** @returns the journal for a front in this process */
export function createClaimingJournal(broker: Broker, journal: PostgresJournal): Journal {
  const entries = createBatcher(
    numberedBatch(
      broker.numbering,
      { eventsOf: ({ claim }: Entry) => [claim.event], isDone: ({ won }: Appended) => won },
      broker.telemetry.batch('append_claim', batch => appendBatch(broker, journal, batch)),
    ),
    { maxItems: 256, maxInFlight: 2 },
  )
  const append = async (records: readonly NewRecord[]) => {
    const [record] = records
    const command = record && records.length === 1 ? claimable(broker, journal, record) : undefined
    if (record === undefined || command === undefined) return journal.append(records)
    const appended = await claimWith(broker, command, claim => entries.add({ claim, command: record }))
    return appended?.position === undefined ? journal.append(records) : [appended.position]
  }
  return { ...journal, append }
}

/** The command of a record that may be claimed at once. */
function claimable(broker: Broker, journal: PostgresJournal, record: NewRecord): SubmitCommand | undefined {
  const { owner, monotonic, stopping } = broker
  if (record.topic !== topics.calls.name || !journal.isAtEnd(brokerGroup, record)) return undefined
  if (stopping.aborted || monotonic() >= owner.deadline(owner.id())) return undefined
  const read = readCommand(record.value)
  if (!('command' in read) || read.command.type !== 'submit' || problemOf(read.command) !== undefined) return undefined
  return withTraceOf(read.command, record.headers)
}

/**
 * @param append of the command with its claim
 * @returns undefined when this process holds the call already
 */
async function claimWith(
  broker: Broker,
  command: SubmitCommand,
  append: (claim: Entry['claim']) => Promise<Appended>,
): Promise<Appended | undefined> {
  const { callId } = command
  const checkTwins = !allowsTwins(broker, command)
  let appended: Promise<Appended> | undefined
  let isDoubtful = false
  broker.handling.add(callId)
  try {
    await tryClaim(broker, command, scopeHash(command), {
      checkTwins,
      twinSlot: checkTwins ? '' : callId,
      by: claim => (appended = append(claim)),
    })
    return await appended
  } catch (error) {
    isDoubtful = error instanceof AppendDoubtful
    throw error
  } finally {
    if (isDoubtful) setTimeout(() => broker.handling.delete(callId), doubtMs).unref()
    else broker.handling.delete(callId)
  }
}

async function appendBatch(broker: Broker, journal: PostgresJournal, batch: readonly Entry[]): Promise<Appended[]> {
  const entries = inScopeOrder(batch)
  crashPoint('broker.append_claim.before')
  try {
    const { won, positions } = await journal.appendBy(
      entries.map(({ command }) => command),
      async on => {
        const claimed = await appendAndClaim(on as Queryable, broker.owner.id(), entries)
        for (const id of claimed.won) broker.claimedAhead.add(id)
        return claimed
      },
    )
    crashPoint('broker.append_claim.committed')
    const positionOf = new Map(entries.map(({ claim }, index) => [claim, positions[index]]))
    return batch.map(({ claim }) => ({ won: won.has(claim.operationId), position: positionOf.get(claim) }))
  } catch (error) {
    if (!(error instanceof AppendRefused)) throw error
    broker.log.warn({ err: error }, 'commands could not be claimed at their append; they are appended without')
    return batch.map(() => ({ won: false }))
  }
}
