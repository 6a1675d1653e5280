/** What the configuration says about one server, tool or agent, with every default filled in. Pure look-ups. */
import { resolve } from 'node:path'
import type { Effect } from '../call/effect.ts'
import type { Ambiguous } from './expression.ts'
import type { Config } from './load.ts'
import { expand, expandData, type PlaceholderValues } from './placeholders.ts'
import { type RecoverConfig, recoveryDefaults, toolDefaults } from './schema.ts'
import { parseDuration } from './units.ts'

export type ToolSettings = {
  /** Undefined: the server's `readOnlyHint` decides, else it is a write. */
  readonly effect: Effect | undefined
  readonly retentionMs: number
  readonly timeoutMs: number
  readonly lateWindowMs: number
  readonly waitMs: number
  readonly twins: 'allow' | 'refuse'
  readonly audit: 'required' | 'best-effort'
  /** Argument, or path into it with dots, that names the change. */
  readonly key: { readonly argument: string } | undefined
  readonly ambiguous: Ambiguous | undefined
  readonly recover: RecoverConfig | undefined
}

const defaultRetentionMs = parseDuration(toolDefaults.retention) ?? 0

/**
 * Settings of a tool: its own, else its server's `defaults`, else the built-in ones.
 * @param server a configured server; one that is not has nothing but built-in settings
 * @param tool the server's own name of the tool, configured or not
 */
export function toolSettings(config: Config, server: string, tool: string): ToolSettings {
  const of = own(config.servers, server)
  const settings = { ...defined(of?.defaults), ...defined(own(of?.tools, tool)) }
  return {
    effect: settings.effect,
    retentionMs: settings.retention ?? defaultRetentionMs,
    timeoutMs: settings.timeout ?? of?.timeout ?? 30_000,
    lateWindowMs: of?.lateWindow ?? 600_000,
    waitMs: of?.wait ?? config.limits.wait,
    twins: settings.twins ?? toolDefaults.twins,
    audit: settings.audit ?? toolDefaults.audit,
    key: settings.key,
    ambiguous: settings.ambiguousWhen === undefined ? undefined : config.expressions.get(settings.ambiguousWhen),
    recover: settings.recover,
  }
}

/** What a tool's `recover` says, in milliseconds and with every default; undefined for a tool without one. */
export function recoverySettings(config: Config, server: string, tool: string) {
  const { recover, timeoutMs, lateWindowMs } = toolSettings(config, server, tool)
  if (recover === undefined) return undefined
  const { replay, keeps, probe, budget } = recover
  return {
    timeoutMs,
    lateWindowMs,
    attempts: budget.attempts,
    timeMs: budget.time,
    carrier: replay && carrierOf(replay),
    replay: replay && { keepsMs: keeps ?? parseDuration(recoveryDefaults.keeps) ?? 0, pauseMs: replayPauseMs },
    inject: probe?.inject,
    probe: probe && { afterMs: probe.after ?? timeoutMs, everyMs: probe.every, consistent: probe.consistent },
    look: probe && {
      tool: probe.tool,
      timeoutMs: toolSettings(config, server, probe.tool).timeoutMs,
      argumentsFor: config.probes.arguments.get(probe.arguments) ?? unusable,
      landed: config.probes.landed.get(probe.landed) ?? unusable,
    },
  }
}
/** Long enough for a server that was just started again to be there. */
const replayPauseMs = 1_000

export type RecoverySettings = NonNullable<ReturnType<typeof recoverySettings>>

const unusable = () => ({ problem: 'the expression could not be compiled' })

/** The schema lets exactly one through. */
function carrierOf({ meta, argument, header }: NonNullable<RecoverConfig['replay']>) {
  if (meta !== undefined) return { meta }
  return argument === undefined ? { header: header ?? '' } : { argument }
}

/** The longest any configured tool may take: who stops in order waits at least that long. */
export function longestTimeoutMs(config: Config): number {
  const timeouts = Object.entries(config.servers).flatMap(([server, { tools }]) =>
    ['', ...Object.keys(tools)].map(tool => toolSettings(config, server, tool).timeoutMs),
  )
  return Math.max(0, ...timeouts)
}

/** A server that Holdfast runs itself, as a child. */
export const isCommandServer = (config: Config, server: string): boolean =>
  own(config.servers, server)?.command !== undefined

/** One server as `shared/upstream` takes it: secrets in headers and variables still as placeholders, all else resolved. */
export type ServerAddress = {
  readonly id: string
  readonly url?: string
  readonly command?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly sessions: 'agent' | 'shared' | 'conversation'
  readonly connectTimeoutMs: number
  readonly maxResultBytes: number
}

/** @param values the same as the configuration was loaded with */
export function serverAddresses(config: Config, values: PlaceholderValues): ServerAddress[] {
  const inEach = (texts: Readonly<Record<string, string>> | undefined) =>
    texts && Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, expandData(text, values.dataDir)]))
  return Object.entries(config.servers).map(([id, server]) => ({
    id,
    sessions: server.sessions,
    connectTimeoutMs: server.connectTimeout,
    maxResultBytes: config.limits.resultBytes,
    ...defined({
      url: server.url === undefined ? undefined : expand(server.url, values),
      command: server.command?.map(part => expand(part, values)),
      cwd: server.command && resolve(config.folder, expand(server.cwd ?? '.', values)),
      env: inEach(server.env),
      headers: inEach(server.headers),
    }),
  }))
}

/** Who an agent is in records. Undefined for an agent that is not configured. */
export type AgentSettings = {
  readonly agent: string
  readonly tenant: string
  readonly keyspace: string
  readonly roles: readonly string[]
  /** The host program names changes; the model does not see `idempotency_key`. */
  readonly hostNamesKeys: boolean
  readonly readHistory: boolean
  /** May see and settle the unknowns of the whole tenant. */
  readonly mayResolve: boolean
  /** May read what is kept encrypted of the tenant's calls. */
  readonly mayReveal: boolean
}

export function agentSettings(config: Config, agent: string): AgentSettings | undefined {
  const settings = own(config.agents, agent)
  if (!settings) return undefined
  return {
    agent,
    tenant: settings.tenant,
    keyspace: settings.keyspace ?? settings.formerly ?? agent,
    roles: settings.roles,
    hostNamesKeys: settings.keys === 'host',
    readHistory: settings.readHistory,
    mayResolve: settings.roles.some(role => own(config.roles, role)?.resolve === true),
    mayReveal: settings.roles.some(role => own(config.roles, role)?.reveal === true),
  }
}

/** The name under which a server's keys are recorded: its own, or the one it had when they were made. */
export const scopeName = (config: Config, server: string): string => own(config.servers, server)?.formerly ?? server

/** The configured server whose keys are recorded under `name`. */
export const serverOfScope = (config: Config, name: string): string | undefined =>
  Object.keys(config.servers).find(server => scopeName(config, server) === name)

/** Names come from outside: `constructor` is not a server. */
const own = <Value>(values: Readonly<Record<string, Value>> | undefined, name: string): Value | undefined =>
  values && Object.hasOwn(values, name) ? values[name] : undefined

type Defined<Values> = { [Name in keyof Values]?: Exclude<Values[Name], undefined> }

const defined = <Values extends object>(values: Values | undefined): Defined<Values> =>
  Object.fromEntries(Object.entries(values ?? {}).filter(([, value]) => value !== undefined)) as Defined<Values>
