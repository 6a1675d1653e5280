/**
 * The events of the window, held against the rows: a row that is behind is brought forward to what the journal says, and
 * of an operation without a row the latest fact is kept for when its command is found. Results are not in the journal: what
 * succeeded stays succeeded, without the server's own words.
 */
import type { JournalRecord } from '../../../shared/journal/port.ts'
import { topics } from '../../../shared/journal/topics.ts'
import { type Forward, bringForward, readByIds } from '../sql/lineage.ts'
import { changingOf, isFinalState, type OperationRow } from '../sql/row.ts'
import type { Completing } from './complete.ts'
import { type Fact, factOf, operationAfter } from './facts.ts'
import { chunks, readRejected } from './window.ts'

export type Told = {
  /** Latest facts of operations that have no row, by operation. */
  readonly missing: ReadonlyMap<string, Fact>
  /** Operations whose question is lost: the event says that there was one, not what it was. */
  readonly questions: ReadonlySet<string>
  /** Ids of calls of which the journal has a join already, so that it is not told a second time. */
  readonly joined: ReadonlySet<string>
  /** Calls that could not be handled: they never ran and never will. */
  readonly rejected: ReadonlySet<string>
}

export async function applyEvents(to: Completing): Promise<Told> {
  const missing = new Map<string, Fact>()
  const questions = new Set<string>()
  const joined = new Set<string>()
  for await (const records of chunks(to, topics.events.name)) {
    for (const callId of records.flatMap(joinOf)) joined.add(callId)
    const latest = latestOf(records)
    const rows = new Map((await readByIds(to.db, [...latest.keys()])).map(row => [row.operation_id, row]))
    const forwards: Forward[] = []
    for (const [operationId, fact] of latest) {
      const row = rows.get(operationId)
      if (row === undefined) keepLatest(missing, fact)
      else if (row.sequence < fact.sequence) {
        forwards.push(forwardOf(row, fact))
        if (fact.state === 'awaiting_input') questions.add(operationId)
        else questions.delete(operationId)
      }
    }
    if (forwards.length > 0) await bringForward(to.db, to.lineage, forwards)
  }
  return { missing, questions, joined, rejected: await readRejected(to) }
}

function latestOf(records: readonly JournalRecord[]): Map<string, Fact> {
  const latest = new Map<string, Fact>()
  for (const record of records) {
    const fact = factOf(record)
    if (fact !== undefined) keepLatest(latest, fact)
  }
  return latest
}

function keepLatest(latest: Map<string, Fact>, fact: Fact): void {
  const known = latest.get(fact.operationId)
  if (known === undefined || known.sequence < fact.sequence) latest.set(fact.operationId, fact)
}

function forwardOf(row: OperationRow, fact: Fact): Forward {
  const operation = operationAfter(fact, { fingerprint: row.fingerprint, firstSeenAt: row.first_seen_ms })
  return {
    operationId: row.operation_id,
    expectedSequence: row.sequence,
    changing: {
      ...changingOf(operation, row.retention_ms),
      receipt: isFinalState(operation.state) ? fact.leaf : undefined,
    },
    event: undefined,
  }
}

const joins = /\.call\.(replayed|attached|conflicted)\./
const joinOf = ({ headers, key }: JournalRecord): string[] => (joins.test(headers.ce_type ?? '') ? [key] : [])
