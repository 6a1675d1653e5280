import type { NewRecord } from '../../../shared/journal/port.ts'
import { recordColumns } from './claim.ts'
import type { Queryable } from './row.ts'

/** A call that joined an operation without moving it. */
export type Join = { readonly callId: string; readonly operationId: string; readonly how: string; readonly code: string | undefined; readonly event: NewRecord }

const text = `
with input as (
  select * from json_to_recordset($1::json) as i (call_id text, operation_id text, how text, code text,
    topic text, partition int, record_key text, headers text, value text)
), remembered as (
  insert into handled_commands (call_id, operation_id, how, code, handled_ms)
  select call_id, operation_id, how, code, now_ms() from input order by call_id
  on conflict do nothing
  returning call_id
)
insert into outbox (topic, partition, key, headers, value)
select i.topic, i.partition, i.record_key, i.headers, i.value from input i join remembered using (call_id)`

/** Remembers the calls and records their events in one commit; a call that was remembered before is left as it is. */
export async function rememberJoins(db: Queryable, joins: readonly Join[]): Promise<void> {
  const rows = joins.map(({ callId, operationId, how, code, event }) => ({
    call_id: callId,
    operation_id: operationId,
    how,
    code: code ?? null,
    ...recordColumns(event),
  }))
  await db.query({ name: 'joins', text }, [JSON.stringify(rows)])
}
