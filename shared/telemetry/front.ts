/** What front tells of its work: calls with their answers, HTTP requests, and who waits. */
import type { Journal } from '../journal/port.ts'
import { type Carrier, carrierOf, withCarrier } from './carrier.ts'
import type { Exposition } from './exposition.ts'
import { watchJournal } from './journal.ts'
import type { Metrics } from './metrics.ts'
import type { Span, Tracing } from './tracing.ts'
import { watchUpstreams } from './upstreams.ts'

/** What a caller was told, in words that are safe as labels. */
export type Told = {
  readonly server: string | undefined
  /** The server's own name of the tool; undefined for one that no server lists. */
  readonly tool: string | undefined
  readonly effect: string | undefined
  readonly state: string
  readonly code?: string | undefined
}

/** The part of a call that is watched. */
type Call = {
  readonly requestId: string | number
  readonly params: Readonly<Record<string, unknown>>
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
  readonly session: { readonly id: string } | undefined
}

export type FrontTelemetry = {
  journal<Of extends Journal>(journal: Of): Of
  upstreams: <Of>(upstreams: Of) => Of
  /**
   * Watches one call. What is handed on carries the trace context in `_meta`, wherever it came from, so that everything
   * behind it continues the trace.
   */
  call<Incoming extends Call, Answer extends { readonly told?: Told | undefined }>(
    incoming: Incoming,
    handle: (incoming: Incoming) => Promise<Answer>,
  ): Promise<Answer>
  http(request: { method: string; route: string; status: number; durationMs: number }): void
  /** Callers waiting for a reply now. */
  waiting(read: () => number): void
  /** Answers `/metrics`; undefined: it is not served. */
  readonly exposition: Exposition | undefined
}

type Deps = {
  readonly metrics: Metrics
  readonly tracing: Tracing | undefined
  readonly exposition: Exposition
  readonly now: () => number
}

const service = 'front'
/** The convention's name for what is not in the known set. */
const other = '_OTHER'

export function createFrontTelemetry(deps: Deps): FrontTelemetry {
  const { metrics, tracing, now } = deps
  const sessions = createSessions(now)
  let inFlight = 0
  metrics.declare('mcp_server_operation_duration_seconds', 'holdfast_calls_total', 'holdfast_calls_not_accepted_total')
  metrics.declare('http_server_request_duration_seconds')
  metrics.onScrape(() => {
    metrics.set('holdfast_front_calls_in_flight', {}, inFlight)
    metrics.set('holdfast_front_sessions', {}, sessions.count())
  })

  return {
    journal: journal => watchJournal({ metrics, tracing, service }, journal),
    upstreams: upstreams => watchUpstreams({ metrics, tracing, service }, upstreams as never) as typeof upstreams,
    async call(incoming, handle) {
      if (incoming.session !== undefined) sessions.seen(incoming.session.id)
      inFlight += 1
      const startedAt = now()
      const parent = contextOf(incoming)
      const span = tracing === undefined ? undefined : startSpan(tracing, incoming, parent)
      let told: Told | undefined
      try {
        const answer = await handle(carrying(incoming, span?.carrier ?? parent))
        told = answer.told
        return answer
      } finally {
        inFlight -= 1
        if (span !== undefined) endSpan(span, told)
        measure(metrics, told, (now() - startedAt) / 1000)
      }
    },
    http({ method, route, status, durationMs }) {
      metrics.observe(
        'http_server_request_duration_seconds',
        { http_request_method: method, http_route: route, http_response_status_code: String(status) },
        durationMs / 1000,
      )
    },
    waiting(read) {
      metrics.onScrape(() => metrics.set('holdfast_front_callers_waiting', {}, read()))
    },
    exposition: deps.exposition,
  }
}

const metaOf = ({ params }: Pick<Call, 'params'>) =>
  typeof params._meta === 'object' ? (params._meta as Record<string, unknown> | null) : null

/** MCP's own carrier is `_meta`; a caller that knows nothing of it may have set the HTTP header. */
const contextOf = (incoming: Call): Carrier | undefined =>
  carrierOf(metaOf(incoming) ?? undefined) ?? carrierOf(incoming.headers)

function carrying<Incoming extends Call>(incoming: Incoming, carrier: Carrier | undefined): Incoming {
  const meta = metaOf(incoming)
  if (carrier === undefined || meta?.traceparent === carrier.traceparent) return incoming
  return { ...incoming, params: { ...incoming.params, _meta: withCarrier(meta ?? {}, carrier) } }
}

function startSpan(tracing: Tracing, { requestId, params, session }: Call, parent: Carrier | undefined): Span {
  return tracing.start({
    scope: service,
    name: 'tools/call',
    kind: 'SERVER',
    parent,
    attributes: {
      'mcp.method.name': 'tools/call',
      'gen_ai.operation.name': 'execute_tool',
      'jsonrpc.request.id': String(requestId),
      'network.transport': 'tcp',
      'network.protocol.name': 'http',
      ...(typeof params.name === 'string' && { 'gen_ai.tool.name': params.name.slice(0, 128) }),
      ...(session !== undefined && { 'mcp.session.id': session.id }),
    },
  })
}

/** Neither a success nor a question back, nor work that goes on. */
const errorOf = ({ state, code }: Told): { type: string } | undefined => {
  if (['succeeded', 'awaiting_input', 'pending'].includes(state)) return undefined
  return { type: state === 'failed' ? 'tool_error' : (code ?? state) }
}

function endSpan(span: Span, told: Told | undefined): void {
  if (told === undefined) return span.end({ type: 'internal' })
  const { server, tool, effect, state } = told
  // Not before it is known to be one: what a client typed has no bounds, and names of spans should have some.
  if (tool !== undefined) span.rename(`tools/call ${tool}`)
  span.set({
    'holdfast.state': state,
    ...(server !== undefined && { 'holdfast.server': server }),
    ...(effect !== undefined && { 'holdfast.effect': effect }),
  })
  span.end(errorOf(told))
}

function measure(metrics: Metrics, told: Told | undefined, seconds: number): void {
  const { server = other, tool = other, effect = other, state = 'internal', code } = told ?? {}
  metrics.count('holdfast_calls_total', { server, tool, effect, state })
  metrics.observe(
    'mcp_server_operation_duration_seconds',
    { mcp_method_name: 'tools/call', server, effect, state },
    seconds,
  )
  if (state === 'not_accepted') metrics.count('holdfast_calls_not_accepted_total', { server, code: code ?? other })
}

const activeMs = 5 * 60_000
/** Beyond this many the oldest are forgotten: the number is then too low, and the memory bounded. */
const mostSessions = 100_000

/** A session holds nothing at a front and is never known to have ended: it counts while it is used. */
function createSessions(now: () => number) {
  const lastUse = new Map<string, number>()
  return {
    seen(id: string): void {
      // Put last again: the first one in the map is always the one used longest ago.
      lastUse.delete(id)
      lastUse.set(id, now())
      if (lastUse.size > mostSessions) lastUse.delete(lastUse.keys().next().value as string)
    },
    count(): number {
      for (const [id, at] of lastUse) {
        if (now() - at < activeMs) break
        lastUse.delete(id)
      }
      return lastUse.size
    },
  }
}
