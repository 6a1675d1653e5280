/**
 * Adds Holdfast's argument to a tool's input schema.
 *
 * The promise, held by `test/unit/schema.test.ts`: for all arguments A without the name and every key K,
 * A fits the schema as it was <=> A with K fits the schema as it is returned; and A without K does not. Both ways matter:
 * what was valid stays valid, and nothing else becomes valid. Each rewriting below keeps that equivalence by itself,
 * so it holds through `not`, `oneOf` and `if` too. Where it cannot be kept the schema is left alone, with the reason.
 */
import { isDeepStrictEqual } from 'node:util'
import type { Json, JsonObject } from '../../../shared/call/fingerprint.ts'
import { declares, inPlace, isObject, member, pointer, resolve } from './declares.ts'

/** Name of the argument that carries the key. */
export const keyArgument = 'idempotency_key'

export type Injected =
  | { readonly injected: true; readonly schema: JsonObject }
  /** `reason` is a sentence for the operator (`holdfast check`). */
  | { readonly injected: false; readonly reason: string }

/**
 * @param inputSchema a tool's own input schema, any draft; never changed
 * @param input.description what the model reads about the argument
 * @returns the schema with a required string `idempotency_key`, or why it is left alone
 */
export function injectKey(inputSchema: JsonObject, { description }: { description: string }): Injected {
  const reason = reasonToLeave(inputSchema)
  if (reason !== undefined) return { injected: false, reason }
  const opening: Opening = { root: inputSchema, home: homeOf(inputSchema), copies: new Map(), problems: [] }
  const opened = open(opening, inputSchema)
  const schema = { ...opened, ...declaration(opened, description), ...definitions(opening) }
  const problem = opening.problems[0] ?? brokenReference(inputSchema, schema)
  return problem === undefined ? { injected: true, schema } : { injected: false, reason: problem }
}

function reasonToLeave(schema: JsonObject): string | undefined {
  const type = member(schema, 'type')
  if (type !== undefined && type !== 'object' && !(Array.isArray(type) && type.includes('object'))) {
    return 'its input schema does not describe an object'
  }
  if (declares(schema, keyArgument)) return `it has an argument ${keyArgument} of its own, which is read as the key`
  const required = member(schema, 'required')
  if (required !== undefined && !Array.isArray(required)) return 'the "required" of its input schema is not a list'
  const properties = member(schema, 'properties')
  if (properties !== undefined && !isObject(properties)) return 'the "properties" of its input schema are not an object'
  return reasonFromReferences(schema)
}

/** References are followed by position only; what changes their meaning is left alone. */
function reasonFromReferences(root: JsonObject): string | undefined {
  for (const { schema, isRoot } of walk(root)) {
    for (const keyword of ['$dynamicRef', '$recursiveRef', '$dynamicAnchor', '$recursiveAnchor']) {
      if (Object.hasOwn(schema, keyword)) return `its input schema uses ${keyword}`
    }
    if (!isRoot && (typeof schema.$id === 'string' || typeof schema.id === 'string')) {
      return 'a part of its input schema has an identifier of its own'
    }
    const ref = schema.$ref
    if (typeof ref === 'string' && resolve(root, ref) === undefined) return `its input schema refers to ${ref}`
  }
  return undefined
}

type Opening = {
  readonly root: JsonObject
  /** Where copies of referred schemas are put. */
  readonly home: '$defs' | 'definitions'
  /** By the reference that is followed: other places may refer to the same schema, without a key. */
  readonly copies: Map<string, { name: string; schema: Json }>
  readonly problems: string[]
}

const homeOf = (root: JsonObject): Opening['home'] =>
  Object.hasOwn(root, 'definitions') && !Object.hasOwn(root, '$defs') ? 'definitions' : '$defs'

/** A schema of the arguments as a whole, so that it says of arguments with the key what it said without. */
function open(opening: Opening, schema: JsonObject): JsonObject {
  for (const keyword of ['const', 'enum']) {
    if (Object.hasOwn(schema, keyword)) opening.problems.push(`its input schema lists whole values with "${keyword}"`)
  }
  const result: { [name: string]: Json } = { ...schema }
  for (const { schema: part, path } of inPlace(schema)) {
    if (isObject(part)) setIn(result, path, open(opening, part))
  }
  if (typeof schema.$ref === 'string') result.$ref = openReference(opening, schema.$ref)
  for (const keyword of ['maxProperties', 'minProperties']) {
    const count = member(schema, keyword)
    if (typeof count === 'number' && !(keyword === 'minProperties' && count <= 0)) result[keyword] = count + 1
  }
  if (!isOpen(member(schema, 'propertyNames'))) {
    result.propertyNames = { anyOf: [{ enum: [keyArgument] }, schema.propertyNames as Json] }
  }
  if (isObject(schema.patternProperties)) result.patternProperties = openPatterns(opening, schema.patternProperties)
  if (!isOpen(member(schema, 'additionalProperties')) || !isOpen(member(schema, 'unevaluatedProperties'))) {
    const properties = isObject(schema.properties) ? schema.properties : {}
    result.properties = { ...properties, [keyArgument]: { type: 'string' } }
  }
  return result
}

