/** The table `subject_keys`, one statement per function. Every function rejects when Postgres cannot be reached. */
import type { NewRecord } from '../journal/port.ts'

/** The part of `pg.Pool` that is needed. */
export type Queryable = { query(text: string, values?: unknown[]): Promise<{ rows: unknown[] }> }

export type WrappedKey = { readonly keyId: string; readonly wrapped: string; readonly wrappedWith: string }
export type KeyState = Omit<WrappedKey, 'wrapped'> & {
  readonly wrapped: string | null
  readonly tenant: string
  readonly erasedAt: Date | null
}

type Subject = { readonly tenant: string; readonly subject: string }

/** @returns the subject's key: the given one, or the one that was there before it */
export async function claimKey(
  db: Queryable,
  { tenant, subject, keyId, wrapped, wrappedWith }: Subject & WrappedKey,
): Promise<WrappedKey | undefined> {
  const { rows } = await db.query(
    `with made as (
       insert into subject_keys (key_id, tenant, subject, wrapped, wrapped_with) values ($3, $1, $2, $4, $5)
       on conflict (tenant, subject) where erased_at is null do nothing
       returning key_id, wrapped, wrapped_with
     )
     select key_id as "keyId", wrapped, wrapped_with as "wrappedWith" from made
     union all
     select key_id, wrapped, wrapped_with from subject_keys
     where tenant = $1 and subject = $2 and erased_at is null and not exists (select from made)`,
    [tenant, subject, keyId, wrapped, wrappedWith],
  )
  return rows[0] as WrappedKey | undefined
}

/** @returns undefined for a key that never was */
export async function findKey(db: Queryable, keyId: string): Promise<KeyState | undefined> {
  const { rows } = await db.query(
    `select key_id as "keyId", tenant, wrapped, wrapped_with as "wrappedWith", erased_at as "erasedAt"
     from subject_keys where key_id = $1`,
    [keyId],
  )
  return rows[0] as KeyState | undefined
}

/** When the keys of a subject were made and erased, under any of its pseudonyms; the oldest first. */
export async function findKeys(
  db: Queryable,
  { tenant, subjects }: { readonly tenant: string; readonly subjects: readonly string[] },
): Promise<{ readonly keyId: string; readonly erasedAt: Date | null }[]> {
  const { rows } = await db.query(
    `select key_id as "keyId", erased_at as "erasedAt" from subject_keys
     where tenant = $1 and subject = any($2) order by created_at, key_id`,
    [tenant, subjects],
  )
  return rows as { keyId: string; erasedAt: Date | null }[]
}

/**
 * Destroys the keys of a subject and puts that on record, in one commit; both or neither.
 * @returns how many keys were destroyed now; without any nothing is put on record
 */
export async function destroyKeys(
  db: Queryable,
  {
    tenant,
    subjects,
    event,
  }: { readonly tenant: string; readonly subjects: readonly string[]; readonly event: NewRecord },
): Promise<number> {
  const { topic, partition, key, headers, value } = event
  const { rows } = await db.query(
    `with destroyed as (
       update subject_keys set wrapped = null, erased_at = clock_timestamp()
       where tenant = $1 and subject = any($2) and erased_at is null
       returning key_id
     ), told as (
       insert into outbox (topic, partition, key, headers, value)
       select $3, $4, $5, $6, $7 where exists (select from destroyed)
     )
     select key_id from destroyed`,
    [tenant, subjects, topic, partition, key, JSON.stringify(headers), value],
  )
  return rows.length
}
