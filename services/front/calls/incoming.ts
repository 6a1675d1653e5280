import type { Caller } from '../../../shared/call/command.ts'
import type { Identity } from '../deps.ts'
import type { LosslessResult } from '../../../shared/json/lossless.ts'
import type { Json } from '../../../shared/call/fingerprint.ts'
import { isObject } from '../schema/declares.ts'
import type { RequestId } from './cancels.ts'

/** One `tools/call` as it arrived, before anything of it is believed. */
export type Incoming = {
  readonly requestId: RequestId
  /** The `params` member as parsed; the SDKs drop what they do not know, so it is read from the body. */
  readonly params: { readonly [name: string]: Json }
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly batch: boolean
  readonly era: 'legacy' | 'modern'
  /** The server of the route `/mcp/{server}`; undefined on `/mcp`. */
  readonly route: string | undefined
  readonly identity: Identity
  readonly session: { readonly id: string; readonly client: string | undefined } | undefined
  readonly origin: string | undefined
  /** Whether the whole body survives a round trip; computed once for a body. */
  readonly lossless: () => LosslessResult
  /** Shows progress to a caller that asked for it; does nothing for others. */
  readonly progress: (message: string) => void
}

const conversationMeta = 'dev.holdfast/conversation'
const onBehalfOfMeta = 'dev.holdfast/on-behalf-of'
const parentMeta = 'dev.holdfast/parent'
const clientInfoMeta = 'io.modelcontextprotocol/clientInfo'
const maxNameLength = 255

type Fields = { readonly [name: string]: Json }

export const metaOf = ({ params }: Pick<Incoming, 'params'>): Fields => (isObject(params._meta) ? params._meta : {})

const shortText = (value: unknown): string | undefined =>
  typeof value === 'string' && value !== '' && value.length <= maxNameLength ? storable(value) : undefined

/** These names are for people to read: what PostgreSQL cannot hold (NUL, half surrogates) must not cost anybody the call. */
const storable = (text: string) => text.replaceAll(/\0|\p{Surrogate}/gu, '\ufffd')

/** Who calls, as far as the request says. */
export function callerOf(incoming: Incoming): Caller {
  const meta = metaOf(incoming)
  const { identity, session, origin } = incoming
  const client = clientOf(meta[clientInfoMeta]) ?? session?.client
  const conversation = shortText(meta[conversationMeta]) ?? session?.id
  const onBehalfOf = shortText(meta[onBehalfOfMeta])
  const trace = shortText(meta.traceparent)
  return {
    agent: identity.agent,
    credential: identity.credential,
    ...(client !== undefined && { client }),
    ...(origin !== undefined && { origin }),
    ...(session !== undefined && { session: session.id }),
    ...(conversation !== undefined && { conversation }),
    ...(onBehalfOf !== undefined && { onBehalfOf }),
    ...(trace !== undefined && { trace }),
  }
}

/** The call that this one follows from, as the agent says. */
export const parentOf = (incoming: Incoming): string | undefined => shortText(metaOf(incoming)[parentMeta])

/** `name/version` of a client's own description. */
export function clientOf(info: unknown): string | undefined {
  if (!isObject(info)) return undefined
  const name = shortText(info.name)
  const version = shortText(info.version)
  return name === undefined ? undefined : version === undefined ? name : `${name}/${version}`
}

/**
 * `_meta` for upstream: what the caller sent, without what speaks of this hop (protocol, progress) or to Holdfast.
 * Undefined when nothing is left.
 */
export function forwardedMeta(incoming: Incoming): Fields | undefined {
  const kept = Object.entries(metaOf(incoming)).filter(
    ([name]) =>
      name !== 'progressToken' && !name.startsWith('dev.holdfast/') && !name.startsWith('io.modelcontextprotocol/'),
  )
  return kept.length === 0 ? undefined : Object.fromEntries(kept)
}

/** The answers to upstream's question, where the call carries any. */
export function inputsOf({
  params,
}: Pick<Incoming, 'params'>): { requestState?: string; inputResponses?: Json } | undefined {
  const { requestState, inputResponses } = params
  if (requestState === undefined && inputResponses === undefined) return undefined
  return {
    ...(typeof requestState === 'string' && { requestState }),
    ...(inputResponses !== undefined && { inputResponses }),
  }
}

const capabilitiesMeta = 'io.modelcontextprotocol/clientCapabilities'
const capabilityOf: Readonly<Record<string, string>> = {
  'elicitation/create': 'elicitation',
  'sampling/createMessage': 'sampling',
  'roots/list': 'roots',
}

/**
 * Whether this client said that it can answer everything an `input_required` result asks. Legacy clients cannot be asked.
 * @param rawQuestion JSON text of the result
 */
export function canAnswer(incoming: Pick<Incoming, 'era' | 'params'>, rawQuestion: string): boolean {
  if (incoming.era === 'legacy') return false
  const declared = metaOf(incoming)[capabilitiesMeta]
  const { inputRequests } = JSON.parse(rawQuestion) as { inputRequests?: Json }
  return Object.values(isObject(inputRequests) ? inputRequests : {}).every(request => isDeclared(declared, request))
}

function isDeclared(declared: Json | undefined, request: Json): boolean {
  if (!isObject(declared) || !isObject(request)) return false
  const capability = typeof request.method === 'string' ? declared[capabilityOf[request.method] ?? ''] : undefined
  if (!isObject(capability)) return false
  return !(isObject(request.params) && request.params.mode === 'url') || capability.url !== undefined
}
