import type { Json, JsonObject } from '../../../shared/call/fingerprint.ts'

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** A member of the object itself, never one of its prototype. */
export const member = (object: JsonObject, name: string): Json | undefined =>
  Object.hasOwn(object, name) ? object[name] : undefined

/** The schemas that a schema applies to the very same value (not to its parts), with their JSON Pointers below it. */
export function inPlace(schema: JsonObject): { schema: Json; path: readonly string[] }[] {
  const single = ['not', 'if', 'then', 'else'].flatMap(keyword => {
    const value = member(schema, keyword)
    return value === undefined ? [] : [{ schema: value, path: [keyword] }]
  })
  const lists = ['allOf', 'anyOf', 'oneOf'].flatMap(keyword => {
    const value = member(schema, keyword)
    return Array.isArray(value)
      ? value.map((item: Json, index) => ({ schema: item, path: [keyword, String(index)] }))
      : []
  })
  const maps = ['dependentSchemas', 'dependencies'].flatMap(keyword => {
    const value = member(schema, keyword)
    if (!isObject(value)) return []
    return Object.entries(value)
      .filter(([, item]) => !Array.isArray(item))
      .map(([name, item]) => ({ schema: item, path: [keyword, name] }))
  })
  return [...single, ...lists, ...maps]
}

/** What a local `$ref` (`#`, `#/…`) points at, undefined when it is of another kind or points nowhere. */
export function resolve(root: JsonObject, ref: string): Json | undefined {
  const path = pointer(ref)
  let value: Json | undefined = path && root
  for (const step of path ?? []) {
    if (Array.isArray(value)) value = value[Number(step)]
    else value = isObject(value) ? member(value, step) : undefined
  }
  return value
}

/** The steps of a local `$ref`, undefined for every other kind. */
export function pointer(ref: string): string[] | undefined {
  if (ref === '#') return []
  if (!ref.startsWith('#/')) return undefined
  try {
    return decodeURIComponent(ref.slice(2))
      .split('/')
      .map(step => step.replaceAll('~1', '/').replaceAll('~0', '~'))
  } catch {
    return undefined
  }
}

/**
 * True when a tool's own input schema speaks of an argument of this name at its root: the argument is upstream's then,
 * and stays in the call. Looks through local `$ref`s and everything applied to the arguments as a whole.
 */
export function declares(root: JsonObject, name: string): boolean {
  const visited = new Set<Json>()
  const speaks = (schema: Json | undefined): boolean => {
    if (!isObject(schema) || visited.has(schema)) return false
    visited.add(schema)
    const ref = member(schema, '$ref')
    return (
      mentions(schema, name) ||
      inPlace(schema).some(part => speaks(part.schema)) ||
      (typeof ref === 'string' && speaks(resolve(root, ref)))
    )
  }
  return speaks(root)
}

function mentions(schema: JsonObject, name: string): boolean {
  const named = ['properties', 'dependencies', 'dependentRequired', 'dependentSchemas'].some(keyword => {
    const value = member(schema, keyword)
    if (!isObject(value)) return false
    return (
      Object.hasOwn(value, name) || Object.values(value).some(item => keyword !== 'properties' && lists(item, name))
    )
  })
  return named || lists(member(schema, 'required'), name)
}

const lists = (value: Json | undefined, name: string): boolean => Array.isArray(value) && value.includes(name)
