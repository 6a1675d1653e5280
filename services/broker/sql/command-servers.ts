import type { Queryable } from './row.ts'

export type Terms = {
  readonly leaseMs: number
  /** A successor waits so much longer than the lease: the old child is gone by then. */
  readonly graceMs: number
}

const takeText = `
insert into command_servers as c (server, owner, epoch, url, lease_until_ms)
select $1, $2, 1, $3, now_ms() + $4::bigint
where require_complete()
  -- A failover may have lost who had it: whoever that was holds no longer than a lease from then.
  and exists (select from lineage where completed_ms + $4::bigint + $5::bigint <= now_ms())
on conflict (server) do update
  set owner = excluded.owner, epoch = c.epoch + 1, url = excluded.url, lease_until_ms = now_ms() + $4::bigint
  where c.lease_until_ms + $5::bigint <= now_ms()
returning epoch`

/** Takes a server that nobody has. @returns the epoch; undefined when somebody has it, or may */
export async function takeServer(
  db: Queryable,
  { server, owner, url, leaseMs, graceMs }: Terms & { server: string; owner: string; url: string },
): Promise<number | undefined> {
  const values = [server, owner, url, leaseMs, graceMs]
  const { rows } = await db.query<{ epoch: number }>({ name: 'take_server', text: takeText }, values)
  return rows[0]?.epoch
}

export type Holder = { readonly owner: string; readonly url: string; readonly isLive: boolean }

const holderText = `
select owner, url, lease_until_ms > now_ms() as is_live from command_servers where server = $1 and require_complete()`
/** Who has a server, or had it last. */
export async function readHolder(db: Queryable, server: string): Promise<Holder | undefined> {
  const { rows } = await db.query<{ owner: string; url: string; is_live: boolean }>(
    { name: 'server_holder', text: holderText },
    [server],
  )
  return rows[0] && { owner: rows[0].owner, url: rows[0].url, isLive: rows[0].is_live }
}

const renewText = `
update command_servers set lease_until_ms = now_ms() + $2
where owner = $1 and lease_until_ms > now_ms() and require_complete()
returning server`
/** Renews every live lease of this owner. @returns the servers it still has */
export async function renewServers(db: Queryable, owner: string, leaseMs: number): Promise<Set<string>> {
  const { rows } = await db.query<{ server: string }>({ name: 'renew_servers', text: renewText }, [owner, leaseMs])
  return new Set(rows.map(({ server }) => server))
}

/** Gives a server back, once its child is gone. */
export async function releaseServer(db: Queryable, owner: string, server: string): Promise<void> {
  await db.query('update command_servers set lease_until_ms = 0 where owner = $1 and server = $2', [owner, server])
}
