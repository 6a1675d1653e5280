import { hash } from 'node:crypto'
import canonicalize from 'canonicalize'

/** JSON values as parsed; arguments of a call are an object of them. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json }
export type JsonObject = { readonly [name: string]: Json }

const sha256 = (text: string): string => hash('sha256', text, 'hex')

/**
 * What makes two calls the same intended change: SHA-256 (hex) of the RFC 8785 JSON of upstream's tool name and the
 * arguments as upstream will get them, without Holdfast's own argument. Progress tokens, `requestState` and
 * `inputResponses` are not part of it: they name the conversation about the change, not the change.
 */
export function fingerprint(tool: string, args: JsonObject): string {
  return sha256(canonicalize({ tool, arguments: args }) as string)
}

/** Hash (hex) of one round's inputs: the same inputs attach to the round, others conflict. */
export function inputsHash(requestState: string | undefined, inputResponses: Json | undefined): string {
  return sha256(canonicalize({ requestState: requestState ?? null, inputResponses: inputResponses ?? null }) as string)
}

/** Hash (hex) of upstream's `requestState`; an absent one has a hash of its own. */
export function requestStateHash(requestState: string | undefined): string {
  return sha256(requestState === undefined ? 'absent' : `state:${requestState}`)
}

export type Scope = {
  readonly tenant: string
  readonly keyspace: string
  readonly server: string
  readonly key: string
}

/** The same change, whatever its key: what the twin guard compares and what an agent that lost its key asks by (hex). */
export function changeHash(change: Omit<Scope, 'key'> & { readonly fingerprint: string }): string {
  return sha256(JSON.stringify([change.tenant, change.keyspace, change.server, change.fingerprint]))
}

/** Where a key is unique, as one value (hex SHA-256): the unique index and the journal's partition key. */
export function scopeHash({ tenant, keyspace, server, key }: Scope): string {
  return sha256(JSON.stringify([tenant, keyspace, server, key]))
}
