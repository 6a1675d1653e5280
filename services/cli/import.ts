import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { type Config, loadConfig } from '../../shared/config/load.ts'
import { ConfigError } from '../../shared/errors.ts'
import { type Command, done, failed, printJson, type Shell, textOption } from './command.ts'
import { effectsOf, type ToolEffect } from './import/effects.ts'
import { pointers } from './import/point.ts'
import { type ClientFile, type Taken, take } from './import/take.ts'
import { tellEffects, tellPointers, tellTaken } from './import/tell.ts'
import { configurationText } from './import/write.ts'
import { dataFolder } from './running.ts'
import { askServers } from './servers.ts'

export const importCommand: Command = {
  name: 'import',
  usage: '[file…] [--out holdfast.yaml] [--dry-run] [--force] [--offline]',
  summary: "Makes holdfast.yaml from the MCP servers of a client's configuration.",
  help: `
Reads files of Claude Code, Claude Desktop, VS Code, Cursor and Codex; without one, those that are in this folder.
Secrets stay where they are: each becomes an environment variable, which is named, and whose value is not shown.
--out <file>   write to this file instead of holdfast.yaml
--dry-run      print the configuration instead of writing it
--force        replace the file that is there
--offline      do not start the servers to ask for their tools
Exit code 1 when nothing could be imported.`,
  options: {
    out: { type: 'string' },
    'dry-run': { type: 'boolean' },
    force: { type: 'boolean' },
    offline: { type: 'boolean' },
  },

  async run(shell, input) {
    const out = resolve(shell.cwd, textOption(input, 'out') ?? 'holdfast.yaml')
    const name = relative(shell.cwd, out)
    const isWritten = input.options['dry-run'] !== true
    if (isWritten && existsSync(out) && input.options.force !== true)
      return failed(`${name} is there already (look first with --dry-run, replace it with --force)`)
    const paths =
      input.positionals.length > 0 ? input.positionals : usual.filter(path => existsSync(join(shell.cwd, path)))
    if (paths.length === 0)
      return failed(`There is no configuration of a client here (name its file; looked for ${usual.join(', ')})`)
    const files = paths.map(path => readFile(shell, path))
    const taken = take(files, { env: shell.env, target: dirname(out) })
    if (taken.servers.length === 0) return failed(`No server can be imported: ${taken.leftOut.join(' ')}`)
    const text = configurationText(
      taken.servers,
      files.map(file => file.name),
    )
    const { config, values } = checked(shell, { out, text, taken })
    if (isWritten) writeFileSync(out, text)
    if (!input.options.offline) shell.err('Asking the servers for their tools (--offline does not) …\n')
    const asked = input.options.offline ? [] : await askServers(config, { names: Object.keys(config.servers), values })
    const effects = asked.flatMap(server => effectsOf(config, server))
    const problems = asked.flatMap(({ server, problem }) => (problem === undefined ? [] : withName(server, problem)))
    const points = pointersOf(shell, taken)
    if (input.options.json)
      printJson(shell, describe({ path: isWritten ? out : null, text, taken, effects, problems, points }))
    else tell(shell, { name, isWritten, text, taken, effects, problems, points })
    return done
  },
}

/** Most problems begin with the server's name already. */
const withName = (server: string, problem: string) =>
  problem.startsWith(`${server}:`) ? problem : `${server}: ${problem}`

/** Where clients keep the servers of a project. */
const usual = ['.mcp.json', '.vscode/mcp.json', '.cursor/mcp.json', '.codex/config.toml']

function readFile({ cwd }: Shell, name: string): ClientFile {
  const path = resolve(cwd, name)
  try {
    return { name, path, text: readFileSync(path, 'utf8') }
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    throw new ConfigError([code === 'ENOENT' ? `${name} does not exist` : `${name} cannot be read (${code})`], {
      cause,
    })
  }
}

/** What is written can be loaded; otherwise nothing is. Secrets are those of the files, known to nothing but the servers. */
function checked(shell: Shell, { out, text, taken }: { out: string; text: string; taken: Taken }) {
  const env = { ...shell.env, ...taken.values }
  // What fits where a variable stands: an address, or anything at all.
  const standIns = Object.fromEntries(
    taken.variables.map(({ name, uses }) => [name, uses.some(use => use.endsWith(': url')) ? 'http://127.0.0.1' : '1']),
  )
  const dataDir = dataFolder(shell)
  const config = loadConfig({ path: out, text, env: { ...standIns, ...env }, dataDir })
  return { config, values: { env, dataDir } } satisfies { config: Config; values: object }
}

type Pointer = { readonly where: string; readonly line: string }

/** One line for each file: the same client reads several. */
function pointersOf({ env, cwd }: Shell, { entries }: Taken): Pointer[] {
  const mcp = `http://127.0.0.1:${env.HOLDFAST_FRONT_PORT || '8080'}/mcp`
  const byPath = new Map(entries.map(({ path, client }) => [path, client]))
  return [...byPath].map(([path, client]) => ({
    where: `${relative(cwd, path).startsWith('..') ? path : relative(cwd, path)} (${client})`,
    line: pointers[client](mcp),
  }))
}

type Told = {
  readonly text: string
  readonly taken: Taken
  readonly effects: readonly ToolEffect[]
  readonly problems: readonly string[]
  readonly points: readonly Pointer[]
}

function tell(
  shell: Shell,
  { name, isWritten, text, taken, effects, problems, points }: Told & { name: string; isWritten: boolean },
) {
  tellTaken(shell, taken)
  tellEffects(shell, effects, problems)
  shell.out(isWritten ? `\nWritten: ${name}\n` : `\nNot written (--dry-run): ${name} would be\n\n${text}`)
  tellPointers(shell, points)
  shell.out(
    '\nThen: holdfast start. It shows the key, which the client gets as HOLDFAST_KEY, in its environment or in its file.\n',
  )
}

const describe = ({ path, text, taken, effects, problems, points }: Told & { path: string | null }) => ({
  path,
  text,
  servers: taken.servers.map(({ name, entry, settings, notes }) => ({
    name,
    was: entry.name,
    client: entry.client,
    file: entry.path,
    recipe: settings.recipe ?? null,
    notes,
  })),
  leftOut: taken.leftOut,
  variables: taken.variables,
  tools: effects,
  problems,
  clients: points,
})
