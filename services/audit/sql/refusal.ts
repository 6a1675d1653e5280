/**
 * Why a request for SQL was not run, as a value. It reaches the client in ClickHouse's own form, so that every client
 * of ClickHouse shows the sentence: `Code: 164. DB::Exception: ... (READONLY)`, and the code in a header.
 */
import { httpStatusOf } from '../../../shared/clickhouse/wire.ts'

/** Names and numbers as ClickHouse has them; `http` is the status it goes out with. */
const kinds = {
  SYNTAX_ERROR: { code: 62, http: 400 },
  BAD_ARGUMENTS: { code: 36, http: 400 },
  READONLY: { code: 164, http: 403 },
  ACCESS_DENIED: { code: 497, http: 403 },
  AUTHENTICATION_FAILED: { code: 516, http: 401 },
  UNKNOWN_SETTING: { code: 115, http: 400 },
  UNKNOWN_DATABASE: { code: 81, http: 404 },
  QUERY_IS_TOO_LARGE: { code: 62, http: 413 },
  TOO_MANY_SIMULTANEOUS_QUERIES: { code: 202, http: 503 },
  NETWORK_ERROR: { code: 210, http: 503 },
} as const
export type RefusalKind = keyof typeof kinds

export type Refusal = { readonly refused: RefusalKind; readonly sentence: string }

export const refuse = (refused: RefusalKind, sentence: string): Refusal => ({ refused, sentence })

export const isRefusal = (value: object): value is Refusal => 'refused' in value

/** An error as it goes over the wire. */
export type WireError = { readonly http: number; readonly code: number; readonly text: string }

export function refusalToWire({ refused, sentence }: Refusal): WireError {
  const { code, http } = kinds[refused]
  return { http, code, text: `Code: ${code}. DB::Exception: ${sentence} (${refused})\n` }
}

/** TOO_MANY_ROWS_OR_BYTES: an answer is whole, or it is this. */
const tooLarge = 396
const howToGetAll =
  'Nothing is cut here: ask for less (LIMIT, a shorter time), or take any number of events with holdfast export.'

/** What the engine said, without its nesting, its version and the statement of ours that it happened in. */
export function engineErrorToWire(message: string): WireError {
  const text = message
    .replace(/ \(version [^)]*\)/g, '')
    .replace(/^(?:Code: \d+\. DB::Exception: )+(?=Code: \d+\. DB::Exception: )/, '')
    .replace(/(?:\. \([A-Z_]+\))+\s*$/, ends => ends.trim().replace(/^.*(?=\. \()/s, ''))
    .replace(/: In scope SELECT formatQuerySingleLine\([\s\S]*(?=\. \([A-Z_]+\)$)/, '')
  const code = Number(/^Code: (\d+)\./.exec(text)?.[1] ?? 0)
  if (code === tooLarge)
    return { http: httpStatusOf(code), code, text: `${text.replace(/(?= \([A-Z_]+\)$)/, ` ${howToGetAll}`)}\n` }
  if (code === 0) return { http: 500, code: 1002, text: `Code: 1002. DB::Exception: ${text} (UNKNOWN_EXCEPTION)\n` }
  return { http: httpStatusOf(code), code, text: `${text}\n` }
}
