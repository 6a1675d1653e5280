import type { UpstreamAnswer } from '../../../shared/call/record.ts'
import type { NewRecord } from '../../../shared/journal/port.ts'
import { textArray } from '../../../shared/postgres/arrays.ts'
import type { Sealed } from '../../../shared/crypto/seal.ts'
import { changingDefinitions, keptColumns, keptDefinitions, keptRows } from './claim.ts'
import { placedColumns, placedDefinitions, recordArrays, recordColumns } from './record.ts'
import { type Changing, changingColumns, type Queryable, sealReceipt } from './row.ts'

/** One transition: the row as `evolve` left it, guarded by the sequence it was decided on. */
export type Advance = {
  readonly operationId: string
  /** The sequence the decision was made on; any other means that somebody else moved the operation (fenced). */
  readonly expectedSequence: number
  readonly changing: Changing
  readonly event: NewRecord
  readonly answer?: UpstreamAnswer | undefined
  /** An intent: bytes may be sent after this commit. Only under a live lease and before this time. */
  readonly intentBefore?: number | undefined
  /** Set when a reopening is a deliberate second change beside a live one. */
  readonly twinSlot?: string | undefined
  /** The command this transition handles, when it is not the claim: remembered in the same commit. */
  readonly handled?: { readonly callId: string; readonly how: string } | undefined
  /** What goes with it where a tool has recovery; a batch without any of this pays nothing for it. */
  readonly beside?: Beside | undefined
}

export type Beside = {
  /** The call as it may be needed again. */
  readonly kept?: Sealed | undefined
  /** It is needed no longer. */
  readonly drop?: boolean | undefined
  readonly evidence?: Evidence | undefined
  /** Another event, of a stream of its own. */
  readonly also?: NewRecord | undefined
}

/** @param raw the server's words, as they are kept */
export type Evidence = {
  readonly kind: 'probe' | 'replay' | 'person'
  readonly says: string
  readonly raw?: string | undefined
}

/**
 * Every move of an operation after its claim: state, answer and event in one commit. A row that somebody else is just
 * changing is read again before it is judged. Two batches that name the same rows meet only where an owner was fenced;
 * should they deadlock, the caller looks again, as after any doubt. What is `unknown` does not become so again: after a
 * failover a process may remember another event of the same sequence than the one that is on record now. (Locking the rows in order first costs a second
 * write of each.)
 */
const textOf = (isBeside: boolean) => `
with input as (
  select * from json_to_recordset($1::json) as i (
    operation_id text, expected_sequence int, ${changingDefinitions}, answer_kind text,
    intent_before_ms bigint, twin_slot text, handled_call_id text, handled_how text, ${isBeside ? besideDefinitions : ''}
    ${placedDefinitions})
), moved as (
  update operations o
  set ${changingColumns.map(column => `${column} = i.${column}`).join(', ')},
    twin_slot = coalesce(i.twin_slot, o.twin_slot)
  from input i
  where o.operation_id = i.operation_id and o.sequence = i.expected_sequence and o.state <> 'fence'
    and require_complete() and not (o.state = 'unknown' and i.state = 'unknown' and o.recovery is null)
    and (i.handled_call_id is null
      or not exists (select from handled_commands h where h.call_id = i.handled_call_id))
    and (i.intent_before_ms is null or (
      i.intent_before_ms > now_ms()
      and exists (select from owners w where w.owner = i.owner and w.lease_until_ms > now_ms())))
  returning o.operation_id
), answered as (
  insert into results (operation_id, epoch, round, kind, raw, recorded_ms)
  select i.operation_id, i.epoch, i.round, i.answer_kind, ($4::text[])[i.place], now_ms()
  from input i where i.operation_id = any(array(select operation_id from moved)) and i.answer_kind is not null
  on conflict (operation_id, epoch, round) do update set kind = excluded.kind, raw = excluded.raw
), remembered as (
  insert into handled_commands (call_id, operation_id, how, handled_ms)
  select i.handled_call_id, i.operation_id, i.handled_how, now_ms()
  from input i where i.operation_id = any(array(select operation_id from moved)) and i.handled_call_id is not null
  on conflict do nothing
), recorded as (
  insert into outbox (topic, partition, key, headers, value)
  select ${placedColumns('$2', '$3')}
  from input i where i.operation_id = any(array(select operation_id from moved))
)${isBeside ? besideRows : ''}
select operation_id from moved`

