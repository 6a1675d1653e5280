/** What the database holds, one statement each. */
import type { Queryable } from '../../../shared/postgres/pool.ts'
import type { EventFact, Facts, OperationFact, ResultFact } from '../../audit/check/facts.ts'
import { operationColumns, operationOf, type OperationRow } from '../../broker/sql/row.ts'
import { eventOf } from '../../audit/check/event.ts'

export type Rows = Pick<Facts, 'readAt' | 'operations' | 'results'>

/** Run in one snapshot. */
export async function readRows(on: Queryable, since: number): Promise<Rows> {
  const operations = await readOperations(on, since)
  const results = await readResults(on, since)
  const { rows } = await on.query<{ now: number }>('select now_ms() as now')
  return { operations, results, readAt: (rows[0] as { now: number }).now }
}

async function readOperations(on: Queryable, since: number): Promise<OperationFact[]> {
  const { rows } = await on.query<OperationRow>(
    `select ${operationColumns} from operations o where o.first_seen_ms >= $1 and o.state <> 'fence'`,
    [since],
  )
  return rows.flatMap(row => {
    const operation = operationOf(row)
    if (operation === undefined) return []
    const { tenant, keyspace, server, tool, key, expired } = row
    return [{ operation, tenant, keyspace, server, tool, key, expired, fencedAt: row.fenced_ms ?? undefined }]
  })
}

async function readResults(on: Queryable, since: number): Promise<ResultFact[]> {
  const { rows } = await on.query<{ operation_id: string; epoch: number; round: number; kind: string; raw: string }>(
    `select r.operation_id, r.epoch, r.round, r.kind, r.raw
     from results r join operations o using (operation_id) where o.first_seen_ms >= $1`,
    [since],
  )
  return rows.map(({ operation_id: operationId, epoch, round, kind, raw }) => ({
    operationId,
    epoch,
    round,
    answer: { kind, raw } as ResultFact['answer'],
  }))
}

/** Which of these calls claimed a row, or are remembered as handled. */
export async function readRememberedCalls(on: Queryable, callIds: readonly string[]): Promise<Set<string>> {
  const { rows } = await on.query<{ call_id: string }>(
    `select operation_id as call_id from operations where operation_id = any($1)
     union all select call_id from handled_commands where call_id = any($1)`,
    [callIds],
  )
  return new Set(rows.map(row => row.call_id))
}

export async function readExisting(on: Queryable, operationIds: readonly string[]): Promise<Set<string>> {
  const { rows } = await on.query<{ operation_id: string }>(
    `select operation_id from operations where operation_id = any($1) and state <> 'fence'`,
    [operationIds],
  )
  return new Set(rows.map(row => row.operation_id))
}

export async function readOutbox(on: Queryable): Promise<EventFact[]> {
  const { rows } = await on.query<{ topic: string; partition: number; key: string; headers: string; value: string }>(
    'select topic, partition, key, headers, value from outbox',
  )
  return rows.flatMap(row => eventOf({ ...row, headers: JSON.parse(row.headers) as Record<string, string> }) ?? [])
}
