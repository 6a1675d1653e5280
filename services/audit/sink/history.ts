import type { Clickhouse } from '../../../shared/clickhouse/connect.ts'
import { type EventRow, highestOffsets, insertEvents, presentOffsets } from '../../../shared/clickhouse/events.ts'

/** What the sink asks of the table: put rows in, and say which offsets are there. */
export type History = {
  insert(rows: readonly EventRow[]): Promise<void>
  highest(input: { topic: string; partitions: readonly number[]; since: number }): Promise<Map<number, number>>
  present(input: { topic: string; partition: number; from: number; to: number }): Promise<Set<number>>
}

export const historyOf = (clickhouse: Clickhouse): History => ({
  insert: rows => insertEvents(clickhouse, rows),
  highest: input => highestOffsets(clickhouse, input),
  present: input => presentOffsets(clickhouse, input),
})
