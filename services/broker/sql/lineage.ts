/** Statements of a completion after a failover. Each fails as a whole once the lineage is complete or another one. */
import type { NewRecord } from '../../../shared/journal/port.ts'
import { changingDefinitions } from './claim.ts'
import { recordColumns } from './record.ts'
import {
  type Changing,
  changingColumns,
  operationColumns,
  type OperationRow,
  type Queryable,
  sealReceipt,
} from './row.ts'

export type Lineage = {
  readonly current: string
  readonly completeUnder: string
  /** Commits older than this are here. */
  readonly aliveMs: number
}

/** @throws when the database is a standby, or cannot be reached */
export async function readLineage(db: Queryable): Promise<Lineage> {
  const { rows } = await db.query<{ current: string; complete_under: string; alive_ms: number }>({
    name: 'lineage',
    text: 'select current_lineage() as current, complete_under, alive_ms from lineage',
  })
  const [{ current, complete_under: completeUnder, alive_ms: aliveMs }] = rows as [(typeof rows)[0]]
  return { current, completeUnder, aliveMs }
}

/** From now on nothing is claimed, moved or answered until operations are completed. */
export async function declareIncomplete(db: Queryable): Promise<void> {
  await db.query(`update lineage set complete_under = ''`)
}

/** An operation that the journal knows of and this database does not. */
export type Entry = {
  readonly operationId: string
  readonly scope: string
  readonly tenant: string
  readonly keyspace: string
  readonly server: string
  readonly key: string
  readonly tool: string
  readonly agent: string
  readonly conversation: string | undefined
  readonly fingerprint: string
  readonly change: string
  readonly changing: Changing
  readonly firstSeenMs: number
  readonly retentionMs: number
  /** Absent where the journal has the event already. */
  readonly event: NewRecord | undefined
}

const identity = ['operation_id', 'tenant', 'keyspace', 'server', 'key', 'tool', 'agent', 'conversation'] as const
const columns = [...identity, 'fingerprint', 'change', 'twin_slot', ...changingColumns, 'first_seen_ms', 'retention_ms']

/** Twins may both have been sent: each has a slot of its own, and later ones still meet them. */
const enterText = `
with input as (
  select * from json_to_recordset($1::json) as i (scope text, ${identity.map(column => `${column} text`).join(', ')},
    fingerprint text, change text, ${changingDefinitions}, first_seen_ms bigint, retention_ms bigint,
    topic text, partition int, record_key text, headers text, value text)
), entered as (
  insert into operations as o (scope, ${columns.join(', ')})
  select decode(i.scope, 'hex'), ${identity.map(column => `i.${column}`).join(', ')},
    decode(i.fingerprint, 'hex'), decode(i.change, 'hex'), i.operation_id,
    ${changingColumns.map(column => `i.${column}`).join(', ')}, i.first_seen_ms, i.retention_ms
  from input i where require_incomplete($2)
  order by i.scope
  on conflict (scope) do update set ${columns.map(column => `${column} = excluded.${column}`).join(', ')}
    where o.state = 'fence'
  returning operation_id
), recorded as (
  insert into outbox (topic, partition, key, headers, value)
  select i.topic, i.partition, i.record_key, i.headers, i.value
  from input i where i.operation_id = any(array(select operation_id from entered)) and i.topic is not null
)
select operation_id from entered`

/** A key that an operation holds is left alone; one that a fence holds becomes the operation's. */
export async function enterOperations(db: Queryable, lineage: string, entries: readonly Entry[]): Promise<void> {
  for (const { changing, event } of entries) if (event !== undefined) sealReceipt(changing, event)
  const rows = entries.map(({ changing, event, ...entry }) => ({
    operation_id: entry.operationId,
    scope: entry.scope,
    tenant: entry.tenant,
    keyspace: entry.keyspace,
    server: entry.server,
    key: entry.key,
    tool: entry.tool,
    agent: entry.agent,
    conversation: entry.conversation ?? null,
    fingerprint: entry.fingerprint,
    change: entry.change,
    ...changing,
    first_seen_ms: entry.firstSeenMs,
    retention_ms: entry.retentionMs,
    ...(event && recordColumns(event)),
  }))
  await db.query({ name: 'enter', text: enterText }, [JSON.stringify(rows), lineage])
}

