/** What a command of `holdfast` is, and the ways it can end. */
import type { ParseArgsConfig } from 'node:util'
import type { Variables } from '../../shared/config/environment.ts'

/** The world as a command sees it. */
export type Shell = {
  readonly env: Variables
  readonly cwd: string
  readonly out: (text: string) => void
  readonly err: (text: string) => void
  /** Resolves when standard output has room again; for what is too long to be held. Default: at once. */
  readonly drained?: () => Promise<void>
  readonly stdin: AsyncIterable<Buffer | string>
  /** Which of the two a person looks at: only there is colour, and progress on one line. Default: neither. */
  readonly terminal?: { readonly out: boolean; readonly err: boolean }
}

export type Arguments = {
  readonly positionals: readonly string[]
  /** Options by name; `json` and `help` are every command's. */
  readonly options: Readonly<Record<string, string | boolean | ReadonlyArray<string | boolean> | undefined>>
}

/**
 * `done`: exit 0. `failed`: one sentence on stderr, exit 1. `misused`: the same with the usage, exit 2.
 * Thrown `ConfigError` and `UnavailableError` are failures too, in their own words.
 */
export type Ended = { readonly kind: 'done' } | { readonly kind: 'failed' | 'misused'; readonly why: string }

export type Command = {
  readonly name: string
  /** The line after the name: `<server> <key> [--wait 30s]`. */
  readonly usage: string
  readonly summary: string
  /** What `--help` says besides. */
  readonly help: string
  readonly options: NonNullable<ParseArgsConfig['options']>
  run(shell: Shell, input: Arguments): Promise<Ended>
}

export const done: Ended = { kind: 'done' }
export const failed = (why: string): Ended => ({ kind: 'failed', why })
export const misused = (why: string): Ended => ({ kind: 'misused', why })

/** An option that takes a text; undefined when it is not given. */
export const textOption = ({ options }: Arguments, name: string): string | undefined => {
  const value = options[name]
  return typeof value === 'string' ? value : undefined
}

export const printJson = (shell: Shell, value: unknown): void => shell.out(`${JSON.stringify(value, null, 2)}\n`)
