import type { Queryable } from './row.ts'

/** Enters a new owner. Its lease begins by database time. */
export async function enterOwner(db: Queryable, owner: string, leaseMs: number): Promise<void> {
  await db.query(
    `insert into owners (owner, lease_until_ms, started_ms)
     select $1, now_ms() + $2::bigint, now_ms() where require_complete()`,
    [owner, leaseMs],
  )
}

const renewText = `
with renewed as (
  update owners set lease_until_ms = now_ms() + $2
  where owner = $1 and lease_until_ms > now_ms() and require_complete()
  returning owner
), alive as (
  update lineage set alive_ms = greatest(alive_ms, now_ms()) where exists (select from renewed)
)
select from renewed`

/**
 * Renews a live lease, and leaves the sign of life that tells a copy of this database how old it is. False when the lease
 * has expired: an expired lease is never renewed, the process takes a new id.
 */
export async function renewOwner(db: Queryable, owner: string, leaseMs: number): Promise<boolean> {
  const result = await db.query({ name: 'renew', text: renewText }, [owner, leaseMs])
  return result.rowCount === 1
}

/** Ends a lease now: what its owner still holds can be swept at once. */
export async function endOwner(db: Queryable, owner: string): Promise<void> {
  await db.query('update owners set lease_until_ms = 0 where owner = $1', [owner])
}

/** Ends every other lease. Only for a process that knows it is alone: the single node, which holds its data folder. */
export async function endOtherOwners(db: Queryable, owner: string): Promise<void> {
  await db.query('update owners set lease_until_ms = 0 where owner <> $1', [owner])
}

/** Forgets owners that ended long ago and hold nothing. */
export async function forgetOwners(db: Queryable, endedBeforeMs: number): Promise<void> {
  await db.query(
    `delete from owners w where w.lease_until_ms < $1 and w.started_ms < $1
       and not exists (select from operations o where o.owner = w.owner and o.state in ('accepted', 'executing'))`,
    [endedBeforeMs],
  )
}
