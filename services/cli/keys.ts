import { findConfig } from '../../shared/config/load.ts'
import { suggestion } from '../../shared/config/nearest.ts'
import { agentSettings } from '../../shared/config/settings.ts'
import { parseDuration } from '../../shared/config/units.ts'
import { loadWithoutSecrets } from '../../shared/config/without-secrets.ts'
import { createKey, listKeys, revokeKey } from '../../shared/policy/keys.ts'
import {
  type Arguments,
  type Command,
  done,
  type Ended,
  failed,
  misused,
  printJson,
  type Shell,
  textOption,
} from './command.ts'
import { withDatabase } from './database.ts'
import { dataFolder } from './running.ts'
import { table } from './table.ts'

export const keys: Command = {
  name: 'keys',
  usage: 'create --agent <agent> [--name <what for>] [--expires 90d] | list | revoke <keyId>',
  summary: 'Makes, lists and ends API keys.',
  help: `
create   makes a key for an agent of the configuration and shows it, this once; only its hash is kept
list     shows all keys, without anything one could call with
revoke   ends a key; every process refuses it within 2 seconds
The database is DATABASE_URL, else that of the node that runs here (HOLDFAST_DATA, .holdfast).`,
  options: { agent: { type: 'string' }, name: { type: 'string' }, expires: { type: 'string' } },

  async run(shell, input) {
    const [verb, ...rest] = input.positionals
    if (verb === 'create' && rest.length === 0) return create(shell, input)
    if (verb === 'list' && rest.length === 0) return list(shell, input)
    if (verb === 'revoke' && rest.length === 1) return revoke(shell, input, rest[0] ?? '')
    return misused('Say create, list or revoke <keyId>')
  },
}

async function create(shell: Shell, input: Arguments): Promise<Ended> {
  const agent = textOption(input, 'agent')
  if (!agent) return misused('Name the agent with --agent')
  const expires = textOption(input, 'expires')
  const lifeMs = expires === undefined ? undefined : parseDuration(expires)
  if (expires !== undefined && !lifeMs) return misused('--expires must be a duration such as 90d')
  const { path } = findConfig(shell.env, shell.cwd)
  const config = loadWithoutSecrets({ path, env: shell.env, dataDir: dataFolder(shell) })
  const settings = agentSettings(config, agent)
  if (!settings)
    return failed(`There is no agent ${agent} in ${path} (${suggestion(agent, Object.keys(config.agents))})`)
  const expiresAt = lifeMs === undefined ? undefined : new Date(Date.now() + lifeMs)
  const made = await withDatabase(shell, client =>
    createKey(client, { agent, tenant: settings.tenant, name: textOption(input, 'name') ?? '', expiresAt }),
  )
  if (input.options.json) printJson(shell, { ...made, agent, tenant: settings.tenant, expiresAt: expiresAt ?? null })
  else {
    shell.out(`${made.key}\n`)
    shell.err(`This is the only time the key is shown. To end it: holdfast keys revoke ${made.keyId}\n`)
  }
  return done
}

async function list(shell: Shell, { options }: Arguments): Promise<Ended> {
  const entries = await withDatabase(shell, listKeys)
  if (options.json) {
    printJson(shell, entries)
    return done
  }
  const time = (date: Date | null) => date?.toISOString().slice(0, 19).concat('Z') ?? 'never'
  const rows = entries.map(entry => [
    entry.keyId,
    entry.state,
    entry.agent,
    entry.tenant,
    time(entry.createdAt),
    time(entry.expiresAt),
    entry.credential,
    entry.name,
  ])
  shell.out(table([['KEY', 'STATE', 'AGENT', 'TENANT', 'CREATED', 'EXPIRES', 'CREDENTIAL', 'NAME'], ...rows]))
  return done
}

async function revoke(shell: Shell, { options }: Arguments, keyId: string): Promise<Ended> {
  const isKnown = await withDatabase(shell, client => revokeKey(client, keyId))
  if (!isKnown) return failed(`There is no key ${keyId} (holdfast keys list shows them)`)
  if (options.json) printJson(shell, { keyId, state: 'revoked' })
  else shell.out(`${keyId} is revoked; every process refuses it within 2 seconds.\n`)
  return done
}
