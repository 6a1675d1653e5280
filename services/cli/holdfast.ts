/** The command line: finds the command, reads its options, runs it, and turns how it ended into an exit code. */
import { parseArgs } from 'node:util'
import { suggestion } from '../../shared/config/nearest.ts'
import { ConfigError, UnavailableError } from '../../shared/errors.ts'
import { ask } from './ask.ts'
import { audit } from './audit.ts'
import { check } from './check.ts'
import { crashTest } from './crash-test.ts'
import { type Arguments, type Command, type Ended, failed, misused, type Shell } from './command.ts'
import { exportEvents } from './export.ts'
import { keys } from './keys.ts'
import { outcome } from './outcome.ts'
import { commitment } from './commitment.ts'
import { erase } from './erase.ts'
import { reveal } from './reveal.ts'
import { redact } from './redact.ts'
import { replay } from './replay.ts'
import { report } from './report.ts'
import { resolve } from './resolve.ts'
import { sql } from './sql.ts'
import { tools } from './tools.ts'
import { unknowns } from './unknowns.ts'

const commands: readonly Command[] = [
  check,
  tools,
  redact,
  outcome,
  report,
  unknowns,
  resolve,
  keys,
  sql,
  ask,
  exportEvents,
  replay,
  commitment,
  reveal,
  erase,
  audit,
  crashTest,
]
const everyCommand = { json: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } } as const

/**
 * Runs one command line.
 * @param words the words after `holdfast`
 * @returns the exit code: 0 done, 1 failed, 2 misused. Never rejects; a failure is one sentence on stderr.
 */
export async function holdfast(shell: Shell, words: readonly string[]): Promise<number> {
  const [name, ...rest] = words
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    shell.out(overview())
    return name === undefined ? 2 : 0
  }
  const command = commands.find(candidate => candidate.name === name)
  if (!command) {
    shell.err(
      `There is no command ${name} (${suggestion(
        name,
        commands.map(candidate => candidate.name),
      )}).\n`,
    )
    return 2
  }
  return end(shell, command, await runCommand(shell, command, rest))
}

async function runCommand(shell: Shell, command: Command, words: string[]): Promise<Ended> {
  const input = readArguments(command, words)
  if ('kind' in input) return input
  if (input.options.help) {
    shell.out(helpOf(command))
    return { kind: 'done' }
  }
  try {
    return await command.run(shell, input)
  } catch (error) {
    if (error instanceof ConfigError || error instanceof UnavailableError) return failed(error.message)
    return failed(`Something that should not happen: ${error instanceof Error ? error.message : String(error)}`)
  }
}

function readArguments(command: Command, words: string[]): Arguments | Ended {
  try {
    const { values, positionals } = parseArgs({
      args: words,
      options: { ...command.options, ...everyCommand },
      allowPositionals: true,
    })
    return { positionals, options: values as Arguments['options'] }
  } catch (error) {
    // parseArgs explains itself in several sentences; the first one says what is wrong.
    return misused((error as Error).message.split('. ')[0] ?? 'The options cannot be read')
  }
}

function end(shell: Shell, command: Command, ended: Ended): number {
  if (ended.kind === 'done') return 0
  const sentence = ended.why.trimEnd()
  shell.err(/[.)\]!?]$/.test(sentence) ? `${sentence}\n` : `${sentence}.\n`)
  if (ended.kind === 'failed') return 1
  shell.err(`Usage: holdfast ${command.name} ${command.usage}\n`)
  return 2
}

const helpOf = ({ name, usage, summary, help }: Command): string =>
  `holdfast ${name} ${usage}\n\n${summary}\n\n${help.trim()}\n`

function overview(): string {
  const width = Math.max(...commands.map(command => command.name.length))
  const lines = commands.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`)
  return `holdfast <command> [options]\n\n${lines.join('\n')}\n\nEvery command takes --json and --help.\n`
}
