import { findConfig } from '../../shared/config/load.ts'
import { suggestion } from '../../shared/config/nearest.ts'
import { redactionOf } from '../../shared/config/redaction.ts'
import { loadWithoutSecrets } from '../../shared/config/without-secrets.ts'
import { keyRedaction, type Redacted, redactArguments } from '../../shared/events/redact.ts'
import { type Command, done, failed, misused, printJson, textOption } from './command.ts'
import { readJsonFile } from './json-file.ts'
import { dataFolder } from './running.ts'
import { table } from './table.ts'

export const redact: Command = {
  name: 'redact',
  usage: '<server> <tool> --arguments <file> [--idempotency-key <key>]',
  summary: 'Shows what would go on record of a call with these arguments, and by which rules. Sends nothing.',
  help: `
--arguments <file>         the arguments as a JSON object; - for standard input
--idempotency-key <key>    whether this key would be recorded as it is
The rules are those of HOLDFAST_CONFIG, else holdfast.yaml here.`,
  options: { arguments: { type: 'string' }, 'idempotency-key': { type: 'string' } },

  async run(shell, input) {
    const [server, tool, ...more] = input.positionals
    const file = textOption(input, 'arguments')
    if (server === undefined || tool === undefined || more.length > 0) return misused('Name a server and a tool')
    if (file === undefined) return misused('Give the arguments with --arguments <file>')
    const { path } = findConfig(shell.env, shell.cwd)
    const config = loadWithoutSecrets({ path, env: shell.env, dataDir: dataFolder(shell) })
    const servers = Object.keys(config.servers)
    if (!servers.includes(server))
      return failed(`There is no server ${server} in ${path} (${suggestion(server, servers)})`)
    const given = await readJsonFile(shell, file)
    if ('problem' in given) return failed(given.problem)

    const rules = redactionOf(config, server, tool)
    const { text, redacted } = redactArguments(rules, given.text)
    const key = textOption(input, 'idempotency-key')
    const hidden = key === undefined ? undefined : keyRedaction(rules, key)
    const all = hidden === undefined ? redacted : [...redacted, hidden]
    const shown = JSON.parse(text) as unknown
    if (input.options.json) printJson(shell, { arguments: shown, redacted: all })
    else shell.out(`${JSON.stringify(shown, null, 2)}\n\n${all.length === 0 ? 'Nothing is replaced.\n' : told(all)}`)
    return done
  },
}

const told = (all: readonly Redacted[]): string =>
  table([
    ['IN', 'PATH', 'RULE', 'BECAUSE'],
    ...all.map(({ in: where, path = '', rule, because = '', more }) => [
      where,
      more === undefined ? path : `${path} and ${more} more`,
      rule,
      because,
    ]),
  ])
