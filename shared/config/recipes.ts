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
    return [tool, isRecord(own) ? lay(settings, { defaults, own, tools }) : own]
  })
  return { ...server, tools: { ...tools, ...(Object.fromEntries(laid) as object) } }
}

type Fields = Readonly<Record<string, unknown>>
type Own = { readonly defaults: Fields; readonly own: Fields; readonly tools: Fields }

/**
 * `null` takes a setting of the recipe away. An effect that the operator decided is not the recipe's to pin, and where
 * the tool is a read for him, or the one that the probe asks a write, nothing is recovered.
 */
function lay(settings: Fields, { defaults, own, tools }: Own): Fields {
  const decided = own.effect ?? defaults.effect
  const asked = probedTool(settings.recover)
  const askedIsWrite = asked !== undefined && (effectIn(tools[asked]) ?? defaults.effect) === 'write'
  const out = new Set([
    ...Object.keys(defaults),
    ...(decided === undefined ? [] : ['definitions']),
    ...(decided === 'read' || askedIsWrite ? ['recover'] : []),
  ])
  const laid = Object.entries(settings).filter(([setting]) => !out.has(setting))
  const all = Object.entries({ ...Object.fromEntries(laid), ...own })
  return Object.fromEntries(all.filter(([setting, value]) => !(value === null && setting in settings)))
}

const effectIn = (settings: unknown): unknown => (isRecord(settings) ? settings.effect : undefined)

function probedTool(recover: unknown): string | undefined {
  const probe = isRecord(recover) ? recover.probe : undefined
  return isRecord(probe) && typeof probe.tool === 'string' ? probe.tool : undefined
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
