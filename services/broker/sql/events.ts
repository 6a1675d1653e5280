import type { NewRecord } from '../../../shared/journal/port.ts'
import { recordColumns } from './record.ts'
import type { Queryable } from './row.ts'

const text = `
insert into outbox (topic, partition, key, headers, value)
select i.topic, i.partition, i.record_key, i.headers, i.value
from json_to_recordset($1::json) as i (topic text, partition int, record_key text, headers text, value text)`

/** Puts events on record that move nothing. */
export async function rememberEvents(db: Queryable, events: readonly NewRecord[]): Promise<void> {
  await db.query({ name: 'events', text }, [JSON.stringify(events.map(recordColumns))])
}