const besideDefinitions = `${keptDefinitions} drop_kept bool, evidence_kind text, evidence_says text, evidence_raw text, also json,`
const besideRows = `${keptRows('moved')}, dropped as (
  delete from kept_calls k using input i
  where k.operation_id = i.operation_id and i.drop_kept and i.operation_id = any(array(select operation_id from moved))
), found as (
  insert into evidence (operation_id, sequence, kind, says, raw, recorded_ms)
  select i.operation_id, i.sequence, i.evidence_kind, i.evidence_says, i.evidence_raw, now_ms()
  from input i where i.operation_id = any(array(select operation_id from moved)) and i.evidence_kind is not null
), told as (
  insert into outbox (topic, partition, key, headers, value)
  select a.topic, a.partition, a.record_key, a.headers, a.value
  from input i, json_to_record(i.also) as a (topic text, partition int, record_key text, headers text, value text)
  where i.operation_id = any(array(select operation_id from moved)) and i.also is not null
)`

const statements = {
  plain: { name: 'advance', text: textOf(false) },
  beside: { name: 'advance_beside', text: textOf(true) },
}

/**
 * Of several advances of one operation only the first is tried: an update takes one row of its input per target, and
 * the statement could not say which one it was.
 * @returns for each whether it moved; the others were fenced, or their intent was refused
 */
export async function advanceOperations(db: Queryable, advances: readonly Advance[]): Promise<boolean[]> {
  const firsts = new Map<string, Advance>()
  for (const advance of advances) if (!firsts.has(advance.operationId)) firsts.set(advance.operationId, advance)
  const tried = [...firsts.values()]
  const rows = tried.map((advance, index) => {
    const { event, handled } = advance
    sealReceipt(advance.changing, event)
    const row = {
      operation_id: advance.operationId,
      expected_sequence: advance.expectedSequence,
      answer_kind: advance.answer?.kind,
      intent_before_ms: advance.intentBefore,
      twin_slot: advance.twinSlot,
      handled_call_id: handled?.callId,
      handled_how: handled?.how,
      place: index + 1,
      topic: event.topic,
      partition: event.partition,
      record_key: event.key,
    }
    return Object.assign(row, advance.changing, advance.beside && besideColumns(advance.beside))
  })
  const events = recordArrays(tried.map(({ event }) => event))
  const answers = textArray(tried.map(({ answer }) => answer?.raw ?? null))
  const values = [JSON.stringify(rows), ...events, answers]
  const statement = tried.some(({ beside }) => beside !== undefined) ? statements.beside : statements.plain
  const result = await db.query<{ operation_id: string }>(statement, values)
  const moved = new Set(result.rows.map(row => row.operation_id))
  return advances.map(advance => firsts.get(advance.operationId) === advance && moved.has(advance.operationId))
}

const besideColumns = ({ kept, drop, evidence, also }: Beside) => ({
  ...keptColumns(kept),
  drop_kept: drop ?? false,
  ...(evidence && {
    evidence_kind: evidence.kind,
    evidence_says: storable(evidence.says),
    evidence_raw: evidence.raw === undefined ? null : storable(evidence.raw),
  }),
  ...(also && { also: recordColumns(also) }),
})

/** Words of others may hold what no text in the database can: a NUL, or half a character where they were cut. */
const storable = (text: string): string => text.replaceAll('\0', '').replaceAll(/\p{Surrogate}/gu, '\ufffd')

/** Enough of the server's words to see what it meant. */
const mostWords = 4_000
export const cutWords = (raw: string): string => (raw.length > mostWords ? `${raw.slice(0, mostWords)} …` : raw)
