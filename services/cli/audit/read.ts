/**
 * Reads the facts of an audit from live stores. The order makes what is under way harmless: what is read later must hold
 * what was read before. Offsets first, then the rows in one snapshot, then the ledger, then the outbox, then the journal
 * (an event of a row that was read is still in the outbox or already there), the history last.
 */
import { readCommand } from '../../../shared/call/command.ts'
import type { Journal, JournalRecord, PartitionLag } from '../../../shared/journal/port.ts'
import { topics } from '../../../shared/journal/topics.ts'
import { inTransaction, type Pool } from '../../../shared/postgres/pool.ts'
import type { CommandFact, Effect, EventFact, Facts, HistoryFact } from '../../audit/check/facts.ts'
import { isTransition } from '../../audit/check/streams.ts'
import { sinkGroup } from '../../audit/sink/sink.ts'
import { brokerGroup } from '../../broker/outcomes.ts'
import { eventOf } from '../../audit/check/event.ts'
import { readExisting, readOutbox, readRememberedCalls, readRows } from './rows.ts'

/** Where the history is asked: all rows of some partitions between two offsets. */
export type HistoryReader = {
  rows(range: { partition: number; from: number; to: number }): Promise<HistoryFact[]>
  /** Tenants whose rows it shows. */
  tenants(): Promise<ReadonlySet<string> | 'all'>
}

export type Stores = {
  readonly pool: Pool
  readonly journal: Journal
  readonly history: HistoryReader | undefined
  readonly ledger: (() => Promise<readonly Effect[]>) | undefined
}

/** Journal time is the store's own, and an event is appended a little after it happened. */
const slackMs = 10 * 60_000

/** @param since operations first seen at or after this time, milliseconds */
export async function readFacts({ pool, journal, history, ledger }: Stores, since: number): Promise<Facts> {
  const handled = await journal.lag(brokerGroup, topics.calls.name)
  const written = history && (await journal.lag(sinkGroup, topics.events.name))
  const submitted = await readSubmitted(journal, handled, since)
  const { rows, remembered } = await inTransaction(pool, async connection => {
    await connection.query('set transaction isolation level repeatable read, read only')
    return {
      rows: await readRows(connection, since),
      remembered: await readRememberedCalls(
        connection,
        submitted.map(({ callId }) => callId),
      ),
    }
  })
  const effects = ledger && (await ledger()).filter(({ at }) => at === undefined || at >= since)
  const waiting = await readOutbox(pool)
  const records = await readTopic(journal, topics.events.name, { fromTime: Math.max(0, since - slackMs) })
  const events = [...waiting, ...records.flatMap(record => eventOf(record) ?? [])]
  const rejected = await readRejected(journal, since)
  const known = new Set(rows.operations.map(({ operation }) => operation.operationId))
  return {
    ...rows,
    commands: submitted.map(({ callId, place }) => ({
      callId,
      place,
      isRemembered:
        remembered.has(callId) ||
        rejected.has(callId) ||
        rejected.has(`${topics.calls.name}/${place.partition}/${place.offset}`),
    })),
    events,
    orphans: await orphansOf(pool, known, events, since),
    history: history && written && (await readHistory(history, records, written)),
    ledger: effects,
  }
}

async function readTopic(journal: Journal, topic: string, range: { fromTime: number }): Promise<JournalRecord[]> {
  const records: JournalRecord[] = []
  for (let partition = 0; partition < journal.partitions(topic); partition += 1)
    for await (const record of journal.read({ topic, partition, ...range })) records.push(record)
  return records
}

async function readSubmitted(
  journal: Journal,
  handled: readonly PartitionLag[],
  since: number,
): Promise<Array<Omit<CommandFact, 'isRemembered'>>> {
  const found: Array<Omit<CommandFact, 'isRemembered'>> = []
  const topic = topics.calls.name
  for (const { partition, committed } of handled) {
    if (committed === null) continue
    for await (const { value, offset } of journal.read({ topic, partition, fromTime: since, toOffset: committed })) {
      const read = readCommand(value)
      if ('command' in read && read.command.type === 'submit')
        found.push({ callId: read.command.callId, place: { partition, offset } })
    }
  }
  return found
}

/** What commands that could not be handled are called: by their call, or by their place. */
const readRejected = async (journal: Journal, since: number): Promise<Set<string>> =>
  new Set((await readTopic(journal, topics.rejected.name, { fromTime: since })).map(({ key }) => key))

/** Operations that the journal saw begin and the database does not know, also not when it is asked again. */
async function orphansOf(
  pool: Pool,
  known: ReadonlySet<string>,
  events: readonly EventFact[],
  since: number,
): Promise<string[]> {
  const begun = events.filter(event => isTransition(event) && event.sequence === 1 && event.at >= since)
  const unknown = [...new Set(begun.map(({ stream }) => stream).filter(stream => !known.has(stream)))]
  const existing = await readExisting(pool, unknown)
  return unknown.filter(stream => !existing.has(stream))
}

const rowsOfOnePage = 20_000

async function readHistory(
  history: HistoryReader,
  records: readonly JournalRecord[],
  written: readonly PartitionLag[],
): Promise<NonNullable<Facts['history']>> {
  const rows: HistoryFact[] = []
  for (const { partition, committed } of written) {
    const first = records.find(record => record.partition === partition)?.offset
    if (first === undefined || committed === null) continue
    for (let from = first; from < committed; from += rowsOfOnePage)
      rows.push(...(await history.rows({ partition, from, to: Math.min(from + rowsOfOnePage, committed) })))
  }
  const committed = new Map(written.map(entry => [entry.partition, entry.committed ?? 0]))
  return { rows, committed, tenants: await history.tenants() }
}
