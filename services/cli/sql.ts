import { pipeline } from 'node:stream/promises'
import { Writable } from 'node:stream'
import { type Command, done, failed, misused, type Shell } from './command.ts'
import { ask, findRunning, runningHelp, runningOptions } from './running.ts'

export const sql: Command = {
  name: 'sql',
  usage: '"<query>" | -',
  summary: 'Asks the history with SQL (read-only).',
  help: `
-   read the query from standard input
The query may end in a FORMAT of its own; otherwise it is PrettyCompact, with --json JSON.${runningHelp}
Here --url is the address of the SQL endpoint.`,
  options: runningOptions,

  async run(shell, input) {
    const query = input.positionals.length === 1 ? await queryOf(shell, input.positionals[0] ?? '') : ''
    if (query.trim() === '') return misused('Give one query, in quotes')
    const format = input.options.json ? 'JSON' : 'PrettyCompactNoEscapes'
    const response = await ask(findRunning(shell, input, 'sql'), `/?default_format=${format}`, {
      method: 'POST',
      body: query,
    })
    if (!response.ok) return failed(errorOf(await response.text(), response.status))
    if (response.body) await pipeline(response.body, writeTo(shell))
    return done
  },
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
const errorOf = (text: string, status: number): string =>
  text
    .trim()
    .replace(/^Code: \d+\. DB::Exception: /, '')
    .replaceAll(/\s*\n\s*/g, ' ') || `The history refused with status ${status}`