const isOpen = (schema: Json | undefined): boolean =>
  schema === undefined || schema === true || (isObject(schema) && Object.keys(schema).length === 0)

/** The copy is registered before it is opened: schemas may refer to themselves. */
function openReference(opening: Opening, ref: string): string {
  const target = resolve(opening.root, ref)
  if (!isObject(target)) return ref
  const copy = opening.copies.get(ref) ?? { name: freeName(opening, ref), schema: target }
  if (!opening.copies.has(ref)) {
    opening.copies.set(ref, copy)
    copy.schema = open(opening, target)
  }
  return `#/${opening.home}/${copy.name}`
}

function freeName({ root, home, copies }: Opening, ref: string): string {
  const taken = new Set([...copies.values()].map(copy => copy.name).concat(Object.keys(member(root, home) ?? {})))
  const stem = (pointer(ref)?.at(-1) ?? 'root').replace(/[^A-Za-z0-9_]/g, '_')
  let name = `${stem}_with_key`
  for (let count = 2; taken.has(name); count += 1) name = `${stem}_with_key_${count}`
  return name
}

/** Patterns that match the argument's name are narrowed to every other name; what they allow stays as it is. */
function openPatterns(opening: Opening, patterns: JsonObject): JsonObject {
  const entries = Object.entries(patterns).map(([pattern, schema]) => {
    const matches = matchesKey(pattern)
    if (matches === undefined) opening.problems.push(`its input schema has a pattern that cannot be read: ${pattern}`)
    if (!matches || isOpen(schema)) return [pattern, schema] as const
    return [`^(?!${keyArgument}$)(?=[\\s\\S]*(?:${pattern}))`, schema] as const
  })
  return Object.fromEntries(entries)
}

function matchesKey(pattern: string): boolean | undefined {
  try {
    return new RegExp(pattern, 'u').test(keyArgument)
  } catch {
    return undefined
  }
}

function declaration(opened: JsonObject, description: string): JsonObject {
  const properties = isObject(opened.properties) ? opened.properties : {}
  const required = Array.isArray(opened.required) ? opened.required : []
  return {
    properties: { ...properties, [keyArgument]: { type: 'string', description } },
    required: [...required, keyArgument],
  }
}

function definitions({ root, home, copies }: Opening): JsonObject {
  if (copies.size === 0) return {}
  const own = member(root, home)
  const copied = [...copies.values()].map(copy => [copy.name, copy.schema] as const)
  return { [home]: { ...(isObject(own) ? own : {}), ...Object.fromEntries(copied) } }
}

/** Every reference of the schema as it was must find what it found: one that leads to an opened part no longer does. */
function brokenReference(before: JsonObject, after: JsonObject): string | undefined {
  for (const { schema } of walk(before)) {
    const ref = schema.$ref
    if (typeof ref !== 'string' || isDeepStrictEqual(resolve(before, ref), resolve(after, ref))) continue
    return `its input schema refers to its own root or to a part that would change (${ref})`
  }
  return undefined
}

/** Every object of the schema. Data in `default` or `const` is taken for schema too: then more is left alone, not less. */
function* walk(root: JsonObject): Generator<{ schema: JsonObject; isRoot: boolean }> {
  const pending: Json[] = [root]
  for (let value = pending.pop(); value !== undefined; value = pending.pop()) {
    if (isObject(value)) yield { schema: value, isRoot: value === root }
    if (typeof value === 'object' && value !== null) pending.push(...(Object.values(value) as Json[]))
  }
}

/** Sets a part, copying the lists and maps on the way: the input is never changed. */
function setIn(target: { [name: string]: Json }, path: readonly string[], value: Json): void {
  const [first, second] = path as [string, string?]
  if (second === undefined) {
    target[first] = value
    return
  }
  const container = target[first] as Json[] | JsonObject
  target[first] = Array.isArray(container) ? container.with(Number(second), value) : { ...container, [second]: value }
}
