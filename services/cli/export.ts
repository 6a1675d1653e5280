import { createWriteStream } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import { resolve } from 'node:path'
import { Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { ConfigError, UnavailableError } from '../../shared/errors.ts'
import { formats, isFormat } from '../audit/export/formats.ts'
import { type Command, done, failed, misused, type Shell, textOption } from './command.ts'
import { momentHelp, momentOf } from './moment.ts'
import { createProgress } from './progress.ts'
import { ask, findRunning, runningHelp, runningOptions } from './running.ts'
import { sqlErrorOf } from './sql.ts'

export const exportEvents: Command = {
  name: 'export',
  usage: `--format ${Object.keys(formats).join('|')} [--from 1d] [--to <time>] [--out <file>]`,
  summary: 'Writes every event of a stretch of time, however many, as CSV, JSON lines, Parquet or OCSF.',
  help: `
${Object.entries(formats)
  .map(([name, { means }]) => `--format ${name.padEnd(8)}  ${means}`)
  .join('\n')}
--from, --to <time>  ${momentHelp}; the last day unless given
--out <file>         where to; it appears when it is whole. Without it: standard output (not for parquet)
Each event once, also where the journal told it twice; ordered by hour, agent and time.${runningHelp}
Here --url is the address of the SQL endpoint. Exit code 1 when the stream ended early.`,
  options: {
    ...runningOptions,
    format: { type: 'string' },
    from: { type: 'string' },
    to: { type: 'string' },
    out: { type: 'string' },
  },

  async run(shell, input) {
    if (input.positionals.length > 0) return misused('export takes no arguments besides its options')
    const format = textOption(input, 'format') ?? ''
    const out = textOption(input, 'out')
    if (!isFormat(format)) return misused(`--format must be one of ${Object.keys(formats).join(', ')}`)
    if (format === 'parquet' && out === undefined) return misused('Say with --out where the Parquet file shall be')
    const now = Date.now()
    const from = momentOf(textOption(input, 'from') ?? '1d', now)
    const to = momentOf(textOption(input, 'to') ?? '0s', now)
    if (from === undefined || to === undefined) return misused(`--from and --to must be ${momentHelp}`)
    if (from >= to) return misused('--from must be before --to')
    const search = new URLSearchParams({ format, from: String(from), to: String(to) })
    const response = await ask(findRunning(shell, input, 'sql'), `/export?${search.toString()}`)
    if (!response.ok || response.body === null) return failed(sqlErrorOf(await response.text(), response.status))
    if (out === undefined) await take(shell, response.body, standardOutput(shell))
    else await writeFile(shell, response.body, resolve(shell.cwd, out))
    return done
  },
}

/** What is written so far stands beside the file until it is whole. */
async function writeFile(shell: Shell, body: AsyncIterable<Uint8Array>, path: string): Promise<void> {
  const part = `${path}.part`
  try {
    await take(shell, body, createWriteStream(part))
    await rename(part, path)
  } catch (error) {
    await rm(part, { force: true })
    const { code, syscall } = error as NodeJS.ErrnoException
    if (syscall === undefined || code === undefined) throw error
    throw new ConfigError([`${path} cannot be written (${code}): correct --out`], { cause: error })
  }
}

async function take(shell: Shell, body: AsyncIterable<Uint8Array>, to: Writable): Promise<void> {
  const progress = createProgress(shell)
  let bytes = 0
  try {
    await pipeline(
      body,
      async function* (chunks: AsyncIterable<Uint8Array>) {
        for await (const chunk of chunks) {
          bytes += chunk.length
          progress.say(() => `Wrote ${(bytes / 1_000_000).toFixed(1)} MB.`)
          yield chunk
        }
      },
      to,
    )
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).syscall !== undefined) throw cause
    throw new UnavailableError(
      'holdfast',
      `The export ended after ${bytes} bytes, before it was whole: what was written is not all. Try again, or a shorter stretch of time.`,
      { cause },
    )
  } finally {
    progress.end()
  }
}

const standardOutput = (shell: Shell): Writable => {
  const decoder = new TextDecoder()
  return new Writable({
    write: (chunk: Buffer, _encoding, written) => {
      shell.out(decoder.decode(chunk, { stream: true }))
      // What is not taken is not read.
      if (shell.drained === undefined) written()
      else shell.drained().then(() => written(), written)
    },
    final: ended => {
      shell.out(decoder.decode())
      ended()
    },
  })
}
