import type { NewRecord } from '../../../shared/journal/port.ts'
import type { Sealed } from '../../../shared/crypto/seal.ts'
import { type Base, placing, placingOne } from '../../../shared/journal/postgres/records.ts'
import { placedColumns, placedDefinitions, recordArrays } from './record.ts'
import { type Changing, changingColumns, type Queryable } from './row.ts'

/** A row to claim, with the event that says so. */
export type Claim = {
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
  /** The guard is on: any live row with the same change refuses this one. */
  readonly checkTwins: boolean
  /** Of live rows with the same change, one for each slot. */
  readonly twinSlot: string
  readonly changing: Changing
  readonly firstSeenMs: number
  readonly dispatchByMs: number
  readonly retentionMs: number
  readonly event: NewRecord
  /** The call as it may be needed again. */
  readonly kept?: Sealed | undefined
}

const columnTypes: Record<keyof Changing, string> = {
  state: 'text',
  call_id: 'text',
  epoch: 'int',
  round: 'int',
  sequence: 'int',
  attempts: 'int',
  owner: 'text',
  code: 'text',
  evidence: 'text',
  reopenable: 'bool',
  inputs_hash: 'text',
  request_state_hash: 'text',
  dispatch_by_ms: 'bigint',
  dispatched_ms: 'bigint',
  finished_ms: 'bigint',
  expires_ms: 'bigint',
  recovery: 'json',
  recover_at_ms: 'bigint',
  receipt: 'text',
}

export const keptDefinitions = 'kept_key_id text, kept text,'
/** Keeps the calls of those rows of `input` that are among `winners`. */
export const keptRows = (winners: string) => `, kept as (
  insert into kept_calls (operation_id, key_id, sealed, kept_ms)
  select i.operation_id, i.kept_key_id, i.kept, now_ms()
  from input i where i.operation_id = any(array(select operation_id from ${winners})) and i.kept is not null
  on conflict (operation_id) do update set key_id = excluded.key_id, sealed = excluded.sealed, kept_ms = excluded.kept_ms
)`

const identity = [
  'operation_id',
  'scope',
  'tenant',
  'keyspace',
  'server',
  'key',
  'tool',
  'agent',
  'conversation',
] as const
const definitionsOf = (columns: readonly (keyof Changing)[]) =>
  columns.map(column => `${column} ${columnTypes[column]}`).join(', ')
const changingDefinitions = definitionsOf(changingColumns)
/** No operation begins with a recovery or a receipt: what a claim does not need it does not carry. */
const unclaimed: readonly string[] = ['recovery', 'recover_at_ms', 'receipt']
const claimed = changingColumns.filter(column => !unclaimed.includes(column))
const claimedDefinitions = definitionsOf(claimed)

/**
 * Claim, intent and event in one commit. The unique indexes on scope and on the live change decide; a row is not
 * claimed under an expired lease, for a command that was handled before, or past its `dispatchBy`. Rows come in the order
 * of their scope and are inserted in it, so that two batches cannot deadlock. The batch travels as one JSON parameter: one
 * function to open it where thirty arrays would be thirty. What stands in the way is looked up row by row, as a scalar
 * with `limit 1`: as plain `not exists` the planner hashes every live row for one claim, and a join carries all forty
 * columns through two more nodes. Of a claim of one row a third is the start of its plan: every node and column counts.
 */
const textOf = ({ keeps, placed }: { keeps: boolean; placed: string }) => `
with input as (
  select * from json_to_recordset($1::json) as i (
    ${identity.map(column => `${column} text`).join(', ')},
    fingerprint text, change text, check_twins bool, twin_slot text, ${claimedDefinitions}, first_seen_ms bigint, send_by_ms bigint,
    retention_ms bigint, ${keeps ? keptDefinitions : ''} ${placed && 'command_partition int, '}${placedDefinitions})
), live as (
  select owner from owners where owner = $2 and lease_until_ms > now_ms() and require_complete()
), won as (
  insert into operations (${identity.join(', ')}, fingerprint, change, twin_slot, ${claimed.join(', ')},
    first_seen_ms, retention_ms)
  select i.operation_id, decode(i.scope, 'hex'), i.tenant, i.keyspace, i.server, i.key, i.tool, i.agent, i.conversation,
    decode(i.fingerprint, 'hex'), decode(i.change, 'hex'), i.twin_slot, ${claimed.map(column => `i.${column}`).join(', ')},
    i.first_seen_ms, i.retention_ms
  from input i
  where exists (select from live) and (i.owner is null or i.owner = $2)
    and (i.state <> 'executing' or i.send_by_ms > now_ms())
    and (select true from handled_commands h where h.call_id = i.operation_id limit 1) is null
    and (not i.check_twins or (
      select true from operations t
      where t.change = decode(i.change, 'hex')
        and t.state in ('accepted', 'awaiting_approval', 'executing', 'awaiting_input', 'unknown')
      limit 1) is null)
  on conflict do nothing
  returning operation_id
), recorded as (
  insert into outbox (topic, partition, key, headers, value)
  select ${placedColumns('$3', '$4')}
  from input i where i.operation_id = any(array(select operation_id from won))
)${keeps ? keptRows('won') : ''}${placed}
select (select json_agg(operation_id) from won) as won${placed && `, ${basesOfCommands}`}`

