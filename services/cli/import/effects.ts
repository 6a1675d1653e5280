/** What each tool is taken for, and why, so that a person can review it. */
import { definitionHash } from '../../../shared/call/definition.ts'
import type { Config } from '../../../shared/config/load.ts'
import { recipeNamed } from '../../../shared/config/recipes.ts'
import { effectOf } from '../../../shared/policy/effect.ts'
import { suggestReads } from '../../../shared/policy/suggest.ts'
import type { AskedServer } from '../servers.ts'

export type ToolEffect = {
  /** `server:tool` */
  readonly tool: string
  readonly effect: 'read' | 'write'
  readonly because: string
  /** A write only because nobody says otherwise. */
  readonly seemsRead: boolean
}

export function effectsOf(config: Config, { server, tools }: AskedServer): ToolEffect[] {
  const suggested = new Map(suggestReads(tools).map(({ tool, reason }) => [tool, reason]))
  const recipe = recipeNamed(config.servers[server]?.recipe ?? '')
  return tools.map(tool => {
    const { effect, source } = effectOf({
      config,
      server,
      tool: tool.name,
      annotations: tool.annotations,
      definition: definitionHash(tool),
    })
    const guess = source === 'default' ? suggested.get(tool.name) : undefined
    const by = recipe !== undefined && tool.name in recipe.tools ? `recipe ${recipe.name}` : 'the configuration says so'
    const because = {
      config: by,
      readOnlyHint: 'the server says readOnlyHint: true',
      default: guess === undefined ? 'nobody says otherwise' : `nobody says otherwise, but it seems a read: ${guess}`,
    }[source]
    return { tool: `${server}:${tool.name}`, effect, because, seemsRead: guess !== undefined }
  })
}
