import type { NewRecord } from '../../../shared/journal/port.ts'
import { recordColumns } from './record.ts'
import type { Queryable } from './row.ts'

/** A call that joined an operation without moving it. */
export type Join = {
  readonly callId: string
  readonly operationId: string
  readonly how: string
  readonly code: string | undefined
  readonly event: NewRecord
}

const text = `
with input as (
  select * from json_to_recordset($1::json) as i (call_id text, operation_id text, how text, code text,
    topic text, partition int, record_key text, headers text, value text)
), remembered as (
  insert into handled_commands (call_id, operation_id, how, code, handled_ms)
  select call_id, operation_id, how, code, now_ms() from input
  where require_complete() and not exists (select from operations o where o.operation_id = input.call_id)
  order by call_id
  on conflict do nothing
  returning call_id
), recorded as (
  insert into outbox (topic, partition, key, headers, value)
  select i.topic, i.partition, i.record_key, i.headers, i.value
  from input i where i.call_id = any(array(select call_id from remembered))
)
select call_id from remembered`

/**
 * Remembers the calls and records their events in one commit.
 * @returns for each whether it was remembered now; false when it was handled before, here or by another process
 */
export async function rememberJoins(db: Queryable, joins: readonly Join[]): Promise<boolean[]> {
  const rows = joins.map(({ callId, operationId, how, code, event }) => ({
    call_id: callId,
    operation_id: operationId,
    how,
    code: code ?? null,
    ...recordColumns(event),
  }))
  const result = await db.query<{ call_id: string }>({ name: 'joins', text }, [JSON.stringify(rows)])
  const remembered = new Set(result.rows.map(row => row.call_id))
  return joins.map(({ callId }) => remembered.has(callId))
}
