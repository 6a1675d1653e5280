/** Which tool a name on a route means, and how tools are listed to an agent. Pure, over the catalogue's lists. */
import type { JsonObject } from '../../../shared/call/fingerprint.ts'
import type { Effect } from '../../../shared/call/effect.ts'
import { namesOfAll, namesOfServer } from '../names.ts'
import { injectKey } from '../schema/inject.ts'
import { withNotice } from '../schema/notice.ts'
import type { FrontSettings } from '../settings.ts'
import { keyDescription } from '../words.ts'
import type { Catalogue, KnownTool } from './catalogue.ts'

export type Directory = {
  /** The tool of a name on a route; `route` undefined is `/mcp`. */
  resolve(route: string | undefined, name: string): KnownTool | undefined
  /** The tools an agent may call, sorted by name, as they are listed to it. */
  list(route: string | undefined, agent: string): readonly Listed[]
}
export type Listed = { readonly name: string; readonly [field: string]: unknown }

/** @param catalogue its lists are re-read when their version changes */
export function createDirectory({
  catalogue,
  settings,
}: {
  catalogue: Pick<Catalogue, 'tools' | 'version'>
  settings: FrontSettings
}): Directory {
  let version = -1
  let tables = new Map<string | undefined, Map<string, KnownTool>>()

  const tableOf = (route: string | undefined): Map<string, KnownTool> => {
    if (version !== catalogue.version()) {
      version = catalogue.version()
      tables = new Map()
    }
    const table = tables.get(route) ?? toolsByName(catalogue.tools(), route)
    tables.set(route, table)
    return table
  }

  return {
    resolve: (route, name) => tableOf(route).get(name),
    list: (route, agent) =>
      [...tableOf(route)]
        .filter(([, { server, name }]) => settings.authorize(agent, server, name).verdict === 'allow')
        .map(([exposed, known]) => listed(exposed, known, settings, agent)),
  }
}

function listed(
  exposed: string,
  { server, name, tool, hash }: KnownTool,
  settings: FrontSettings,
  agent: string,
): Listed {
  const { effect } = settings.effect(server, name, tool.annotations, hash)
  const forModel = effect === 'write' && !settings.hostNamesKeys(agent)
  const injected = forModel ? injectedSchema(tool.inputSchema) : undefined
  const roomy = forModel ? withNotice(tool.outputSchema) : undefined
  return {
    ...tool,
    name: exposed,
    ...(injected !== undefined && { inputSchema: injected }),
    ...(roomy !== undefined && { outputSchema: roomy }),
    annotations: { ...(tool.annotations as object | undefined), ...effectiveHints(effect) },
  }
}

/** A write repeated with its key has no further effect: that is what Holdfast is for. */
const effectiveHints = (effect: Effect) =>
  effect === 'read' ? { readOnlyHint: true } : { readOnlyHint: false, idempotentHint: true }

const injectedSchemas = new WeakMap<object, JsonObject | undefined>()

/** Undefined where the schema cannot take the argument: the key then comes by another carrier. */
function injectedSchema(schema: unknown): JsonObject | undefined {
  if (typeof schema !== 'object' || schema === null) return undefined
  if (!injectedSchemas.has(schema)) {
    const result = injectKey(schema as JsonObject, { description: keyDescription })
    injectedSchemas.set(schema, result.injected ? result.schema : undefined)
  }
  return injectedSchemas.get(schema)
}

/** The tools of a route by their exposed names, sorted by name. */
function toolsByName(tools: readonly KnownTool[], route: string | undefined): Map<string, KnownTool> {
  const wanted = route === undefined ? tools : tools.filter(({ server }) => server === route)
  const table =
    route === undefined
      ? namesOfAll(wanted.map(({ server, name }) => ({ server, tool: name })))
      : namesOfServer(
          route,
          wanted.map(({ name }) => name),
        )
  const named = wanted.map(known => [table.nameOf({ server: known.server, tool: known.name }), known] as const)
  const byName = new Map(named.flatMap(([name, known]) => (name === undefined ? [] : [[name, known] as const])))
  return new Map(
    table.entries.flatMap(({ name }) => (byName.has(name) ? [[name, byName.get(name) as KnownTool] as const] : [])),
  )
}
