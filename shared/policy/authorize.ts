import { coversTool } from './globs.ts'

/** The part of the configuration that says who may call what. */
export type Policy = {
  readonly version: string
  readonly roles: Readonly<Record<string, { readonly allow: readonly string[]; readonly deny: readonly string[] }>>
  readonly agents: Readonly<Record<string, { readonly roles: readonly string[] }>>
}

export type Authorization = {
  readonly verdict: 'allow' | 'deny'
  /** What decided, for people and for the history: `role teller denies payments:close_account`. */
  readonly rule: string
  /** Policy version: the configuration's. */
  readonly version: string
}

export type AuthorizeInput = {
  readonly config: Policy
  readonly agent: string
  readonly server: string
  /** The server's own name of the tool. */
  readonly tool: string
}

/**
 * Whether an agent may call a tool. A deny in any of its roles wins; what no role allows is denied; an agent that is not
 * configured may call nothing.
 */
export function authorize({ config, agent, server, tool }: AuthorizeInput): Authorization {
  const { version } = config
  const settings = own(config.agents, agent)
  if (!settings) return { verdict: 'deny', rule: `agent ${agent} is not configured`, version }
  const denied = findRule(config, settings.roles, 'deny', server, tool)
  if (denied) return { verdict: 'deny', rule: `role ${denied.role} denies ${denied.glob}`, version }
  const allowed = findRule(config, settings.roles, 'allow', server, tool)
  if (allowed) return { verdict: 'allow', rule: `role ${allowed.role} allows ${allowed.glob}`, version }
  return { verdict: 'deny', rule: `no role of ${agent} allows ${server}:${tool}`, version }
}

function findRule(config: Policy, roles: readonly string[], list: 'allow' | 'deny', server: string, tool: string) {
  for (const role of roles) {
    const glob = own(config.roles, role)?.[list].find(candidate => coversTool(candidate, server, tool))
    if (glob !== undefined) return { role, glob }
  }
  return undefined
}

/** Names come from outside: `constructor` is not an agent. */
export const own = <Value>(values: Readonly<Record<string, Value>>, name: string): Value | undefined =>
  Object.hasOwn(values, name) ? values[name] : undefined