/** The commands themselves, put on record whether they win or not. Their key is the scope. */
const commandsPlaced = `, commands as (
  select $5::text as topic, i.command_partition as partition, i.scope as key,
    ($6::text[])[i.place] as headers, ($7::text[])[i.place] as value, i.place
  from input i
), ${placing('commands')}`
const commandPlaced = `, ${placingOne({
  topic: '$5',
  partition: "($1::json -> 0 ->> 'command_partition')::int",
  key: "$1::json -> 0 ->> 'scope'",
  headers: '($6::text[])[1]',
  value: '($7::text[])[1]',
})}`
const basesOfCommands = `(select json_agg(b) from (select topic, partition, base, time from advanced) b) as bases`

const statementsOf = (name: string, placed = '') => ({
  plain: { name, text: textOf({ keeps: false, placed }) },
  keeping: { name: `${name}_keeping`, text: textOf({ keeps: true, placed }) },
})
const claiming = statementsOf('claim')
const appendingMany = statementsOf('append_claim', commandsPlaced)
const appendingOne = statementsOf('append_claim_one', commandPlaced)

/** Of equal scopes the first stays the first: it is the one that wins. */
const byScope = (a: Claim, b: Claim) => (a.scope < b.scope ? -1 : a.scope > b.scope ? 1 : 0)

const rowOf = (claim: Claim, index: number) => {
  const { event } = claim
  const row = {
    operation_id: claim.operationId,
    scope: claim.scope,
    tenant: claim.tenant,
    keyspace: claim.keyspace,
    server: claim.server,
    key: claim.key,
    tool: claim.tool,
    agent: claim.agent,
    conversation: claim.conversation,
    fingerprint: claim.fingerprint,
    change: claim.change,
    check_twins: claim.checkTwins,
    twin_slot: claim.twinSlot,
    first_seen_ms: claim.firstSeenMs,
    send_by_ms: claim.dispatchByMs,
    retention_ms: claim.retentionMs,
    place: index + 1,
    topic: event.topic,
    partition: event.partition,
    record_key: event.key,
  }
  return Object.assign(row, claim.changing, keptColumns(claim.kept))
}

type ClaimedRow = { readonly won: readonly string[] | null; readonly bases?: readonly Base[] }

/**
 * @param owner the id of this process now; a claim that was prepared under an older one loses
 * @returns the operation ids that were claimed; every other one lost, for a reason that `readStanding` shows
 */
export async function claimOperations(db: Queryable, owner: string, claims: readonly Claim[]): Promise<Set<string>> {
  const ordered = claims.toSorted(byScope)
  const values = [JSON.stringify(ordered.map(rowOf)), owner, ...recordArrays(ordered.map(claim => claim.event))]
  const statement = claims.some(({ kept }) => kept !== undefined) ? claiming.keeping : claiming.plain
  const { rows } = await db.query<ClaimedRow>(statement, values)
  return new Set(rows[0]?.won)
}

/** A claim with the command it is of, which is not on record yet. */
export type Entry = { readonly claim: Claim; readonly command: NewRecord }
export const inScopeOrder = (entries: readonly Entry[]) => entries.toSorted((a, b) => byScope(a.claim, b.claim))

/**
 * The same in the commit that appends the commands: to the journal in this very database.
 * @param entries in the order of `inScopeOrder`, in which the journal has them
 */
export async function appendAndClaim(
  db: Queryable,
  owner: string,
  entries: readonly Entry[],
): Promise<{ won: Set<string>; bases: readonly Base[] }> {
  const rows = entries.map(({ claim, command }, index) =>
    Object.assign(rowOf(claim, index), { command_partition: command.partition }),
  )
  const values = [
    JSON.stringify(rows),
    owner,
    ...recordArrays(entries.map(({ claim }) => claim.event)),
    entries[0]?.command.topic,
    ...recordArrays(entries.map(({ command }) => command)),
  ]
  const statements = entries.length === 1 ? appendingOne : appendingMany
  const statement = entries.some(({ claim }) => claim.kept !== undefined) ? statements.keeping : statements.plain
  const result = await db.query<ClaimedRow>(statement, values)
  const [row] = result.rows
  return { won: new Set(row?.won), bases: row?.bases ?? [] }
}

/** A kept call's columns, where there is one; a batch without any pays nothing for the table. */
export const keptColumns = (kept: Sealed | undefined) => kept && { kept_key_id: kept.keyId, kept: kept.bytes }

export { changingDefinitions }
