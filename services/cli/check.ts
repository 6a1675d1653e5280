import { readEnvironment } from '../../shared/config/environment.ts'
import { type Config, findConfig, loadConfig } from '../../shared/config/load.ts'
import { redactionOf } from '../../shared/config/redaction.ts'
import { recoverySettings, toolSettings } from '../../shared/config/settings.ts'
import { formatDuration } from '../../shared/config/units.ts'
import { secretsIn } from '../../shared/config/placeholders.ts'
import { loadWithoutSecrets } from '../../shared/config/without-secrets.ts'
import type { Redaction } from '../../shared/events/redact.ts'
import { ConfigError } from '../../shared/errors.ts'
import { type Arguments, type Command, done, type Ended, failed, misused, printJson, type Shell } from './command.ts'
import { changedTools, recipeOfServer, recipeWords } from './recipes.ts'
import { dataFolder } from './running.ts'
import { type AskedServer, askServers } from './servers.ts'
import { table } from './table.ts'

export const check: Command = {
  name: 'check',
  usage: '[file] [--without-secrets] [--servers]',
  summary: 'Checks the configuration and the environment, offline, and tells every problem.',
  help: `
Without a file: HOLDFAST_CONFIG, else holdfast.yaml here, else the example that comes with Holdfast.
--without-secrets   take environment variables that the file asks for as set (where the secrets are not, as in CI)
--servers           ask the servers as well, which is not offline: tools that changed since their recipe was written
Exit code 1 when there is a problem.`,
  options: { 'without-secrets': { type: 'boolean' }, servers: { type: 'boolean' } },

  async run(shell, input) {
    if (input.positionals.length > 1) return misused('check takes one file')
    const path = input.positionals[0] ?? findConfig(shell.env, shell.cwd).path
    const problems: string[] = []
    const collect = (error: unknown): undefined => {
      if (!(error instanceof ConfigError)) throw error
      problems.push(...error.problems)
    }
    const load = () =>
      input.options['without-secrets']
        ? loadWithoutSecrets({ path, env: shell.env, dataDir: dataFolder(shell) })
        : loadConfig({ path, env: shell.env, dataDir: dataFolder(shell) })
    const config = attempt(load, collect)
    attempt(() => readEnvironment(shell.env), collect)
    if (!config || problems.length > 0) return tellProblems(shell, input, path, problems)
    const asked = input.options.servers
      ? await askServers(config, {
          names: Object.keys(config.servers),
          values: { env: shell.env, dataDir: dataFolder(shell) },
        })
      : []
    const found = asked.flatMap(server =>
      server.problem === undefined
        ? changedTools(config, server)
        : [`${server.server} could not be asked: ${server.problem}`],
    )
    if (found.length > 0) return tellProblems(shell, input, path, found)
    return tellSummary(shell, input, config, asked)
  },
}

function attempt<Value>(run: () => Value, onError: (error: unknown) => undefined): Value | undefined {
  try {
    return run()
  } catch (error) {
    return onError(error)
  }
}

function tellProblems(shell: Shell, { options }: Arguments, path: string, problems: readonly string[]): Ended {
  if (options.json) printJson(shell, { ok: false, path, problems })
  else shell.out(problems.map(problem => `${problem}\n`).join(''))
  return failed(problems.length === 1 ? 'There is 1 problem.' : `There are ${problems.length} problems.`)
}

function tellSummary(shell: Shell, { options }: Arguments, config: Config, asked: readonly AskedServer[]): Ended {
  const servers = Object.entries(config.servers).map(([name, server]) => ({
    name,
    reaches: server.url ?? server.command?.join(' ') ?? '',
    // A variable may hold a port as well as a token; which, only the operator knows.
    secrets: [...new Set(secretsIn(JSON.stringify(server)))],
    tools: Object.keys(server.tools).length,
    recipe: recipeOfServer(config, name, asked.find(entry => entry.server === name)?.name),
  }))
  const recovery = recoveryOf(config)
  const agents = Object.entries(config.agents).map(([name, agent]) => ({ name, roles: agent.roles }))
  const redaction = redactionsOf(config)
  const { path, version } = config
  if (options.json) {
    printJson(shell, { ok: true, path, version, servers, agents, recovery, redaction })
    return done
  }
  shell.out(`${path} is fine (version ${version}).\n\n`)
  shell.out(
    table([
      ['SERVER', 'REACHES', 'FROM THE ENVIRONMENT', 'RECIPE'],
      ...servers.map(({ name, reaches, secrets, recipe }) => [
        name,
        reaches,
        secrets.join(', ') || 'nothing',
        recipeWords(recipe),
      ]),
    ]),
  )
  shell.out(`\n${table([['WRITE', 'WHEN ITS OUTCOME IS UNKNOWN'], ...recovery.map(({ tool, does }) => [tool, does])])}`)
  shell.out(
    `\n${table([['CALLS OF', 'NOT ON RECORD'], ...redaction.map(({ tool, keeps }) => [tool, keeps.join(', ')])])}`,
  )
  shell.out(
    `\n${table([['AGENT', 'ROLES'], ...agents.map(({ name, roles }) => [name, roles.join(', ') || 'none: it may call nothing'])])}`,
  )
  return done
}

/** What each write that the file names does about an unknown, and what all the others do. */
function recoveryOf(config: Config): Array<{ tool: string; does: string }> {
  return Object.entries(config.servers).flatMap(([server, { tools, defaults }]) => {
    const writes = Object.keys(tools).filter(tool => toolSettings(config, server, tool).effect !== 'read')
    const named = writes.map(tool => ({ tool: `${server}:${tool}`, does: recoveryWords(config, server, tool) }))
    // A name that no tool has: what is said of it holds for every tool that the file does not name.
    const other =
      defaults.effect === 'read' ? [] : [{ tool: `${server}: others`, does: recoveryWords(config, server, '') }]
    return [...named, ...other]
  })
}

/** What each tool that the file names keeps out of the record, and what all the others do. */
function redactionsOf(config: Config): Array<{ tool: string; keeps: string[] }> {
  return Object.entries(config.servers).flatMap(([server, { tools }]) => {
    const named = Object.keys(tools).map(tool => ({ tool: `${server}:${tool}`, of: redactionOf(config, server, tool) }))
    const others = { tool: `${server}: others`, of: redactionOf(config, server, otherTool) }
    return [...named, others].map(({ tool, of }) => ({ tool, keeps: redactionWords(of) }))
  })
}

/** A name that no tool can have. */
const otherTool = '\0'

const redactionWords = ({ paths, detect, hideKey, hideOnBehalfOf }: Redaction): string[] => [
  'names that speak of secrets',
  ...paths.map(({ path }) => path),
  ...detect,
  ...(hideKey ? ['the key'] : []),
  ...(hideOnBehalfOf ? ['on behalf of whom'] : []),
]

function recoveryWords(config: Config, server: string, tool: string): string {
  const recovery = recoverySettings(config, server, tool)
  if (recovery === undefined) return 'waits for a late answer, or a person'
  const { carrier, replay, look, probe, attempts, timeMs } = recovery
  const [place] = Object.entries(carrier ?? {})
  const steps = [
    ...(replay && place ? [`sent again with a key (${place.join(' ')}), for ${formatDuration(replay.keepsMs)}`] : []),
    ...(look && probe
      ? [`${look.tool} looks for it${probe.consistent ? ', and proves that it is not there' : ''}`]
      : []),
  ]
  return `${steps.join('; ')}; at most ${attempts} times each, for ${formatDuration(timeMs)}`
}
