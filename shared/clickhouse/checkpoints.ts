/** The table `holdfast.checkpoints` (`infra/clickhouse/0007_checkpoints.sql`). One statement per function. */
import type { Clickhouse } from './connect.ts'
import { integer, literal } from './literal.ts'
import { insertLimitSeconds } from './events.ts'

type Kept = { readonly size: number; readonly note: string }

/** The entry of a note carries its time; the column is for people. */
const timeOf = (note: string): string =>
  (/"time":"(\d{4}-\d\d-\d\dT[\d:.]+)Z"/.exec(note)?.[1] ?? '1970-01-01T00:00:00.000').replace('T', ' ')

/** Adds checkpoints. One that is there already is there twice then, with the same note: readers take any. */
export async function insertCheckpoints({ client }: Clickhouse, checkpoints: readonly Kept[]): Promise<void> {
  const values = checkpoints.map(({ size, note }) => `(${integer(size)}, ${literal(timeOf(note))}, ${literal(note)})`)
  await client.command({
    query: `insert into holdfast.checkpoints (size, time, note)
      settings async_insert = 0, max_execution_time = ${insertLimitSeconds} values ${values.join(', ')}`,
  })
}

export async function newestCheckpoint({ client }: Clickhouse): Promise<Kept | undefined> {
  const result = await client.query({
    query: 'select size, note from holdfast.checkpoints order by size desc limit 1',
    format: 'JSONEachRow',
  })
  return (await result.json<Kept>()).map(read)[0]
}

/** Those above a size in order; where a size has several notes, all of them. */
export async function readCheckpoints(
  { client }: Clickhouse,
  { after, limit }: { after: number; limit: number },
): Promise<Kept[]> {
  const result = await client.query({
    query: `select distinct size, note from holdfast.checkpoints where size > ${integer(after)}
      order by size limit ${integer(limit)}`,
    format: 'JSONEachRow',
  })
  return (await result.json<Kept>()).map(read)
}

const read = ({ size, note }: Kept): Kept => ({ size: Number(size), note })
