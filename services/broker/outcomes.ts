/** Outcomes as the primary has them now, for fronts that ask directly. They change nothing; a person's word goes through `resolve.ts`. */
import type { BrokerPort, OutcomeQuery, UnknownRecord } from '../../shared/call/broker-port.ts'
import { isAnswerable } from '../../shared/call/decide.ts'
import { changeHash, scopeHash } from '../../shared/call/fingerprint.ts'
import type { OutcomeRecord } from '../../shared/call/record.ts'
import type { Journal } from '../../shared/journal/port.ts'
import { topics } from '../../shared/journal/topics.ts'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Broker } from './deps.ts'
import { type OperationRow, type Queryable, recordOf } from './sql/row.ts'
import { readUnknowns, type UnknownRow } from './sql/unknowns.ts'
import { readByCall, readByChange, readById, readByScope, readOfKeyspace } from './sql/outcomes.ts'

export const brokerGroup = 'holdfast-broker'

type Deps = {
  readonly db: Queryable
  readonly journal: Journal
  readonly resolve: BrokerPort['resolve']
}

export function createOutcomes({ db, journal, resolve }: Deps): BrokerPort {
  return {
    outcome: async query => toRecord(await readOutcome(db, query)),
    report: async ({ viewer, since, conversation, limit }) => {
      const rows = await readOfKeyspace(db, { ...viewer, fromId: firstUlidOf(since), conversation, limit })
      return rows.map(recordOf).filter(record => record !== undefined)
    },
    unknowns: async query => {
      const rows = await readUnknowns(db, { ...query, server: query.server, after: query.after })
      return rows.flatMap(row => unknownOf(row) ?? [])
    },
    resolve,
    caughtUp: withinMs => waitCaughtUp(journal, withinMs),
  }
}

function readOutcome(db: Queryable, query: OutcomeQuery): Promise<OperationRow | undefined> {
  const { viewer } = query
  switch (query.by) {
    case 'key':
      return readByScope(db, scopeHash({ ...viewer, server: query.server, key: query.key }))
    case 'call':
      return readByCall(db, { ...viewer, callId: query.callId })
    case 'fingerprint':
      return readByChange(db, changeHash({ ...viewer, server: query.server, fingerprint: query.fingerprint }))
  }
}

function unknownOf(row: UnknownRow): UnknownRecord | undefined {
  const record = recordOf(row)
  const evidence = row.evidence.map(({ kind, says, raw, recorded_ms: at }) => ({
    kind,
    says,
    raw: raw ?? undefined,
    at,
  }))
  return record && { record, evidence }
}

const toRecord = (row: OperationRow | undefined): OutcomeRecord | undefined => row && recordOf(row)

/** The smallest ULID of a time: ids sort as their time does. */
function firstUlidOf(ms: number): string {
  const alphabet = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'
  let time = Math.max(0, Math.floor(ms))
  let text = ''
  for (let digit = 0; digit < 10; digit += 1) {
    text = alphabet[time % 32] + text
    time = Math.floor(time / 32)
  }
  return text + '0'.repeat(16)
}

const pollMs = 20

/** Waits until the group has committed past what every partition of the commands held when this began. */
async function waitCaughtUp(journal: Journal, withinMs: number): Promise<boolean> {
  const ends = new Map((await journal.ends(topics.calls.name)).map(({ partition, end }) => [partition, end]))
  const until = performance.now() + withinMs
  for (;;) {
    const lag = await journal.lag(brokerGroup, topics.calls.name)
    if (lag.every(({ partition, committed }) => (committed ?? 0) >= (ends.get(partition) ?? 0))) return true
    if (performance.now() >= until) return false
    await sleep(pollMs)
  }
}

/** Tells who waits for an operation that somebody else has moved, or may have. */
export async function tellFromRecord(broker: Pick<Broker, 'db' | 'waiting'>, operationId: string): Promise<void> {
  const record = toRecord(await readById(broker.db, operationId))
  if (record !== undefined && isAnswerable(record.operation)) broker.waiting.settle(record)
}
