/** Statements over groups, members and assignments, one each. Every lease is judged by the database's clock. */
import { type Queryable, query } from '../../postgres/pool.ts'

/** Adds a member with a fresh lease, and the group's rows where they are missing. */
export async function join(
  on: Queryable,
  { group, member, topics, leaseMs }: { group: string; member: string; topics: readonly string[]; leaseMs: number },
): Promise<void> {
  await query(on, {
    text: `
      with added as (
        insert into journal_members (group_name, member, topics, lease_until)
        values ($1, $2, $3, clock_timestamp() + $4::int * interval '1 ms')
      ), rows as (
        insert into journal_assignments (group_name, topic, partition)
        select $1, topic, partition from journal_heads where topic = any ($3)
        on conflict do nothing
      )
      insert into journal_groups (name) values ($1)
      on conflict (name) do update set version = journal_groups.version + 1`,
    values: [group, member, topics, leaseMs],
  })
}

/** Prolongs a live lease. False when it has expired: an expired one is never renewed. */
export async function renew(on: Queryable, group: string, member: string, leaseMs: number): Promise<boolean> {
  const rows = await query(on, {
    name: 'journal_renew',
    text: `
      update journal_members set lease_until = clock_timestamp() + $3::int * interval '1 ms'
      where group_name = $1 and member = $2 and lease_until > clock_timestamp()
      returning 1`,
    values: [group, member, leaseMs],
  })
  return rows.length > 0
}

/**
 * Removes members whose lease has expired. Waits for a renewal that is under way and leaves the member when it got
 * through, so nobody is declared dead who may believe itself alive.
 */
export async function expire(on: Queryable, group: string): Promise<void> {
  await query(on, {
    text: `
      with dead as (
        delete from journal_members where group_name = $1 and lease_until <= clock_timestamp() returning 1
      )
      update journal_groups set version = version + 1 where name = $1 and exists (select from dead)`,
    values: [group],
  })
}

/** Gives up everything at once. */
export async function leave(on: Queryable, group: string, member: string): Promise<void> {
  await query(on, {
    text: `
      with freed as (
        update journal_assignments set member = null where group_name = $1 and member = $2
      ), gone as (
        delete from journal_members where group_name = $1 and member = $2
      )
      update journal_groups set version = version + 1 where name = $1`,
    values: [group, member],
  })
}

export type GroupTopic = { readonly topic: string; readonly partitions: number; readonly members: readonly string[] }

/** The given topics with the members that want them, in the same order for every member that asks. */
export async function readGroup(on: Queryable, group: string, topics: readonly string[]): Promise<GroupTopic[]> {
  return query<GroupTopic>(on, {
    text: `
      select wanted.topic,
             (select count(*) from journal_heads heads where heads.topic = wanted.topic) as partitions,
             array(select member from journal_members
                   where group_name = $1 and wanted.topic = any (topics) order by member) as members
      from unnest($2::text[]) as wanted (topic)`,
    values: [group, topics],
  })
}

export type Taken = {
  readonly topic: string
  readonly partition: number
  readonly epoch: number
  /** First offset to deliver. */
  readonly next: number
  /** Offset of the next record to be appended, as it was when the partition was taken. */
  readonly end: number
}

/** Takes at most `most` partitions of a topic that no member has, each under a new epoch: the old one can no longer commit. */
export async function take(
  on: Queryable,
  { group, member, topic, most }: { group: string; member: string; topic: string; most: number },
): Promise<Taken[]> {
  return query<Taken>(on, {
    text: `
      with free as materialized (
        select topic, partition from journal_assignments assignment
        where group_name = $1 and topic = $3
          and exists (select from journal_members where group_name = $1 and member = $2)
          and (member is null or not exists (
            select from journal_members owner where owner.group_name = $1 and owner.member = assignment.member))
        order by partition limit $4
        for update of assignment skip locked
      ), taken as (
        update journal_assignments assignment set member = $2, epoch = assignment.epoch + 1
        from free
        where assignment.group_name = $1 and assignment.topic = free.topic and assignment.partition = free.partition
        returning assignment.topic, assignment.partition, assignment.epoch, assignment.committed
      )
      select taken.topic, taken.partition, taken.epoch, heads.next_offset as "end",
             greatest(heads.earliest, coalesce(taken.committed, 0)) as next
      from taken join journal_heads heads using (topic, partition)`,
    values: [group, member, topic, most],
  })
}

/** Gives up partitions of a topic and tells the group. */
export async function release(
  on: Queryable,
  { group, member, topic, partitions }: { group: string; member: string; topic: string; partitions: readonly number[] },
): Promise<void> {
  await query(on, {
    text: `
      with freed as (
        update journal_assignments set member = null
        where group_name = $1 and member = $2 and topic = $3 and partition = any ($4)
      )
      update journal_groups set version = version + 1 where name = $1`,
    values: [group, member, topic, partitions],
  })
}

export type Commit = {
  readonly group: string
  readonly topic: string
  readonly partition: number
  readonly member: string
  readonly epoch: number
  /** Next offset to deliver. */
  readonly next: number
}

/**
 * Commits several partitions in one statement, never backwards, and only where member and epoch still hold (J4).
 * Each (group, topic, partition, epoch) may stand in the list once.
 * @returns for each, in the order given, whether its generation still held
 */
export async function commit(on: Queryable, commits: readonly Commit[]): Promise<boolean[]> {
  const rows = await query<{ place: number }>(on, {
    name: 'journal_commit',
    text: `
      update journal_assignments assignment
      set committed = greatest(coalesce(assignment.committed, 0), wanted.next)
      from unnest($1::text[], $2::text[], $3::int[], $4::text[], $5::bigint[], $6::bigint[])
        with ordinality as wanted (group_name, topic, partition, member, epoch, next, place)
      where assignment.group_name = wanted.group_name and assignment.topic = wanted.topic
        and assignment.partition = wanted.partition
        and assignment.member = wanted.member and assignment.epoch = wanted.epoch
      returning wanted.place`,
    values: [
      commits.map(entry => entry.group),
      commits.map(entry => entry.topic),
      commits.map(entry => entry.partition),
      commits.map(entry => entry.member),
      commits.map(entry => entry.epoch),
      commits.map(entry => entry.next),
    ],
  })
  const held = new Set(rows.map(row => row.place))
  return commits.map((_, index) => held.has(index + 1))
}
