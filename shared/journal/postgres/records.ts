/** Statements over records and heads, one each. They know tables, not batching, groups or memory. */
import { CorruptionError } from '../../errors.ts'
import { textArray } from '../../postgres/arrays.ts'
import { type Queryable, query } from '../../postgres/pool.ts'
import type { JournalRecord, NewRecord, PartitionEnds, PartitionLag } from '../port.ts'

type Row = Omit<JournalRecord, 'headers'> & { readonly headers: string }
/** Where a statement has put the records of one partition: the first at `base`, the others behind it. */
export type Base = { readonly topic: string; readonly partition: number; readonly base: number; readonly time: number }

/**
 * Places the rows of `from` (topic, partition, key, headers, value, place) behind the heads of their partitions;
 * `advanced` has the bases. `locked` takes the heads in one order everywhere, so appenders never deadlock, and holds them
 * until commit, so offsets become visible in order (J2). Time never goes back within a partition: records are found by it.
 */
export const placing = (from: string) => `
  counts as (
    select topic, partition, count(*) as n from ${from} group by topic, partition
  ), locked as materialized (
    select heads.topic, heads.partition, counts.n
    from journal_heads heads join counts using (topic, partition)
    order by heads.topic, heads.partition
    for update of heads
  ), advanced as (
    update journal_heads heads
    set next_offset = heads.next_offset + locked.n,
        last_time = greatest(heads.last_time, floor(extract(epoch from clock_timestamp()) * 1000)::bigint)
    from locked
    where heads.topic = locked.topic and heads.partition = locked.partition
    returning heads.topic, heads.partition, heads.next_offset - locked.n as base, heads.last_time as time
  ), placed as (
    select topic, partition, base + row_number() over (partition by topic, partition order by place) - 1 as "offset",
           time, key, headers, value
    from ${from} join advanced using (topic, partition)
  ), inserted as (
    insert into journal_records (topic, partition, "offset", time, key, headers, value) select * from placed
  )`

/**
 * Appends all records or none. Every topic and partition must exist.
 * @returns where they are, for `place`
 */
export async function appendRecords(on: Queryable, records: readonly NewRecord[]): Promise<Base[]> {
  const [first] = records
  return records.length === 1 && first ? appendOne(on, first) : appendMany(on, records)
}

const appendMany = (on: Queryable, records: readonly NewRecord[]): Promise<Base[]> =>
  query<Base>(on, {
    name: 'journal_append',
    text: `
      with input as (
        select * from unnest($1::text[], $2::int[], $3::text[], $4::text[], $5::text[])
          with ordinality as input (topic, partition, key, headers, value, place)
      ), ${placing('input')}
      select topic, partition, base, time from advanced`,
    values: [
      textArray(records.map(record => record.topic)),
      records.map(record => record.partition),
      textArray(records.map(record => record.key)),
      textArray(records.map(record => JSON.stringify(record.headers))),
      textArray(records.map(record => record.value)),
    ],
  })

/**
 * The same as `placing` for a lone record, with nothing to count and to number, which is most of what that costs. Takes the
 * parameters, or what else the record's parts are in the statement.
 */
export const placingOne = (record: {
  topic: string
  partition: string
  key: string
  headers: string
  value: string
}) => `
  advanced as (
    update journal_heads
    set next_offset = next_offset + 1,
        last_time = greatest(last_time, floor(extract(epoch from clock_timestamp()) * 1000)::bigint)
    where topic = ${record.topic} and partition = ${record.partition}
    returning topic, partition, next_offset - 1 as base, last_time as time
  ), inserted as (
    insert into journal_records (topic, partition, "offset", time, key, headers, value)
    select topic, partition, base, time, ${record.key}, ${record.headers}, ${record.value} from advanced
  )`

const appendOne = (on: Queryable, { topic, partition, key, headers, value }: NewRecord): Promise<Base[]> =>
  query<Base>(on, {
    name: 'journal_append_one',
    text: `
      with ${placingOne({ topic: '$1', partition: '$2', key: '$3', headers: '$4', value: '$5' })}
      select topic, partition, base, time from advanced`,
    values: [topic, partition, key, JSON.stringify(headers), value],
  })

/**
 * The records with their offsets and time, in the order given. The same counting as in the statement: consecutive from the
 * partition's base.
 */
export function place(records: readonly NewRecord[], bases: readonly Base[]): JournalRecord[] {
  const heads = new Map(
    bases.map(({ topic, partition, base, time }) => [placeOf({ topic, partition }), { next: base, time }]),
  )
  return records.map(record => {
    const head = heads.get(placeOf(record))
    if (!head) throw new CorruptionError(`The journal has no head for ${placeOf(record)}`)
    const { topic, partition, key, value, headers } = record
    return { topic, partition, key, value, headers, offset: head.next++, time: head.time }
  })
}

/** One name for a partition of a topic, for maps. */
export const placeOf = ({ topic, partition }: { topic: string; partition: number }): string => `${topic}/${partition}`

/** Records by their partition, in the order they had. */
export function byPlace(records: readonly JournalRecord[]): Map<string, JournalRecord[]> {
  const groups = new Map<string, JournalRecord[]>()
  for (const record of records) {
    const group = groups.get(placeOf(record))
    if (group) group.push(record)
    else groups.set(placeOf(record), [record])
  }
  return groups
}

/**
 * Moves the oldest rows of the outbox into the journal: deleted and appended by one statement, so never both or neither.
 * Rows that another relay is moving are skipped.
 * @param withRecords whether the caller wants the records back; else only as many empty rows as were moved
 */
