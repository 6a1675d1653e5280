/** What front reads from the configuration, in the words of its own questions. */
import type { RecoveryPlan } from '../../shared/call/recovery.ts'
import type { Effect } from '../../shared/call/effect.ts'
import type { Config } from '../../shared/config/load.ts'
import {
  agentSettings,
  recoverySettings,
  scopeName,
  serverOfScope,
  toolSettings,
} from '../../shared/config/settings.ts'
import { redactionOf } from '../../shared/config/redaction.ts'
import type { Redaction } from '../../shared/events/redact.ts'
import { authorize } from '../../shared/policy/authorize.ts'
import { effectOf } from '../../shared/policy/effect.ts'

export type Verdict = { readonly verdict: 'allow' | 'deny'; readonly rule: string; readonly version: string }

export type FrontSettings = {
  readonly servers: readonly string[]
  /** The name under which a server's keys are recorded: its own, or the one it had when they were made. */
  readonly scopeName: (server: string) => string
  /** The server that goes by this name in keys. */
  readonly serverOfScope: (name: string) => string | undefined
  authorize(agent: string, server: string, tool: string): Verdict
  /** @param definition hash of the tool's definition */
  effect(server: string, tool: string, annotations: unknown, definition: string): { effect: Effect; source: string }
  /** Where the tool itself has a name for the change. */
  keyArgument(server: string, tool: string): { argument: string } | undefined
  /** The host program names the change; the model does not see the argument. */
  hostNamesKeys(agent: string): boolean
  audit(server: string, tool: string): 'required' | 'best-effort'
  /** How long a read may take, milliseconds. */
  readTimeoutMs(server: string, tool: string): number
  /** How long a caller is kept waiting, milliseconds. */
  waitMs(server: string): number
  /** What is done by itself about an unknown of this tool; undefined where it declares nothing. */
  recoveryPlan(server: string, tool: string): RecoveryPlan | undefined
  /** What does not go on record of its calls; of a tool that is not known, everything any server says. */
  readonly redaction: (server: string, tool: string) => Redaction
  readonly bodyBytes: number
  /** Calls that may wait at a time. */
  readonly waiting: number
}

export const frontSettings = (config: Config): FrontSettings => ({
  servers: Object.keys(config.servers),
  scopeName: server => scopeName(config, server),
  serverOfScope: name => serverOfScope(config, name),
  authorize: (agent, server, tool) => authorize({ config, agent, server, tool }),
  effect: (server, tool, annotations, definition) => effectOf({ config, server, tool, annotations, definition }),
  keyArgument: (server, tool) => toolSettings(config, server, tool).key,
  hostNamesKeys: agent => agentSettings(config, agent)?.hostNamesKeys ?? false,
  audit: (server, tool) => toolSettings(config, server, tool).audit,
  readTimeoutMs: (server, tool) => toolSettings(config, server, tool).timeoutMs,
  waitMs: server => config.servers[server]?.wait ?? config.limits.wait,
  recoveryPlan: (server, tool) => recoverySettings(config, server, tool),
  redaction: (server, tool) => redactionOf(config, server, tool),
  bodyBytes: config.limits.bodyBytes,
  waiting: config.limits.waiting,
})