/** A row brought forward: by what the journal says of it, or because of what may be lost. */
export type Forward = {
  readonly operationId: string
  readonly expectedSequence: number
  readonly changing: Changing
  readonly event: NewRecord | undefined
}

/** In the order of what was lost no two of these were live at once; in this order they may be, each in a slot of its own. */
const forwardText = `
with input as (
  select * from json_to_recordset($1::json) as i (operation_id text, expected_sequence int, ${changingDefinitions},
    topic text, partition int, record_key text, headers text, value text)
), moved as (
  update operations o
  set ${changingColumns.map(column => `${column} = i.${column}`).join(', ')}, twin_slot = o.operation_id
  from input i
  where o.operation_id = i.operation_id and o.sequence = i.expected_sequence and o.state <> 'fence'
    and require_incomplete($2)
  returning o.operation_id
), recorded as (
  insert into outbox (topic, partition, key, headers, value)
  select i.topic, i.partition, i.record_key, i.headers, i.value
  from input i where i.operation_id = any(array(select operation_id from moved)) and i.topic is not null
)
select operation_id from moved`

export async function bringForward(db: Queryable, lineage: string, forwards: readonly Forward[]): Promise<void> {
  for (const { changing, event } of forwards) if (event !== undefined) sealReceipt(changing, event)
  const rows = forwards.map(({ operationId, expectedSequence, changing, event }) => ({
    operation_id: operationId,
    expected_sequence: expectedSequence,
    ...changing,
    ...(event && recordColumns(event)),
  }))
  await db.query({ name: 'forward', text: forwardText }, [JSON.stringify(rows), lineage])
}

export type Remembered = {
  readonly callId: string
  readonly operationId: string
  readonly how: 'own' | 'replayed' | 'conflicted'
  readonly code: string | undefined
  readonly event: NewRecord | undefined
}

const rememberText = `
with input as (
  select * from json_to_recordset($1::json) as i (call_id text, operation_id text, how text, code text,
    topic text, partition int, record_key text, headers text, value text)
), remembered as (
  insert into handled_commands (call_id, operation_id, how, code, handled_ms)
  select call_id, operation_id, how, code, now_ms() from input where require_incomplete($2)
  order by call_id
  on conflict do nothing
  returning call_id
), recorded as (
  insert into outbox (topic, partition, key, headers, value)
  select i.topic, i.partition, i.record_key, i.headers, i.value
  from input i where i.call_id = any(array(select call_id from remembered)) and i.topic is not null
)
select call_id from remembered`

export async function rememberCalls(db: Queryable, lineage: string, calls: readonly Remembered[]): Promise<void> {
  const rows = calls.map(({ callId, operationId, how, code, event }) => ({
    call_id: callId,
    operation_id: operationId,
    how,
    code: code ?? null,
    ...(event && recordColumns(event)),
  }))
  await db.query({ name: 'remember', text: rememberText }, [JSON.stringify(rows), lineage])
}

const ofIds = `select ${operationColumns} from operations o where o.operation_id = any($1) and o.state <> 'fence'`
export async function readByIds(db: Queryable, operationIds: readonly string[]): Promise<OperationRow[]> {
  return (await db.query<OperationRow>({ name: 'surviving_by_ids', text: ofIds }, [operationIds])).rows
}

/** The index of live changes finds them. */
const unsettled = `
select ${operationColumns} from operations o
where o.state in ('accepted', 'awaiting_approval', 'executing')
limit $1`
/** Operations whose next transition may be among the lost. */
export async function readUnsettled(db: Queryable, limit: number): Promise<OperationRow[]> {
  return (await db.query<OperationRow>({ name: 'surviving_unsettled', text: unsettled }, [limit])).rows
}

const finishText = `
with finished as (
  update lineage set complete_under = $1, alive_ms = now_ms(), completed_ms = now_ms()
  where require_incomplete($1) returning 1
), ended as (
  update owners set lease_until_ms = 0 where exists (select from finished)
)
select from finished`

/**
 * Operations are complete under this lineage. Every owner's lease ends with it: what a process remembers of its own rows
 * is of another history than the rows.
 */
export async function finishCompleting(db: Queryable, lineage: string): Promise<void> {
  await db.query({ name: 'finish', text: finishText }, [lineage])
}

/** SQLSTATE of `require_incomplete`: another broker finished, or the lineage changed again. Then look anew. */
export const isOvertaken = (error: unknown): boolean => (error as { code?: string }).code === 'HF002'