export async function moveOutbox(
  on: Queryable,
  maxRows: number,
  withRecords: boolean,
): Promise<{ count: number; records: JournalRecord[] }> {
  const rows = await query<Row>(on, {
    name: 'journal_move_outbox',
    text: `
      with picked as materialized (
        select id from outbox order by id for update skip locked limit $1
      ), input as (
        delete from outbox using picked where outbox.id = picked.id
        returning outbox.topic, outbox.partition, outbox.key, outbox.headers, outbox.value, outbox.id as place
      ), ${placing('input')}
      select topic, partition, "offset", time, case when $2 then key end as key,
             case when $2 then headers end as headers, case when $2 then value end as value
      from placed order by topic, partition, "offset"`,
    values: [maxRows, withRecords],
  })
  return { count: rows.length, records: withRecords ? rows.map(toRecord) : [] }
}

/** Makes the heads that are missing. */
export async function createHeads(on: Queryable, topic: string, partitions: number): Promise<void> {
  await query(on, {
    text: `insert into journal_heads (topic, partition) select $1, generate_series(0, $2::int - 1)
           on conflict do nothing`,
    values: [topic, partitions],
  })
}

export async function readEnds(on: Queryable, topic: string): Promise<PartitionEnds[]> {
  return query<PartitionEnds>(on, {
    text: `select partition, earliest, next_offset as "end" from journal_heads where topic = $1 order by partition`,
    values: [topic],
  })
}

export async function readLag(on: Queryable, group: string, topic: string): Promise<PartitionLag[]> {
  return query<PartitionLag>(on, {
    text: `
      select heads.partition, heads.earliest, heads.next_offset as "end", assignment.committed,
             heads.next_offset - greatest(heads.earliest, coalesce(assignment.committed, 0)) as lag
      from journal_heads heads
      left join journal_assignments assignment
        on assignment.group_name = $1 and assignment.topic = heads.topic and assignment.partition = heads.partition
      where heads.topic = $2
      order by heads.partition`,
    values: [group, topic],
  })
}

/** A stretch of one partition: offsets from `first` up to, not including, `end`, at most `most` of them. */
export type Stretch = { topic: string; partition: number; first: number; end: number; most: number }

/**
 * Reads several stretches in one round trip. Each ends early after `maxBytes` of values, but has its first record.
 * @returns one list per stretch, in the order given, each in offset order
 */
export async function readStretches(
  on: Queryable,
  stretches: readonly Stretch[],
  maxBytes: number,
): Promise<JournalRecord[][]> {
  const rows = await query<Row & { place: number }>(on, {
    name: 'journal_read',
    text: `
      select want.place, page.topic, page.partition, page."offset", page.time, page.key, page.headers, page.value
      from unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[], $5::int[])
        with ordinality as want (topic, partition, first, "end", most, place)
      cross join lateral (
        select found.*, sum(octet_length(value)) over (order by "offset" rows unbounded preceding) as bytes
        from (
          select * from journal_records records
          where records.topic = want.topic and records.partition = want.partition
            and records."offset" >= want.first and records."offset" < want."end"
          order by records."offset" limit want.most
        ) found
      ) page
      where page.bytes - octet_length(page.value) < $6
      order by want.place, page."offset"`,
    values: [
      stretches.map(stretch => stretch.topic),
      stretches.map(stretch => stretch.partition),
      stretches.map(stretch => stretch.first),
      stretches.map(stretch => stretch.end),
      stretches.map(stretch => stretch.most),
      maxBytes,
    ],
  })
  const lists = stretches.map((): JournalRecord[] => [])
  for (const row of rows) lists[row.place - 1]?.push(toRecord(row))
  return lists
}

const toRecord = ({ topic, partition, offset, time, key, headers, value }: Row): JournalRecord => ({
  topic,
  partition,
  offset,
  time,
  key,
  value,
  headers: JSON.parse(headers) as Record<string, string>,
})

/** Append time of the record at `offset`, or undefined when it is not there. */
export async function readTime(
  on: Queryable,
  topic: string,
  partition: number,
  offset: number,
): Promise<number | undefined> {
  const [row] = await query<{ time: number }>(on, {
    name: 'journal_time',
    text: 'select time from journal_records where topic = $1 and partition = $2 and "offset" = $3',
    values: [topic, partition, offset],
  })
  return row?.time
}

/** The lowest offset that some group has yet to be given; the earliest one where a group has committed nothing. */
export async function readUncommitted(on: Queryable, topic: string, partition: number): Promise<number | undefined> {
  const [row] = await query<{ least: number | null }>(on, {
    text: `select min(coalesce(committed, 0)) as least from journal_assignments where topic = $1 and partition = $2`,
    values: [topic, partition],
  })
  return row?.least ?? undefined
}

/** Deletes the records below `offset` and moves the earliest offset there. */
export async function deleteRecords(on: Queryable, topic: string, partition: number, offset: number): Promise<number> {
  const [row] = await query<{ deleted: number }>(on, {
    text: `
      with head as (
        update journal_heads set earliest = greatest(earliest, $3::bigint)
        where topic = $1 and partition = $2
      ), gone as (
        delete from journal_records where topic = $1 and partition = $2 and "offset" < $3::bigint returning 1
      )
      select count(*) as deleted from gone`,
    values: [topic, partition, offset],
  })
  return row?.deleted ?? 0
}

/** The database's time, milliseconds since the epoch. */
export async function readTimeNow(on: Queryable): Promise<number> {
  const [row] = await query<{ now: number }>(on, {
    text: 'select floor(extract(epoch from clock_timestamp()) * 1000)::bigint as now',
  })
  return (row as { now: number }).now
}
