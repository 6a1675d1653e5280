/**
 * Any number of events as one stream. What is taken is what is read: a slow client slows the engine down, and a few
 * thousand rows are all that is held.
 */
import type { Clickhouse } from '../../../shared/clickhouse/connect.ts'
import type { Reader } from '../../../shared/clickhouse/reader.ts'
import { type Format, type FormatName, formats } from './formats.ts'
import { eventsOnce, fileSql, type Stretch } from './rows.ts'

export type ExportInput = Stretch & { readonly tenant: string; readonly format: FormatName }

const limits = { seconds: 86_400, memoryBytes: 268_435_456, resultRows: 0, resultBytes: 0 }
const settings = new Map([
  // One block at a time goes through the process; the engine makes it no larger than a granule of the table, 8,192 rows.
  ['max_block_size', '2000'],
  ['output_format_json_quote_64bit_integers', '0'],
])

/**
 * @throws Error in ClickHouse's words, also in the middle; UnavailableError. The reader is closed when the stream ends,
 *   however it ends.
 */
export async function* exportEvents(
  { clickhouse }: { readonly clickhouse: Pick<Clickhouse, 'openReader'> },
  { tenant, format, from, to }: ExportInput,
): AsyncGenerator<Uint8Array | string> {
  const parameters = new Map([
    ['from', String(from)],
    ['to', String(to)],
  ])
  const reader = await clickhouse.openReader({ tenant, limits, settings, parameters })
  try {
    const { text }: Format = formats[format]
    if (text === undefined) yield* reader.stream(fileSql, 'Parquet')
    else yield* textOf(reader, text)
  } finally {
    reader.close()
  }
}

async function* textOf(reader: Reader, { head, line }: NonNullable<Format['text']>): AsyncGenerator<string> {
  if (head !== '') yield head
  for await (const rows of eventsOnce(reader)) if (rows.length > 0) yield rows.map(line).join('')
}
