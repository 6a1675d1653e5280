/** What `holdfast check` says of recipes: which fits a server, and which tools are no longer those it was written for. */
import { definitionHash } from '../../shared/call/definition.ts'
import type { Config } from '../../shared/config/load.ts'
import { recipeFor, recipeNamed } from '../../shared/config/recipes.ts'
import type { AskedServer } from './servers.ts'

export type RecipeOfServer = { readonly used: string | undefined; readonly fits: string | undefined }

/** @param name what the server calls itself, where it was asked */
export function recipeOfServer(config: Config, server: string, name?: string): RecipeOfServer {
  const { url, command, recipe } = config.servers[server] ?? {}
  return { used: recipe, fits: recipe === undefined ? recipeFor({ url, command, name })?.name : undefined }
}

export const recipeWords = ({ used, fits }: RecipeOfServer): string =>
  used ?? (fits === undefined ? 'none' : `none; one fits: recipe: ${fits}`)

/** Tools of a server whose definition is none of those that its recipe was written for. */
export function changedTools(config: Config, { server, tools }: AskedServer): string[] {
  const recipe = recipeNamed(config.servers[server]?.recipe ?? '')
  if (recipe === undefined) return []
  return tools.flatMap(tool => {
    const settings = recipe.tools[tool.name]
    if (settings === undefined)
      return [`${server}:${tool.name} is not in recipe ${recipe.name}, which was written for ${recipe.tested.version}`]
    const written = settings.definitions as readonly string[] | undefined
    return written === undefined || written.includes(definitionHash(tool))
      ? []
      : [
          `${server}:${tool.name} is defined otherwise than in ${recipe.tested.version}, which recipe ${recipe.name} was written for${consequence(settings)}`,
        ]
  })
}

const consequence = (settings: Readonly<Record<string, unknown>>): string => {
  if (settings.effect === 'read') return ' (that it is a read is not believed until you say effect: read)'
  return settings.recover === undefined ? '' : ' (see that its recover: still holds, or write your own)'
}
