/**
 * The schema for a ClickHouse of several servers, made of the same files as that for one: every statement runs on the
 * whole cluster, tables are replicated, and the one that grows without end is spread over the shards.
 *
 * `events` becomes `events_local` on every shard with a Distributed table before it; the shard is chosen by the journal's
 * partition, so that everything of one partition is in one place and read-back asks one shard. All other tables are
 * small and every server holds the whole of them. Shard and replica are the macros `{shard}` and `{replica}` of the servers.
 *
 * What the exactness of the sink asks of such a cluster: inserts that reach every replica, and reads that see them
 * (`clusterSettings`, to be set in the profiles of the sink's user), since a new owner of a partition reads back what the
 * old one wrote elsewhere.
 */

export const clusterSettings = {
  // An insert ends when the rows are on the shard, not when they are queued for it.
  distributed_foreground_insert: '1',
  insert_quorum: 'auto',
  insert_quorum_parallel: '0',
  select_sequential_consistency: '1',
} as const

const sharded = new Map([['events', 'cityHash64(journal_topic, journal_partition)']])

/**
 * @param statement one statement of `infra/clickhouse`
 * @param cluster name of the cluster in the servers' configuration
 * @returns the statements that do the same there
 */
export function clustered(statement: string, cluster: string): string[] {
  const on = `on cluster '${cluster.replace(/[\\']/g, '\\$&')}'`
  const table = /\b(create table if not exists|alter table) holdfast\.(\w+)/.exec(statement)
  if (table !== null) return ofTable(statement, { verb: table[1] as string, name: table[2] as string, on, cluster })
  const replaced = statement.replace(
    /\b(create database if not exists holdfast|create or replace view holdfast\.\w+)/,
    `$1 ${on}`,
  )
  if (replaced === statement) throw new Error(`no form for a cluster is known of: ${statement.trim().slice(0, 80)}`)
  return [replaced]
}

type Of = { readonly verb: string; readonly name: string; readonly on: string; readonly cluster: string }

function ofTable(statement: string, { verb, name, on, cluster }: Of): string[] {
  const key = sharded.get(name)
  const local = key === undefined ? name : `${name}_local`
  const path = `/clickhouse/tables/${key === undefined ? 'all' : '{shard}'}/holdfast/${local}`
  const replicated = statement
    .replace(`${verb} holdfast.${name}`, `${verb} holdfast.${local} ${on}`)
    .replace(/engine = MergeTree\b/, `engine = ReplicatedMergeTree('${path}', '{replica}')`)
  if (key === undefined) return [replicated]
  if (verb === 'alter table') {
    // What a Distributed table has of it: columns, and no codecs, indexes or settings.
    return /\badd column\b/.test(statement)
      ? [replicated, statement.replace(`holdfast.${name}`, `holdfast.${name} ${on}`)]
      : [replicated]
  }
  return [
    replicated,
    `create table if not exists holdfast.${name} ${on} as holdfast.${local}
engine = Distributed('${cluster}', 'holdfast', '${local}', ${key})`,
  ]
}
