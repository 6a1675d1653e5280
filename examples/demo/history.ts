import type { Holdfast } from './running.ts'

/** One query of the history over HTTP, in one of ClickHouse's formats. @throws Error with the endpoint's own sentence */
export async function query(
  { sql, key }: Pick<Holdfast, 'sql' | 'key'>,
  text: string,
  format: string,
): Promise<string> {
  const response = await fetch(`${sql}/?default_format=${format}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}` },
    body: text,
  })
  const answer = await response.text()
  if (!response.ok) throw new Error(answer)
  return answer
}

const patienceMs = 10_000
const pauseMs = 200

/** The history follows within about a second: asks until there are so many rows. */
export async function untilRows(
  holdfast: Pick<Holdfast, 'sql' | 'key'>,
  text: string,
  rows: number,
): Promise<Record<string, unknown>[]> {
  const until = performance.now() + patienceMs
  for (;;) {
    const { data } = JSON.parse(await query(holdfast, text, 'JSON')) as { data: Record<string, unknown>[] }
    if (data.length >= rows) return data
    if (performance.now() > until)
      throw new Error(`the history has ${data.length} of ${rows} rows after ${patienceMs / 1000} s:\n${text}`)
    await new Promise(resolve => setTimeout(resolve, pauseMs))
  }
}
