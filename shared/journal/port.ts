/**
 * The journal: an ordered, durable log of commands and events, one port for every store that can hold it.
 *
 * Owns the words topic, partition, offset, group, generation. Knows nothing of calls: values are bytes.
 * Implementations: `shared/journal/postgres` (one node) and, over Apache Kafka, `shared/journal/kafka`.
 * Both are held to `test/contract/journal.ts`. Nothing else in Holdfast knows which one it runs on.
 *
 * Promises (numbered; tests cite them):
 * - J1 `append` resolves only when every record of the call is durable (fsynced, or acknowledged by all in-sync replicas).
 *      When it rejects with `AppendDoubtful` a record may be in the journal; with `AppendRefused` none is.
 * - J2 offsets of a partition are gap-free from 0 and in commit order: who has read offset n never later meets a new m < n.
 * - J3 within one partition a group has one member at a time that may commit; delivery is in offset order.
 * - J4 a commit never goes back, and one made under an older generation has no effect.
 * - J5 a member that dies is replaced within one lease; what it had not committed is delivered again (at-least-once).
 * - J6 `read` needs no group and moves nothing.
 */

/** One record to append. `partition` comes from `partitionFor(key, count)`; `value` is UTF-8 text (JSON here). */
export type NewRecord = {
  readonly topic: string
  readonly partition: number
  readonly key: string
  readonly value: string
  readonly headers: Readonly<Record<string, string>>
}

/** Where a record is. Offsets are safe integers: 2^53 records a partition. */
export type Position = { readonly topic: string; readonly partition: number; readonly offset: number }

/** One record as read. `time` is the journal's own append time, milliseconds since the epoch. */
export type JournalRecord = NewRecord & Position & { readonly time: number }

/** What a group member is handed: consecutive records of one partition, oldest first, never empty. */
export type Delivery = {
  readonly topic: string
  readonly partition: number
  readonly records: readonly JournalRecord[]
  /** Aborted when this member may no longer act on the partition (rebalance, lost lease, stop). */
  readonly signal: AbortSignal
  /** Commits everything up to and including `offset` (default: the last record). False when the generation is over. */
  commit(offset?: number): Promise<boolean>
}

export type ConsumeOptions = {
  readonly group: string
  readonly topics: readonly string[]
  /** Most records of one delivery. */
  readonly maxRecords?: number
  /**
   * Handles one delivery. Deliveries of one partition come one after the other, those of different partitions
   * side by side. What is not committed when it returns is delivered again only after a restart or a rebalance;
   * when it throws, the same records are delivered again after a pause.
   */
  readonly handle: (delivery: Delivery) => Promise<void>
  /** Told before the first delivery of a partition and after the last. A new owner reads its own state here. */
  readonly onAssigned?: (topic: string, partition: number) => Promise<void>
  readonly onRevoked?: (topic: string, partition: number) => Promise<void>
  readonly onError?: (error: unknown) => void
}

export type Consumer = {
  /** Resolves when the member has been given its first assignment (it may be empty). */
  readonly joined: Promise<void>
  /** Partitions held now. */
  assigned(): ReadonlyArray<{ topic: string; partition: number }>
  /** Stops taking new deliveries, waits for running handlers, leaves the group. */
  stop(): Promise<void>
}

export type ReadOptions = {
  readonly topic: string
  readonly partition: number
  /** First offset, inclusive; or the first record whose time is at or after `fromTime` (milliseconds). Default: the earliest. */
  readonly fromOffset?: number
  readonly fromTime?: number
  /** Last offset, exclusive. Default: the end as it is when reading begins. */
  readonly toOffset?: number
  readonly maxRecords?: number
}

export type PartitionEnds = { readonly partition: number; readonly earliest: number; readonly end: number }
export type PartitionLag = PartitionEnds & { readonly committed: number | null; readonly lag: number }

export type Journal = {
  /** Appends all records or none (per partition); resolves with their positions in the order given. J1. */
  append(records: readonly NewRecord[]): Promise<readonly Position[]>
  consume(options: ConsumeOptions): Promise<Consumer>
  /** J6. */
  read(options: ReadOptions): AsyncIterable<JournalRecord>
  /** Number of partitions of a topic, as the journal has it. */
  partitions(topic: string): number
  ends(topic: string): Promise<readonly PartitionEnds[]>
  lag(group: string, topic: string): Promise<readonly PartitionLag[]>
  /** Largest size of one record in bytes (key, headers and value together). */
  readonly maxRecordBytes: number
  /** Throws `UnavailableError` naming what is missing. */
  ping(): Promise<void>
  close(): Promise<void>
}

/** Thrown by `append` when no record of the call is in the journal: safe to say so. */
export class AppendRefused extends Error {
  override readonly name = 'AppendRefused'
}

/** Thrown by `append` when the acknowledgement is missing: the records may or may not be there. */
export class AppendDoubtful extends Error {
  override readonly name = 'AppendDoubtful'
}
