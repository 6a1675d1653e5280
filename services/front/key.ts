/**
 * Finds the idempotency key of a call (design section 5, carriers). Holdfast's own carriers never reach the upstream
 * server; an argument that upstream itself declares stays where it is and is read as the key too.
 */
import type { Json, JsonObject } from '../../shared/call/fingerprint.ts'
import { isValidKey, maxKeyLength } from '../../shared/call/key.ts'
import { declares, isObject, member } from './schema/declares.ts'
import { keyArgument } from './schema/inject.ts'

export const keyMeta = 'dev.holdfast/idempotency-key'
const keyParam = 'idempotencyKey'
const keyHeader = 'idempotency-key'

/** What carried the key; the first of this order when several agree. */
export type KeySource = 'meta' | 'param' | 'header' | 'argument' | 'upstream_argument'

export type KeyInput = {
  /** `params` of the request as in its raw body: SDKs drop what they do not know. */
  readonly params: JsonObject
  /** Lower-case names, as Node gives them. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
  readonly args: JsonObject
  /** The tool's own schema, before Holdfast adds anything. */
  readonly inputSchema: JsonObject
  /** The tool's `key: { argument: 'a.b' }`. */
  readonly keySetting?: { readonly argument: string } | undefined
  /** The request is one of a JSON-RPC batch: the HTTP header is not its own. */
  readonly batch: boolean
}

export type KeyFound = {
  readonly ok: true
  readonly key: string
  readonly source: KeySource
  /** The arguments as upstream gets them. */
  readonly args: JsonObject
  /** `params._meta` without the key. */
  readonly meta: JsonObject | undefined
}
export type KeyRefused = {
  readonly ok: false
  readonly code: 'idempotency_key_required' | 'idempotency_key_invalid' | 'idempotency_key_disagrees'
  readonly message: string
}

/** `key` is undefined where a carrier is present but holds no string that could be one. */
type Carried = { readonly source: KeySource; readonly place: string; readonly key: string | undefined }

/**
 * @param input the call as it came
 * @returns the one key and what is left of arguments and `_meta`, or a refusal with a message that names the places
 */
export function keyOf(input: KeyInput): KeyFound | KeyRefused {
  const ownArgument = declares(input.inputSchema, keyArgument)
  const carried = carriersOf(input, ownArgument)
  const unusable = carried.find(({ key }) => key === undefined || !isValidKey(key))
  if (unusable !== undefined) return invalid(unusable)
  const [first, ...others] = carried as (Carried & { key: string })[]
  if (first === undefined) return missing(input)
  const other = others.find(({ key }) => key !== first.key)
  if (other !== undefined) return disagreeing(first, other)
  const args = ownArgument ? input.args : without(input.args, keyArgument)
  return { ok: true, key: first.key, source: first.source, args, meta: metaOf(input) }
}

function carriersOf({ params, headers, args, keySetting, batch }: KeyInput, ownArgument: boolean): Carried[] {
  const meta = isObject(params._meta) ? params._meta : {}
  return [
    text('meta', `_meta["${keyMeta}"]`, member(meta, keyMeta)),
    text('param', `params.${keyParam}`, member(params, keyParam)),
    batch ? undefined : header(headers[keyHeader]),
    ownArgument
      ? own(keyArgument, member(args, keyArgument))
      : text('argument', argumentPlace, member(args, keyArgument)),
    keySetting && own(keySetting.argument, valueAt(args, keySetting.argument)),
  ].filter(carrier => carrier !== undefined)
}

const argumentPlace = `the argument ${keyArgument}`

function text(source: KeySource, place: string, value: Json | undefined): Carried | undefined {
  if (value === undefined) return undefined
  return { source, place, key: typeof value === 'string' ? value : undefined }
}

/** Upstream's own argument has upstream's own rules: what is no text and no number simply names nothing. */
function own(path: string, value: Json | undefined): Carried | undefined {
  const usable = (typeof value === 'string' && value !== '') || typeof value === 'number'
  return usable ? { source: 'upstream_argument', place: `the argument ${path}`, key: String(value) } : undefined
}

/**
 * The header is a structured-field string (RFC 8941) in the IETF draft, bare in most clients. A bare comma would be a
 * second header joined by Node; parameters behind the string would be silently lost: both are refused.
 */
function header(value: string | readonly string[] | undefined): Carried | undefined {
  if (value === undefined) return undefined
  const raw = (typeof value === 'string' ? value : value.join(', ')).trim()
  const quoted = /^"((?:[^"\\]|\\["\\])*)"$/.exec(raw)?.[1]
  const bare = /[",]/.test(raw) ? undefined : raw
  return { source: 'header', place: 'the header Idempotency-Key', key: quoted?.replace(/\\(["\\])/g, '$1') ?? bare }
}

function valueAt(args: JsonObject, path: string): Json | undefined {
  let value: Json | undefined = args
  for (const name of path.split('.')) value = isObject(value) ? member(value, name) : undefined
  return value
}

function without(object: JsonObject, name: string): JsonObject {
  if (!Object.hasOwn(object, name)) return object
  const { [name]: _removed, ...rest } = object
  return rest
}

function metaOf({ params }: KeyInput): JsonObject | undefined {
  if (!isObject(params._meta)) return undefined
  const meta = without(params._meta, keyMeta)
  return Object.keys(meta).length > 0 ? meta : undefined
}

const invalid = ({ place }: Carried): KeyRefused => ({
  ok: false,
  code: 'idempotency_key_invalid',
  message: `The key in ${place} must be a string of 1 to ${maxKeyLength} printable ASCII characters.`,
})

const disagreeing = (first: Carried, other: Carried): KeyRefused => ({
  ok: false,
  code: 'idempotency_key_disagrees',
  message: `The key in ${first.place} is not the one in ${other.place}. Send one key.`,
})

const missing = ({ batch, headers }: KeyInput): KeyRefused => {
  const ignored = batch && headers[keyHeader] !== undefined
  return {
    ok: false,
    code: 'idempotency_key_required',
    message: `This tool changes something: name the intended change in ${argumentPlace}.${ignored ? ' The header Idempotency-Key is not read in a batch.' : ''}`,
  }
}
