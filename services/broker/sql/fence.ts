import type { NewRecord } from '../../../shared/journal/port.ts'
import { type Changing, changingColumns, type Queryable } from './row.ts'
import type { Claim } from './claim.ts'
import { recordColumns } from './record.ts'

/** Who asked about which key. */
export type Fence = {
  readonly callId: string
  readonly scope: string
  readonly tenant: string
  readonly keyspace: string
  readonly server: string
  readonly key: string
  readonly agent: string
  readonly event: NewRecord
}

const fenceText = (guard: string) => `
with fenced as (
  insert into operations as o (operation_id, scope, tenant, keyspace, server, key, tool, agent, fingerprint, change, twin_slot,
    state, call_id, epoch, round, sequence, attempts, first_seen_ms, fenced_ms, retention_ms)
  select $2, decode($2, 'hex'), $3, $4, $5, $6, '', $7, '', '', $2, 'fence', $1, 0, 0, 0, 0, now_ms(), now_ms(), 0
  where ${guard}
  on conflict (scope) do update set fenced_ms = greatest(o.fenced_ms, now_ms()) where o.state = 'fence'
  returning operation_id
), recorded as (
  insert into outbox (topic, partition, key, headers, value)
  select $8, $9, $10, $11, $12 from fenced
)
select operation_id from fenced`
const fenceStatement = { name: 'fence', text: fenceText('require_complete()') }

/**
 * Takes the key's place in the unique index, so that no claim of a command received before now can be made (I9). The row
 * goes by its scope: whatever id a question has, it can take no operation's place.
 * @returns false when an operation holds the key: then its record is the answer
 */
export async function fenceKey(db: Queryable, fence: Fence): Promise<boolean> {
  return (await db.query(fenceStatement, fenceValues(fence))).rows.length > 0
}

const refenceStatement = { name: 'refence', text: fenceText('require_incomplete($13)') }
/** Writes a fence anew that a failover may have lost: whoever was told `not_found` stays told the truth. */
export async function refenceKey(db: Queryable, lineage: string, fence: Fence): Promise<void> {
  await db.query(refenceStatement, [...fenceValues(fence), lineage])
}

function fenceValues(fence: Fence): unknown[] {
  const event = recordColumns(fence.event)
  return [
    fence.callId,
    fence.scope,
    fence.tenant,
    fence.keyspace,
    fence.server,
    fence.key,
    fence.agent,
    event.topic,
    event.partition,
    event.record_key,
    event.headers,
    event.value,
  ]
}

const changingFrom = 19
const keptFrom = changingFrom + changingColumns.length
const claimText = `
with won as (
  update operations o set operation_id = $2, tool = $3, agent = $4, conversation = $5,
    fingerprint = decode($6, 'hex'), change = decode($15, 'hex'), twin_slot = $7, first_seen_ms = $8, retention_ms = $9,
    ${changingColumns.map((column, index) => `${column} = $${changingFrom + index}`).join(', ')}
  where o.scope = decode($1, 'hex') and o.state = 'fence' and ($10::bigint > o.fenced_ms or $11)
    and require_complete() and not exists (select from handled_commands h where h.call_id = $2)
    and exists (select from owners w where w.owner = $12 and w.lease_until_ms > now_ms())
    and ($13::bigint > now_ms() or $11)
    and (not $14::bool or not exists (
      select from operations t where t.change = decode($15, 'hex')
        and t.state in ('accepted', 'awaiting_approval', 'executing', 'awaiting_input', 'unknown')))
  returning o.operation_id
), recorded as (
  insert into outbox (topic, partition, key, headers, value)
  select $16, ($17::json ->> 'partition')::int, $17::json ->> 'key', $17::json ->> 'headers', $18 from won
), kept as (
  insert into kept_calls (operation_id, key_id, sealed, kept_ms)
  select operation_id, $${keptFrom}, $${keptFrom + 1}, now_ms() from won where $${keptFrom}::text is not null
)
select operation_id from won`

/**
 * Claims a key that a fence holds. A command received before the fence may only become `not_executed` (never sent).
 * @param receivedMs when front received the command, by its lower estimate of database time
 */
export async function claimFenced(db: Queryable, owner: string, claim: Claim, receivedMs: number): Promise<boolean> {
  const event = recordColumns(claim.event)
  const neverSent = claim.changing.state === 'not_executed'
  const result = await db.query({ name: 'claim_fenced', text: claimText }, [
    claim.scope,
    claim.operationId,
    claim.tool,
    claim.agent,
    claim.conversation ?? null,
    claim.fingerprint,
    claim.twinSlot,
    claim.firstSeenMs,
    claim.retentionMs,
    receivedMs,
    neverSent,
    owner,
    claim.dispatchByMs,
    claim.checkTwins,
    claim.change,
    event.topic,
    JSON.stringify({ partition: event.partition, key: event.record_key, headers: event.headers }),
    event.value,
    ...changingColumns.map(column => (claim.changing as Changing)[column] ?? null),
    claim.kept?.keyId ?? null,
    claim.kept?.bytes ?? null,
  ])
  return result.rows.length > 0
}
