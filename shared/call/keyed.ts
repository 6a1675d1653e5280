/**
 * The request as the server sees it: for a server that honours keys, or whose records can carry a reference, with a key
 * of Holdfast's own. The key that the agent chose never leaves: it may hold what is none of the server's business, and two
 * agents may choose the same.
 */
import { createHmac } from 'node:crypto'
import type { Json } from './fingerprint.ts'
import type { RecoveryPlan } from './recovery.ts'

/** Where the server looks for the key. */
export type Carrier = { readonly meta: string } | { readonly header: string } | { readonly argument: string }

/** What a tool declares, as far as it concerns the request. */
export type Keying = RecoveryPlan & {
  readonly carrier?: Carrier | undefined
  /** Argument, or path into it with dots, that carries the key to where a probe can find it. */
  readonly inject?: string | undefined
}

type Change = {
  readonly tenant: string
  readonly keyspace: string
  readonly server: string
  readonly key: string
  readonly tool: string
}

/**
 * The same for every attempt of a round. Another round is another request, with inputs: a server that honours keys must
 * not take it for the one that it answered with a question. 35 characters, which fits into most reference fields.
 */
export function derivedKey(secret: string, { tenant, keyspace, server, key, tool }: Change, round: number): string {
  const named = ['derived key', tenant, keyspace, server, key, tool, ...(round > 1 ? [round] : [])]
  return `hf-${createHmac('sha256', secret).update(JSON.stringify(named)).digest('hex').slice(0, 32)}`
}

/** What is sent, in each attempt alike. */
export type KeyedRequest = {
  readonly argumentsJson: string
  readonly meta?: Readonly<Record<string, unknown>> | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** The derived key, and whether it stands where a probe looks for it. */
  readonly reference: string
  readonly injected: boolean
}

/**
 * @param keying undefined for a tool without recovery: the request is the caller's own
 * @param command arguments as JSON text; a value that the caller set at a path stays the caller's
 */
export function keyedRequest(
  keying: Keying | undefined,
  command: { readonly arguments: string; readonly meta?: Readonly<Record<string, unknown>> | undefined },
  reference: string,
): KeyedRequest {
  const { meta } = command
  const plain = { argumentsJson: command.arguments, meta, reference, injected: false }
  if (keying === undefined) return plain
  const { carrier, inject } = keying
  const paths = [
    ...(carrier && 'argument' in carrier ? [carrier.argument] : []),
    ...(inject === undefined ? [] : [inject]),
  ]
  const args = paths.length === 0 ? undefined : (JSON.parse(command.arguments) as Record<string, Json>)
  const set = new Set(args && [...new Set(paths)].filter(path => setAt(args, path.split('.'), reference)))
  return {
    ...plain,
    argumentsJson: set.size > 0 ? JSON.stringify(args) : command.arguments,
    injected: inject !== undefined && set.has(inject),
    ...(carrier && 'meta' in carrier && { meta: { ...meta, [carrier.meta]: reference } }),
    ...(carrier && 'header' in carrier && { headers: { [carrier.header.toLowerCase()]: reference } }),
  }
}

type Fields = Record<string, unknown>
const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Sets a value where there is none; false where the caller has one, or something that has no such field. */
function setAt(fields: Fields, [name = '', ...rest]: readonly string[], value: string): boolean {
  const has = Object.hasOwn(fields, name)
  if (rest.length === 0) {
    if (has) return false
    fields[name] = value
    return true
  }
  const inner = has ? fields[name] : {}
  if (!isFields(inner) || !setAt(inner, rest, value)) return false
  fields[name] = inner
  return true
}
