/**
 * W3C trace context as it travels: in `_meta` of MCP requests, in headers of HTTP and of journal records. Works without
 * any tracing library: a caller's context is passed on whether or not spans are exported.
 */
export type Carrier = { readonly traceparent: string; readonly tracestate?: string | undefined }

type Fields = Readonly<Record<string, unknown>>

/** Version, trace id and parent id that are not all zero, flags. Later versions may be longer. */
const wellFormed = /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?$/
/** What the specification asks carriers to pass on. */
const maxStateLength = 512

/** Undefined where there is none, or one that no tracer could read. */
export function carrierOf(fields: Fields | undefined): Carrier | undefined {
  const traceparent = fields?.traceparent
  if (typeof traceparent !== 'string' || !wellFormed.test(traceparent)) return undefined
  const tracestate = fields?.tracestate
  const isPassedOn = typeof tracestate === 'string' && tracestate !== '' && tracestate.length <= maxStateLength
  return isPassedOn ? { traceparent, tracestate } : { traceparent }
}

/** `fields` with this context and no other. */
export function withCarrier<Of extends Fields>(fields: Of | undefined, carrier: Carrier): Of & Carrier {
  const { tracestate: _other, ...rest } = (fields ?? {}) as Fields
  return { ...rest, ...carrier } as unknown as Of & Carrier
}
