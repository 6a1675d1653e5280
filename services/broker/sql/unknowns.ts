import { answerColumns, answerJoin, operationColumns, type OperationRow, type Queryable } from './row.ts'

export type EvidenceRow = {
  readonly kind: string
  readonly says: string
  readonly raw: string | null
  readonly recorded_ms: number
}
export type UnknownRow = OperationRow & { readonly evidence: readonly EvidenceRow[] }

const unknownsText = `
select ${operationColumns}, ${answerColumns},
  (select coalesce(json_agg(e order by e.sequence), '[]') from evidence e where e.operation_id = o.operation_id) as evidence
from operations o ${answerJoin}
where require_complete() and o.tenant = $1 and o.state = 'unknown' and ($2::text is null or o.server = $2) and o.operation_id > $3
order by o.operation_id
limit $4`

/** A tenant's unknowns with everything that was seen of them, oldest first. */
export async function readUnknowns(
  db: Queryable,
  {
    tenant,
    server,
    after,
    limit,
  }: { tenant: string; server: string | undefined; after: string | undefined; limit: number },
): Promise<UnknownRow[]> {
  const values = [tenant, server ?? null, after ?? '', limit]
  return (await db.query<UnknownRow>({ name: 'unknowns', text: unknownsText }, values)).rows
}

const ofTenantText = `
select ${operationColumns}, ${answerColumns} from operations o ${answerJoin}
where require_complete() and o.tenant = $2 and o.state <> 'fence' and o.operation_id = coalesce(
  (select h.operation_id from handled_commands h where h.call_id = $1 and h.how <> 'conflicted'),
  $1)`

/** The operation that a call claimed or joined, whosever it is in the tenant. */
export async function readOfTenant(
  db: Queryable,
  { callId, tenant }: { callId: string; tenant: string },
): Promise<OperationRow | undefined> {
  return (await db.query<OperationRow>({ name: 'outcome_of_tenant', text: ofTenantText }, [callId, tenant])).rows[0]
}

/** Whether this very word settled the operation before: asked again after an answer that was lost. */
export async function wasGiven(db: Queryable, operationId: string, id: string): Promise<boolean> {
  const text = `select from evidence where operation_id = $1 and kind = 'person' and raw = $2`
  return (await db.query({ name: 'word_given', text }, [operationId, id])).rows.length > 0
}
