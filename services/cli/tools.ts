import { definitionHash } from '../../shared/call/definition.ts'
import { type Config, findConfig, loadConfig } from '../../shared/config/load.ts'
import { suggestion } from '../../shared/config/nearest.ts'
import { toolSettings } from '../../shared/config/settings.ts'
import { type EffectVerdict, effectOf } from '../../shared/policy/effect.ts'
import { type DescribedTool, suggestReads } from '../../shared/policy/suggest.ts'
import { type Command, done, failed, misused, printJson, type Shell } from './command.ts'
import { dataFolder } from './running.ts'
import { type AskedServer, askServers } from './servers.ts'
import { table } from './table.ts'

export const tools: Command = {
  name: 'tools',
  usage: '[server] [--suggest]',
  summary: 'Shows for each tool whether it is a read or a write, and who says so.',
  help: `
--suggest   print lines for holdfast.yaml that make seeming reads reads: review each one; nothing is applied
--json      also the hash of each tool's definition, for the setting definitions
Asks the servers of the configuration themselves; a server with a command is started beside the one that may be running.`,
  options: { suggest: { type: 'boolean' } },

  async run(shell, input) {
    if (input.positionals.length > 1) return misused('tools takes one server')
    const { path } = findConfig(shell.env, shell.cwd)
    const config = loadConfig({ path, env: shell.env, dataDir: dataFolder(shell) })
    const [only] = input.positionals
    const names = Object.keys(config.servers)
    if (only !== undefined && !names.includes(only))
      return failed(`There is no server ${only} in ${path} (${suggestion(only, names)})`)
    const listed = await askServers(config, {
      names: only === undefined ? names : [only],
      values: { env: shell.env, dataDir: dataFolder(shell) },
    })
    const reachable = listed.filter(({ problem }) => problem === undefined)
    if (input.options.json)
      printJson(
        shell,
        listed.map(entry => describe(config, entry)),
      )
    else if (input.options.suggest) tellSuggestions(shell, config, reachable)
    else tellEffects(shell, config, reachable)
    const problems = listed.flatMap(({ server, problem }) => (problem === undefined ? [] : `${server}: ${problem}`))
    return problems.length > 0 ? failed(`Not all servers could be asked: ${problems.join('; ')}`) : done
  },
}

const verdictOf = (config: Config, server: string, tool: DescribedTool): EffectVerdict =>
  effectOf({
    config,
    server,
    tool: tool.name,
    annotations: tool.annotations,
    definition: definitionHash(tool),
  })

const because: Record<EffectVerdict['source'], string> = {
  config: 'the configuration says so',
  readOnlyHint: 'the server says readOnlyHint: true',
  default: 'nobody says otherwise',
}

function describe(config: Config, { server, tools: list, problem }: AskedServer) {
  const suggestions = suggestReads(list)
  const described = list.map(tool => ({
    tool: tool.name,
    ...verdictOf(config, server, tool),
    suggestion: suggestions.find(entry => entry.tool === tool.name)?.reason,
    definition: definitionHash(tool),
  }))
  return { server, tools: described, problem }
}

function tellEffects(shell: Shell, config: Config, listed: readonly AskedServer[]): void {
  const rows = listed.flatMap(({ server, tools: list }) =>
    list.map(tool => {
      const { effect, source } = verdictOf(config, server, tool)
      return [`${server}:${tool.name}`, effect, because[source]]
    }),
  )
  shell.out(table([['TOOL', 'EFFECT', 'BECAUSE'], ...rows]))
}

/** YAML to review. What the configuration already says of a tool is not said again. */
function tellSuggestions(shell: Shell, config: Config, listed: readonly AskedServer[]): void {
  const blocks = listed.flatMap(({ server, tools: list }) => {
    const open = list.filter(tool => toolSettings(config, server, tool.name).effect === undefined)
    const lines = suggestReads(open).map(
      ({ tool, reason }) => `      ${yamlName(tool)}: { effect: read } # ${reason}\n`,
    )
    return lines.length > 0 ? [`  ${server}:\n    tools:\n${lines.join('')}`] : []
  })
  if (blocks.length === 0)
    return shell.out('# Nothing to suggest: every other tool may change something, or says what it does itself.\n')
  shell.out('# Review each line: a write taken for a read loses its protection.\n')
  shell.out(`servers:\n${blocks.join('')}`)
}

const yamlName = (name: string): string => (/^[A-Za-z][\w-]*$/.test(name) ? name : JSON.stringify(name))
