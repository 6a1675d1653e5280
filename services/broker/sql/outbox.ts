import type { NewRecord } from '../../../shared/journal/port.ts'
import type { Queryable } from './row.ts'

type Row = Omit<NewRecord, 'headers'> & { readonly id: number; readonly headers: string }

/**
 * Deletes the oldest rows of the outbox, inside the caller's transaction, and returns them in their order. Rows that
 * another relay has taken are skipped. The first row comes whatever its size, the others while they fit into `maxBytes`.
 *
 * While the caller waits for the journal its transaction is idle: if it hangs, the database ends it after
 * `maxIdleMs`, and the rows are free again.
 */
export async function takeOutbox(
  on: Queryable,
  { maxRows, maxBytes, maxIdleMs }: { maxRows: number; maxBytes: number; maxIdleMs: number },
): Promise<NewRecord[]> {
  const { rows } = await on.query<Row>(
    {
      name: 'outbox_take',
      text: `
      with locked as materialized (
        select id, octet_length(value) as bytes from outbox order by id for update skip locked limit $1
      ), picked as materialized (
        select id from (select id, sum(bytes) over (order by id) - bytes as before from locked) sized
        where before < $2
      ), taken as (
        delete from outbox using picked where outbox.id = picked.id
        returning outbox.id, outbox.topic, outbox.partition, outbox.key, outbox.headers, outbox.value
      )
      select taken.* from taken
      cross join (select set_config('idle_in_transaction_session_timeout', $3::int::text, true)) as bounded
      order by id`,
    },
    [maxRows, maxBytes, maxIdleMs],
  )
  return rows.map(({ topic, partition, key, value, headers }) => ({
    topic,
    partition,
    key,
    value,
    headers: JSON.parse(headers) as Record<string, string>,
  }))
}
