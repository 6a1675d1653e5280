/** The command line: finds the command, reads its options, runs it, and turns how it ended into an exit code. */
import { parseArgs } from 'node:util'
import { suggestion } from '../../shared/config/nearest.ts'
import { ConfigError, UnavailableError } from '../../shared/errors.ts'
import { type Arguments, type Command, type Ended, failed, misused, type Shell } from './command.ts'

/** Loaded when asked for: a bridge that a client starts should not wait for the modules of an audit. */
const commands: Readonly<Record<string, () => Promise<Command>>> = {
  import: async () => (await import('./import.ts')).importCommand,
  start: async () => (await import('./start.ts')).start,
  connect: async () => (await import('./connect.ts')).connect,
  check: async () => (await import('./check.ts')).check,
  tools: async () => (await import('./tools.ts')).tools,
  redact: async () => (await import('./redact.ts')).redact,
  outcome: async () => (await import('./outcome.ts')).outcome,
  report: async () => (await import('./report.ts')).report,
  unknowns: async () => (await import('./unknowns.ts')).unknowns,
  resolve: async () => (await import('./resolve.ts')).resolve,
  keys: async () => (await import('./keys.ts')).keys,
  sql: async () => (await import('./sql.ts')).sql,
  ask: async () => (await import('./ask.ts')).ask,
  export: async () => (await import('./export.ts')).exportEvents,
  replay: async () => (await import('./replay.ts')).replay,
  rebuild: async () => (await import('./rebuild.ts')).rebuild,
  diff: async () => (await import('./diff.ts')).diff,
  prove: async () => (await import('./prove.ts')).prove,
  verify: async () => (await import('./verify.ts')).verify,
  'signing-key': async () => (await import('./signing-key.ts')).signingKey,
  commitment: async () => (await import('./commitment.ts')).commitment,
  reveal: async () => (await import('./reveal.ts')).reveal,
  subject: async () => (await import('./subject.ts')).subject,
  erase: async () => (await import('./erase.ts')).erase,
  audit: async () => (await import('./audit.ts')).audit,
  migrate: async () => (await import('./migrate.ts')).migrate,
  'crash-test': async () => (await import('./crash-test.ts')).crashTest,
}
const everyCommand = { json: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } } as const

/**
 * Runs one command line.
 * @param words the words after `holdfast`
 * @returns the exit code: 0 done, 1 failed, 2 misused. Never rejects; a failure is one sentence on stderr.
 */
export async function holdfast(shell: Shell, words: readonly string[]): Promise<number> {
  const [name, ...rest] = words
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    shell.out(await overview())
    return name === undefined ? 2 : 0
  }
  const load = Object.hasOwn(commands, name) ? commands[name] : undefined
  if (!load) {
    shell.err(`There is no command ${name} (${suggestion(name, Object.keys(commands))}).\n`)
    return 2
  }
  const command = await load()
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

async function overview(): Promise<string> {
  const all = await Promise.all(Object.values(commands).map(load => load()))
  const width = Math.max(...all.map(command => command.name.length))
  const lines = all.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`)
  return `holdfast <command> [options]\n\n${lines.join('\n')}\n\nEvery command takes --json and --help.\n`
}
