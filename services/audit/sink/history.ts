import type { Clickhouse } from '../../../shared/clickhouse/connect.ts'
import {
  type EventRow,
  highestOffsets,
  type InsertBounds,
  insertEvents,
  presentOffsets,
} from '../../../shared/clickhouse/events.ts'
import { lastTakers, recordWriter, serverTime, type Taker } from '../../../shared/clickhouse/writers.ts'

/** What the sink asks of the store: put rows in, say which offsets are there, and who writes them. */
export type History = {
  insert(rows: readonly EventRow[], bounds?: InsertBounds): Promise<void>
  highest(input: { topic: string; partitions: readonly number[]; since: number }): Promise<Map<number, number>>
  present(input: { topic: string; partition: number; from: number; to: number }): Promise<Set<number>>
  /** Absent where no other process can write. */
  readonly writers?: Writers | undefined
}

export type Writers = {
  lastTakers(input: { topic: string; partitions: readonly number[] }): Promise<Map<number, Taker>>
  record(input: {
    topic: string
    partitions: readonly number[]
    writer: string
    what: 'taken' | 'given_back'
  }): Promise<void>
  /** The server's clock, milliseconds. */
  time(): Promise<number>
}

export const historyOf = (clickhouse: Clickhouse): History => ({
  insert: (rows, bounds) => insertEvents(clickhouse, rows, bounds),
  highest: input => highestOffsets(clickhouse, input),
  present: input => presentOffsets(clickhouse, input),
  writers: clickhouse.shared
    ? {
        lastTakers: input => lastTakers(clickhouse, input),
        record: input => recordWriter(clickhouse, input),
        time: () => serverTime(clickhouse),
      }
    : undefined,
})
