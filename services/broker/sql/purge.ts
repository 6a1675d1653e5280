import type { Queryable } from './row.ts'

/** Drops answers whose operation's retention has passed. The tombstone (hash, fingerprint, outcome) stays. */
export async function purgeResults(db: Queryable, limit: number): Promise<number> {
  const result = await db.query(
    `delete from results where (operation_id, epoch, round) in (
       select r.operation_id, r.epoch, r.round from results r join operations o using (operation_id)
       where o.expires_ms <= now_ms() order by r.recorded_ms limit $1)`,
    [limit],
  )
  await db.query(
    `delete from evidence where (operation_id, sequence) in (
       select e.operation_id, e.sequence from evidence e join operations o using (operation_id)
       where o.expires_ms <= now_ms() limit $1)`,
    [limit],
  )
  return result.rowCount ?? 0
}

/** Forgets handled commands, and fences, older than the journal keeps commands: no redelivery can name them any more. */
export async function purgeHandled(db: Queryable, olderThanMs: number): Promise<void> {
  await db.query('delete from handled_commands where handled_ms < now_ms() - $1::bigint', [olderThanMs])
  await db.query(`delete from operations where state = 'fence' and fenced_ms < now_ms() - $1::bigint`, [olderThanMs])
}
