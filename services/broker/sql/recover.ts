import type { Sealed } from '../../../shared/crypto/seal.ts'
import { operationColumns, type OperationRow, type Queryable } from './row.ts'

export type DueRow = OperationRow & { readonly kept: Sealed | undefined }

const takeText = `
with due as (
  select operation_id from operations
  where require_complete() and state = 'unknown' and recover_at_ms <= now_ms() and operation_id <> all ($1) and server <> all ($2)
  order by recover_at_ms
  limit $3
  for update skip locked
), taken as (
  update operations o set recover_at_ms = now_ms() + $4 from due
  where o.operation_id = due.operation_id
  returning ${operationColumns}
)
select t.*, k.key_id, k.sealed from taken t left join kept_calls k using (operation_id)`

/**
 * Takes operations whose next step of recovery is due, oldest first, and pushes their time on: a step that is not made
 * within the lease is due again. The lease only keeps two brokers from doing the same work; what they may do is decided by
 * the sequence that each move names.
 * @param without ids in hand here, and servers that have no room
 */
export async function takeDue(
  db: Queryable,
  {
    without,
    limit,
    leaseMs,
  }: { without: { ids: readonly string[]; servers: readonly string[] }; limit: number; leaseMs: number },
): Promise<DueRow[]> {
  const values = [without.ids, without.servers, limit, leaseMs]
  const result = await db.query<OperationRow & { key_id: string | null; sealed: string | null }>(
    { name: 'recover_take', text: takeText },
    values,
  )
  return result.rows.map(({ key_id: keyId, sealed, ...row }) => ({
    ...row,
    kept: keyId !== null && sealed !== null ? { keyId, bytes: sealed } : undefined,
  }))
}

const giveBackText = `
update operations set recover_at_ms = (recovery -> 'next' ->> 'at')::bigint
where operation_id = $1 and state = 'unknown' and sequence = $2 and recover_at_ms is not null`

/** Gives a step back that was taken and not begun: it is due as it was. */
export async function giveBackDue(
  db: Queryable,
  { operationId, sequence }: { operationId: string; sequence: number },
): Promise<void> {
  await db.query({ name: 'recover_give_back', text: giveBackText }, [operationId, sequence])
}

/** Drops kept calls that nothing can need any more, such as of tools whose recovery was taken out of the configuration. */
export async function purgeKept(db: Queryable): Promise<void> {
  await db.query(
    `delete from kept_calls k where not exists (
       select from operations o where o.operation_id = k.operation_id
         and (o.state in ('accepted', 'awaiting_approval', 'executing')
           or (o.state = 'unknown' and o.recover_at_ms is not null)))
       and k.kept_ms < now_ms() - 60000`,
  )
}
