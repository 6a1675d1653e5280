/** Clients to the servers behind Holdfast, watched: one measurement and one CLIENT span for each attempt. */
import type { Seen } from '../call/seen.ts'
import { carrierOf, withCarrier } from './carrier.ts'
import type { Metrics } from './metrics.ts'
import type { Tracing } from './tracing.ts'

type Request = {
  readonly server: string
  readonly tool: string
  readonly meta?: Readonly<Record<string, unknown>> | undefined
}
/** The part of `shared/upstream` that is watched. */
type Dispatching<Asked extends Request> = { dispatch(request: Asked): Promise<Seen> }

export type UpstreamsDeps = {
  readonly metrics: Metrics
  readonly tracing: Tracing | undefined
  readonly service: string
}

export function watchUpstreams<Asked extends Request, Watched extends Dispatching<Asked>>(
  { metrics, tracing, service }: UpstreamsDeps,
  upstreams: Watched & Dispatching<Asked>,
): Watched {
  metrics.declare('mcp_client_operation_duration_seconds')
  const dispatch = async (request: Asked): Promise<Seen> => {
    const { server, tool } = request
    const startedAt = performance.now()
    const span = tracing?.start({
      scope: service,
      name: `tools/call ${tool}`,
      kind: 'CLIENT',
      parent: carrierOf(request.meta),
      attributes: {
        'mcp.method.name': 'tools/call',
        'gen_ai.operation.name': 'execute_tool',
        'gen_ai.tool.name': tool,
        'holdfast.server': server,
      },
    })
    const sent = span === undefined ? request : { ...request, meta: withCarrier(request.meta, span.carrier) }
    const seen = await upstreams.dispatch(sent)
    const type = errorTypeOf(seen)
    // Of errors only our own words: a server's may hold data of its users, and traces go anywhere.
    const message = seen.kind === 'lost' || seen.kind === 'not_sent' ? seen.message : undefined
    span?.end(type === '' ? undefined : { type, message })
    metrics.observe(
      'mcp_client_operation_duration_seconds',
      { mcp_method_name: 'tools/call', service, server, error_type: type },
      (performance.now() - startedAt) / 1000,
    )
    return seen
  }
  return { ...upstreams, dispatch }
}

/** `error.type` of the conventions: the class of what went wrong, never its words. Codes of servers have no bounds. */
function errorTypeOf(seen: Seen): string {
  switch (seen.kind) {
    case 'result':
      return seen.isError ? 'tool_error' : ''
    case 'input_required':
      return ''
    case 'error':
      return 'jsonrpc_error'
    case 'http':
      return String(seen.status)
    case 'not_sent':
    case 'lost':
      return `${seen.kind}:${seen.why}`
  }
}
