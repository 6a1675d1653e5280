/** The formats of an export, as data. */
import { ocsfOf } from '../../../shared/events/ocsf.ts'
import { type Cells, columns } from './rows.ts'

export type Format = {
  readonly contentType: string
  readonly means: string
  /** Absent: the engine writes the whole file itself. */
  readonly text?: { readonly head: string; readonly line: (row: Cells) => string }
}

const byColumn = (row: Cells): Record<string, unknown> =>
  Object.fromEntries(columns.map((column, index) => [column, row[index]]))

export const formats = {
  csv: {
    contentType: 'text/csv; charset=UTF-8',
    means: 'a line for each event, the names of the columns first (RFC 4180)',
    text: { head: `${columns.join(',')}\r\n`, line: row => `${row.map(csvCell).join(',')}\r\n` },
  },
  jsonl: {
    contentType: 'application/x-ndjson; charset=UTF-8',
    means: 'a JSON object for each event, by column; absent ones are null, empty or 0 as in the table',
    text: { head: '', line: row => `${JSON.stringify(byColumn(row))}\n` },
  },
  parquet: {
    contentType: 'application/vnd.apache.parquet',
    means: "one Parquet file, by ClickHouse's own writer",
  },
  ocsf: {
    contentType: 'application/x-ndjson; charset=UTF-8',
    means:
      'an OCSF event as JSON for each event, one a line: API Activity (6003), starts and stops Application Lifecycle (6002)',
    text: { head: '', line: row => `${JSON.stringify(ocsfOf(byColumn(row)))}\n` },
  },
} as const satisfies Record<string, Format>

export type FormatName = keyof typeof formats
export const isFormat = (name: string): name is FormatName => Object.hasOwn(formats, name)

function csvCell(value: unknown): string {
  if (value === null) return ''
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}
