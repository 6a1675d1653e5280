/**
 * Recipes: settings for the tools of public servers, each tried against the server itself (`recipes/`, a page each in
 * `docs/recipes`). A server names its recipe; what the operator's own file says of a tool wins, setting by setting.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parse } from 'yaml'
import { suggestion } from './nearest.ts'
import type { Problem } from './problems.ts'
import { isRecord, namedIn, wrong } from './raw.ts'

export type Recipe = {
  readonly name: string
  readonly about: string
  /** How a server is recognised: a package its command runs, an address, or the name it gives itself. */
  readonly match: {
    readonly packages?: readonly string[]
    readonly urls?: readonly string[]
    readonly names?: readonly string[]
  }
  /** What it was tried with; `run: false`: its calls could not be made where it was written. */
  readonly tested: { readonly version: string; readonly run: boolean }
  /** As in `holdfast.yaml`, and in each the `definitions` it was written for. */
  readonly tools: Readonly<Record<string, Readonly<Record<string, unknown>>>>
}

const folder = fileURLToPath(new URL('../../recipes/', import.meta.url))
let read: readonly Recipe[] | undefined

/** Every recipe that comes with Holdfast, by name. */
export function recipes(): readonly Recipe[] {
  read ??= readdirSync(folder)
    .filter(file => file.endsWith('.yaml'))
    .sort()
    .map(file => ({
      name: basename(file, '.yaml'),
      ...(parse(readFileSync(join(folder, file), 'utf8')) as Omit<Recipe, 'name'>),
    }))
  return read
}

export const recipeNamed = (name: string): Recipe | undefined => recipes().find(recipe => recipe.name === name)

type Reached = {
  readonly command?: readonly string[] | undefined
  readonly url?: string | undefined
  /** What the server calls itself, where it was asked. */
  readonly name?: string | undefined
}

/** The recipe that was written for this server, if there is one. */
export const recipeFor = (server: Reached): Recipe | undefined =>
  recipes().find(
    ({ match }) =>
      match.packages?.some(name => server.command?.some(word => runs(word, name))) ||
      match.urls?.some(url => server.url === url || server.url?.startsWith(`${url}/`)) ||
      (server.name !== undefined && match.names?.includes(server.name)),
  )

/** `@scope/server`, `@scope/server@1.2.3`, or a path into the installed package. */
const runs = (word: string, name: string): boolean =>
  word === name || word.startsWith(`${name}@`) || word.replaceAll('\\', '/').includes(`/node_modules/${name}/`)

/** The parsed file with each server's recipe laid beneath what the file says itself. */
export function withRecipes(value: unknown): unknown {
  if (!isRecord(value) || !isRecord(value.servers)) return value
  const servers = Object.entries(value.servers).map(([name, server]) => [name, withRecipe(server)])
  return { ...value, servers: Object.fromEntries(servers) as unknown }
}

function withRecipe(server: unknown): unknown {
  if (!isRecord(server) || typeof server.recipe !== 'string') return server
  const recipe = recipeNamed(server.recipe)
  const [tools, defaults] = [server.tools ?? {}, server.defaults ?? {}]
  // What has the wrong type is left to the schema.
  if (recipe === undefined || !isRecord(tools) || !isRecord(defaults)) return server
  const laid = Object.entries(recipe.tools).map(([tool, settings]) => {
    const own = tools[tool] ?? {}
    return [tool, isRecord(own) ? lay(settings, { defaults, own }) : own]
  })
  return { ...server, tools: { ...tools, ...(Object.fromEntries(laid) as object) } }
}

type Own = { readonly defaults: Record<string, unknown>; readonly own: Record<string, unknown> }

/** `null` takes a setting of the recipe away; an effect that the operator decided is not the recipe's to pin. */
function lay(settings: Readonly<Record<string, unknown>>, { defaults, own }: Own): Record<string, unknown> {
  const decided = own.effect ?? defaults.effect
  const laid = Object.entries(settings).filter(
    ([setting]) =>
      !(setting in defaults) &&
      !(setting === 'definitions' && decided !== undefined) &&
      !(setting === 'recover' && decided === 'read'),
  )
  const all = Object.entries({ ...Object.fromEntries(laid), ...own })
  return Object.fromEntries(all.filter(([setting, value]) => !(value === null && setting in settings)))
}

export const recipeProblems = (value: unknown): Problem[] =>
  namedIn(value, 'servers').flatMap(({ path, settings: { recipe } }) =>
    typeof recipe !== 'string' || recipeNamed(recipe) !== undefined
      ? []
      : [
          wrong(
            [...path, 'recipe'],
            `is no recipe that comes with Holdfast (${suggestion(
              recipe,
              recipes().map(({ name }) => name),
            )})`,
          ),
        ],
  )
