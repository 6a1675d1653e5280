import type { Config } from '../../shared/config/load.ts'
import { recoverySettings, serverOfScope, toolSettings } from '../../shared/config/settings.ts'
import type { Settings, ToolRecovery } from './deps.ts'

/** What broker reads from the configuration. Servers go by the name their keys are recorded under. */
export function brokerSettings(config: Config): Settings {
  // Asked for at every call: worked out once for each tool that the configuration names.
  const known = new Map<string, ToolRecovery | undefined>()
  const recoveryOf = (server: string, tool: string) => {
    const of = config.servers[server]
    if (of === undefined || (of.tools[tool]?.recover ?? of.defaults.recover) === undefined) return undefined
    const name = JSON.stringify([server, tool])
    if (!known.has(name)) known.set(name, recoverySettings(config, server, tool))
    return known.get(name)
  }
  const named = (scope: string) => serverOfScope(config, scope) ?? scope
  return {
    serverOf: named,
    lane: scope => {
      const server = config.servers[named(scope)]
      // A server that was taken out of the configuration: what the journal still holds for it is refused, not lost.
      return server ? { concurrency: server.concurrency, queue: server.queue } : { concurrency: 0, queue: 0 }
    },
    tool: (scope, tool) => {
      const { timeoutMs, retentionMs, lateWindowMs, twins, ambiguous } = toolSettings(config, named(scope), tool)
      const recovery = recoveryOf(named(scope), tool)
      return {
        timeoutMs,
        retentionMs,
        lateWindowMs,
        allowTwins: twins === 'allow',
        ...(ambiguous && { ambiguous }),
        ...(recovery && { recovery }),
      }
    },
  }
}
