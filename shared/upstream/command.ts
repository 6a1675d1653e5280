import { existsSync, readFileSync } from 'node:fs'
import { delimiter, dirname, join, resolve } from 'node:path'

/** What a server inherits of our environment: enough to run, nothing that could be a secret. */
const inherited = ['HOME', 'LANG', 'LC_ALL', 'LOGNAME', 'PATH', 'SHELL', 'TERM', 'TMPDIR', 'TZ', 'USER']

/** The environment of a child: the inherited few, locally installed programs on the path, and what the configuration adds. */
export function childEnvironment(
  env: Readonly<Record<string, string | undefined>>,
  added: Readonly<Record<string, string>>,
  cwd: string | undefined,
): Record<string, string> {
  const kept = Object.fromEntries(inherited.flatMap(name => (env[name] === undefined ? [] : [[name, env[name]]])))
  const bins = ancestors(cwd).map(folder => join(folder, 'node_modules', '.bin'))
  return { ...kept, PATH: [...bins, kept.PATH ?? '/usr/bin:/bin'].join(delimiter), ...added }
}

/**
 * `npx package …` as the package's own program where that is installed here: it starts without the network and without
 * the two processes of npx in between. Anything else is left as it is.
 */
export function resolveCommand(command: readonly string[], cwd: string | undefined): readonly string[] {
  if (command[0] !== 'npx') return command
  const at = command.findIndex((word, index) => index > 0 && !word.startsWith('-'))
  const options = command.slice(1, at)
  const name = command[at]
  if (name === undefined || !options.every(option => /^(-y|--yes|--no-install|--offline)$/.test(option))) return command
  for (const folder of ancestors(cwd)) {
    const program = programOf(join(folder, 'node_modules', name))
    if (program !== undefined) return [process.execPath, program, ...command.slice(at + 1)]
  }
  return command
}

function programOf(folder: string): string | undefined {
  const manifest = join(folder, 'package.json')
  if (!existsSync(manifest)) return undefined
  const { bin, name } = JSON.parse(readFileSync(manifest, 'utf8')) as {
    name: string
    bin?: string | Record<string, string>
  }
  if (bin === undefined) return undefined
  if (typeof bin === 'string') return join(folder, bin)
  const programs = Object.entries(bin)
  const own = programs.find(([program]) => program === name.split('/').at(-1)) ?? programs[0]
  return own === undefined ? undefined : join(folder, own[1])
}

function ancestors(cwd: string | undefined): string[] {
  const folders = [resolve(cwd ?? '.')]
  for (;;) {
    const last = folders[folders.length - 1] as string
    const parent = dirname(last)
    if (parent === last) return folders
    folders.push(parent)
  }
}
