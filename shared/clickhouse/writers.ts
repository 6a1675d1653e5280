/** The table `holdfast.writers` (see `infra/clickhouse/0006_writers.sql`): which sink took which partition, and gave it back. */
import type { Clickhouse } from './connect.ts'
import { integer, literal } from './literal.ts'

export type Taker = {
  readonly writer: string
  /** It gave the partition back after that, with no insert under way. */
  readonly gaveBack: boolean
}

/** Who took each of some partitions of a topic last; a partition that nobody ever took is absent. */
export async function lastTakers(
  { client }: Clickhouse,
  { topic, partitions }: { topic: string; partitions: readonly number[] },
): Promise<Map<number, Taker>> {
  const result = await client.query({
    query: `select journal_partition as partition, argMaxIf(writer, at, what = 'taken') as last,
        maxIf(at, what = 'taken') as since, countIf(what = 'given_back' and writer = taker and at >= taken_at) > 0 as gave_back
      from (
        select *, argMaxIf(writer, at, what = 'taken') over (partition by journal_partition) as taker,
          maxIf(at, what = 'taken') over (partition by journal_partition) as taken_at
        from holdfast.writers
        where journal_topic = ${literal(topic)} and journal_partition in (${partitions.map(integer).join(', ')})
      )
      group by partition`,
    format: 'JSONEachRow',
  })
  const rows = await result.json<{ partition: number; last: string; gave_back: number | boolean }>()
  return new Map(rows.map(row => [row.partition, { writer: row.last, gaveBack: Boolean(Number(row.gave_back)) }]))
}

/** Puts on record that a sink took partitions, or gave them back. */
export async function recordWriter(
  { client }: Clickhouse,
  {
    topic,
    partitions,
    writer,
    what,
  }: { topic: string; partitions: readonly number[]; writer: string; what: 'taken' | 'given_back' },
): Promise<void> {
  const rows = partitions.map(
    partition => `(${literal(topic)}, ${integer(partition)}, ${literal(writer)}, ${literal(what)})`,
  )
  await client.command({
    query: `insert into holdfast.writers (journal_topic, journal_partition, writer, what)
      settings async_insert = 0 values ${rows.join(', ')}`,
  })
}

/** The server's clock, milliseconds: what `send_by` is compared with. */
export async function serverTime({ client }: Clickhouse): Promise<number> {
  const result = await client.query({ query: 'select toUnixTimestamp64Milli(now64(3)) as now', format: 'JSONEachRow' })
  const [row] = await result.json<{ now: number | string }>()
  return Number(row?.now)
}
