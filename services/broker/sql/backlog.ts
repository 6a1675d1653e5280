import type { Backlog } from '../../../shared/telemetry/broker.ts'
import type { Queryable } from './row.ts'

/** Ages at which an `unknown` asks for somebody: after a time-out, after a late window, after a day. */
const ages = { '5m': 300_000, '1h': 3_600_000, '24h': 86_400_000 } as const

/** A relay that stands still lets the outbox grow without bounds; its size is then of no interest beyond this. */
const mostRows = 100_000

/** The condition is that of the twin guard's index, which holds live operations only. */
const text = `
with unknown as materialized (
  select now_ms() - coalesce(dispatched_ms, first_seen_ms) as age from operations
  where state = 'unknown' and state in ('accepted', 'awaiting_approval', 'executing', 'awaiting_input', 'unknown')
)
select count(*)::int as total, ${Object.entries(ages)
  .map(([name, ms]) => `count(*) filter (where age >= ${ms})::int as "${name}"`)
  .join(', ')},
  coalesce(max(age), 0)::float8 as oldest,
  (select count(*)::int from (select from outbox limit ${mostRows}) o) as outbox,
  coalesce((select now_ms() - extract(epoch from (headers::json ->> 'ce_time')::timestamptz) * 1000
     from outbox order by id limit 1), 0)::float8 as outbox_oldest
from unknown`

type Row = { total: number; oldest: number; outbox: number; outbox_oldest: number } & Record<keyof typeof ages, number>

/** What stands open: asked when somebody scrapes. */
export async function readBacklog(db: Queryable): Promise<Backlog> {
  const { rows } = await db.query<Row>({ name: 'backlog', text })
  const row = rows[0] as Row
  const olderThan = Object.fromEntries(Object.keys(ages).map(age => [age, row[age as keyof typeof ages]]))
  return {
    unknown: { total: row.total, olderThan, oldestMs: Math.max(0, row.oldest) },
    outbox: { rows: row.outbox, oldestMs: Math.max(0, row.outbox_oldest) },
  }
}
