import { pipeline } from 'node:stream/promises'
import { Writable } from 'node:stream'
import { type Command, done, failed, misused, type Shell, textOption } from './command.ts'
import { ask, findRunning, runningHelp, runningOptions } from './running.ts'

/** Of a table on a terminal; everything else comes whole or not at all. */
export const usualRows = '1000'

export const sql: Command = {
  name: 'sql',
  usage: '"<query>" | - [--rows 1000]',
  summary: 'Asks the history with SQL (read-only).',
  help: `
-            read the query from standard input
--rows <n>   most rows of a table that are shown (default ${usualRows}); the last line says when there are more
The query may end in a FORMAT of its own; otherwise it is a table, with --json JSON. Those come whole: an answer of more
than 100,000 rows or 16 MiB is an error and never cut. holdfast export writes any number of events.${runningHelp}
Here --url is the address of the SQL endpoint.`,
  options: { ...runningOptions, rows: { type: 'string' } },

  async run(shell, input) {
    const query = input.positionals.length === 1 ? await queryOf(shell, input.positionals[0] ?? '') : ''
    if (query.trim() === '') return misused('Give one query, in quotes')
    const rows = textOption(input, 'rows') ?? usualRows
    if (!/^[1-9]\d{0,5}$/.test(rows)) return misused('--rows must be a number from 1 to 999999')
    const search = searchOf(input.options.json === true, rows)
    const response = await ask(findRunning(shell, input, 'sql'), `/?${search.toString()}`, {
      method: 'POST',
      body: query,
    })
    if (!response.ok) return failed(sqlErrorOf(await response.text(), response.status))
    await printAnswer(shell, response)
    return done
  },
}

/** How an answer is to come: as JSON, or as a table of at most so many rows. */
export const searchOf = (isJson: boolean, rows: string): URLSearchParams =>
  new URLSearchParams(
    isJson
      ? { default_format: 'JSON' }
      : { default_format: 'PrettyCompactNoEscapes', output_format_pretty_max_rows: rows },
  )

/** A table is small enough to be held, and what was cut of it is said; everything else streams through. */
export async function printAnswer(shell: Shell, response: Response): Promise<void> {
  if (!(response.headers.get('x-clickhouse-format') ?? '').startsWith('Pretty')) {
    if (response.body) await pipeline(response.body, writeTo(shell))
    return
  }
  const text = await response.text()
  // The engine's own last line, which it also writes when it has shown everything.
  const [line, shown, all] = /Showed (\d+) out of (\d+) rows\.\s*$/.exec(text) ?? []
  const table = line === undefined ? text : text.slice(0, -line.length)
  shell.out(table === '' ? 'No rows.\n' : table)
  if (shown !== all)
    shell.out(
      `CUT: ${shown} of ${all} rows are shown. All of them: --rows ${all}, or --json; of events, holdfast export.\n`,
    )
}

async function queryOf({ stdin }: Shell, word: string): Promise<string> {
  if (word !== '-') return word
  const chunks: Buffer[] = []
  for await (const chunk of stdin) chunks.push(Buffer.from(chunk))
  return Buffer.concat(chunks).toString('utf8')
}

/** Bytes that end inside a character wait for the rest of it. */
function writeTo({ out }: Shell): Writable {
  const decoder = new TextDecoder()
  return new Writable({
    write: (chunk: Buffer, _encoding, written) => {
      out(decoder.decode(chunk, { stream: true }))
      written()
    },
    final: ended => {
      out(decoder.decode())
      ended()
    },
  })
}

/** `Code: 62. DB::Exception: Syntax error …` without what only the engine's developers need. */
export const sqlErrorOf = (text: string, status: number): string =>
  text
    .trim()
    .replace(/^Code: \d+\. DB::Exception: /, '')
    .replaceAll(/\s*\n\s*/g, ' ') || `The history refused with status ${status}`
