/** API keys at rest. Owns the table `api_keys`; making and ending one is an event, put on record in the same commit. Every function throws `UnavailableError` when Postgres cannot be reached. */
import { UnavailableError } from '../errors.ts'
import { type EventName, eventRecord } from '../events/event.ts'
import { credentialOf, generateKey, hashKey } from './key-format.ts'

/** The part of `pg.Pool` that is needed. */
export type Queryable = { query(text: string, values?: unknown[]): Promise<{ rows: unknown[] }> }

export type NewKey = {
  readonly agent: string
  readonly tenant: string
  /** What it is for, in the operator's words. */
  readonly name: string
  readonly expiresAt?: Date | undefined
}

/** A key as listed: nothing in it can be used to call. */
export type KeyEntry = {
  readonly keyId: string
  /** The prefix of the key's SHA-256 that the history names it by. */
  readonly credential: string
  readonly agent: string
  readonly tenant: string
  readonly name: string
  readonly createdAt: Date
  readonly expiresAt: Date | null
  readonly revokedAt: Date | null
  readonly state: 'active' | 'expired' | 'revoked'
}

/** What authentication needs to know of a key, judged by the database's clock. */
export type KeyRow = {
  readonly hash: string
  readonly agent: string
  readonly tenant: string
  readonly usable: boolean
}

/** Makes a key. It is returned here and never again. */
export async function createKey(
  pool: Queryable,
  { agent, tenant, name, expiresAt }: NewKey,
): Promise<{ key: string; keyId: string }> {
  const { key, keyId } = generateKey()
  const hash = hashKey(key)
  const event = keyEvent('key.created', { keyId, tenant, agent, credential: credentialOf(hash) })
  await run(
    pool,
    `with made as (
       insert into api_keys (key_id, hash, agent, tenant, name, expires_at) values ($1, $2, $3, $4, $5, $6)
     )
     insert into outbox (topic, partition, key, headers, value) values ($7, $8, $9, $10, $11)`,
    [keyId, hash, agent, tenant, name, expiresAt ?? null, ...columnsOf(event)],
  )
  return { key, keyId }
}

/** The stream of a key's events is the key's id: made is its first, ended its second. */
const keyEvent = (
  type: EventName,
  { keyId, ...who }: { keyId: string; tenant: string; agent?: string; credential?: string },
) =>
  eventRecord({
    type,
    stream: `key/${keyId}`,
    sequence: type === 'key.created' ? 1 : 2,
    time: new Date().toISOString(),
    source: 'holdfast/cli',
    clock: 'process',
    ...who,
  })

const columnsOf = ({ topic, partition, key, headers, value }: ReturnType<typeof eventRecord>) => [
  topic,
  partition,
  key,
  JSON.stringify(headers),
  value,
]

/** All keys, newest first. */
export async function listKeys(pool: Queryable): Promise<KeyEntry[]> {
  const rows = await run(
    pool,
    `select key_id as "keyId", left(hash, 16) as credential, agent, tenant, name,
       created_at as "createdAt", expires_at as "expiresAt", revoked_at as "revokedAt",
       case when revoked_at is not null then 'revoked' when expires_at <= clock_timestamp() then 'expired' else 'active' end as state
     from api_keys order by created_at desc, key_id`,
  )
  return rows as KeyEntry[]
}

/**
 * Ends a key; a second time changes nothing.
 * @returns false when there is no such key
 */
export async function revokeKey(pool: Queryable, keyId: string): Promise<boolean> {
  const event = keyEvent('key.revoked', { keyId, tenant: '' })
  const rows = await run(
    pool,
    `with ended as (
       update api_keys set revoked_at = clock_timestamp() where key_id = $1 and revoked_at is null
       returning agent, tenant, left(hash, 16) as credential
     ), recorded as (
       insert into outbox (topic, partition, key, headers, value)
       select $2, $3, $4, $5, ($6::jsonb || to_jsonb(ended))::text from ended
     )
     select key_id from api_keys where key_id = $1`,
    [keyId, ...columnsOf(event)],
  )
  return rows.length > 0
}

/** The row of a key, or undefined. */
export async function findKey(pool: Queryable, keyId: string): Promise<KeyRow | undefined> {
  const rows = await run(
    pool,
    `select hash, agent, tenant, revoked_at is null and (expires_at is null or expires_at > clock_timestamp()) as usable
     from api_keys where key_id = $1`,
    [keyId],
  )
  return rows[0] as KeyRow | undefined
}

async function run(pool: Queryable, text: string, values: unknown[] = []): Promise<unknown[]> {
  try {
    return (await pool.query(text, values)).rows
  } catch (cause) {
    throw new UnavailableError('postgres', `API keys cannot be read or written: ${(cause as Error).message}`, { cause })
  }
}
