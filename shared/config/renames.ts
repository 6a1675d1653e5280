import type { Config } from './load.ts'
import { agentSettings, scopeName } from './settings.ts'

/** A keyspace and server that unexpired keys are recorded under. */
export type LiveScope = { readonly keyspace: string; readonly server: string }

/**
 * What this configuration would orphan: keys that no agent or no server of it leads to any more. A repeated call would
 * then find nothing and run again, so broker refuses to start.
 * @param liveScopes every (keyspace, server) with an operation that is not expired
 * @returns one sentence for each name that is gone; empty when nothing is lost
 */
export function checkRenames(config: Config, liveScopes: Iterable<LiveScope>): string[] {
  const servers = new Set(Object.keys(config.servers).map(server => scopeName(config, server)))
  const keyspaces = new Set(Object.keys(config.agents).map(agent => agentSettings(config, agent)?.keyspace))
  const scopes = [...liveScopes]
  const gone = (names: string[], kept: Set<string | undefined>) =>
    [...new Set(names)].filter(name => !kept.has(name)).sort()
  return [
    ...gone(
      scopes.map(scope => scope.server),
      servers,
    ).map(
      name =>
        `servers: keys of \`${name}\` have not expired and no server leads to them (keep \`${name}\`, or write \`formerly: ${name}\` at the server that replaces it)`,
    ),
    ...gone(
      scopes.map(scope => scope.keyspace),
      keyspaces,
    ).map(
      name =>
        `agents: keys in the keyspace \`${name}\` have not expired and no agent leads to them (keep agent \`${name}\`, without roles if it may call nothing, or write \`formerly: ${name}\` at the agent that replaces it)`,
    ),
  ]
}
