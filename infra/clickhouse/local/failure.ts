/** An error as ClickHouse's HTTP interface tells it, as a value. */
import { httpStatusOf } from '../../../shared/clickhouse/wire.ts'

export type Failure = { readonly status: number; readonly code: number; readonly text: string }

export const failure = (code: number, sentence: string, name: string): Failure => ({
  status: httpStatusOf(code),
  code,
  text: `Code: ${code}. DB::Exception: ${sentence} (${name})\n`,
})

export const isFailure = (value: object): value is Failure => 'code' in value

/** What the engine threw, word for word. */
export function failureOf(error: unknown): Failure {
  const text = error instanceof Error ? error.message : String(error)
  const code = /Code: (\d+)\. DB::Exception/.exec(text)?.[1]
  if (code === undefined) return failure(1002, text, 'UNKNOWN_EXCEPTION')
  return { status: httpStatusOf(Number(code)), code: Number(code), text: `${text.trimEnd()}\n` }
}
