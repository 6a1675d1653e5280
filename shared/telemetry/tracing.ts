/**
 * Spans, exported by OTLP over HTTP when an endpoint is configured. The libraries are loaded only then. Finished spans wait
 * in a bounded queue; a collector that is slow or away costs spans, never a call.
 */
import type { Attributes, Context, Link, Span as OtelSpan, SpanContext, Tracer } from '@opentelemetry/api'
import type { SpanExporter } from '@opentelemetry/sdk-trace-base'
import { type Carrier, carrierOf } from './carrier.ts'

export type SpanKind = 'SERVER' | 'CLIENT' | 'PRODUCER' | 'CONSUMER'

export type SpanInput = {
  /** The service whose work this is. */
  readonly scope: string
  readonly name: string
  readonly kind: SpanKind
  readonly parent: Carrier | undefined
  readonly attributes: Attributes
}

export type Span = {
  /** What to hand to whoever continues this trace. */
  readonly carrier: Carrier
  set(attributes: Attributes): void
  rename(name: string): void
  link(to: Carrier): void
  /** `type` as in the attribute `error.type`; undefined: it went well. */
  end(error?: { readonly type: string; readonly message?: string | undefined }): void
}

export type Tracing = {
  start(input: SpanInput): Span
  /** Exports what waits, for a short time, and ends. */
  stop(): Promise<void>
}

type Variables = Readonly<Record<string, string | undefined>>
type Deps = {
  readonly variables: Variables
  readonly version: string
  /** Told of every batch of spans that the collector did not take. */
  readonly onFailure: (error: Error | undefined) => void
}

/** How long a stop waits for the collector. */
const flushMs = 2_000

/** Whether the standard variables ask for spans to be exported. */
export const exportsTraces = (variables: Variables): boolean => {
  const endpoint = variables.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT || variables.OTEL_EXPORTER_OTLP_ENDPOINT
  const isOff = variables.OTEL_SDK_DISABLED?.toLowerCase() === 'true' || variables.OTEL_TRACES_EXPORTER === 'none'
  return Boolean(endpoint) && !isOff
}

/** Undefined when nothing is to be exported. */
export async function startTracing({ variables, version, onFailure }: Deps): Promise<Tracing | undefined> {
  if (!exportsTraces(variables)) return undefined
  const [api, core, resources, sdk, otlp] = await Promise.all([
    import('@opentelemetry/api'),
    import('@opentelemetry/core'),
    import('@opentelemetry/resources'),
    import('@opentelemetry/sdk-trace-base'),
    import('@opentelemetry/exporter-trace-otlp-http'),
  ])
  const told = resources.detectResources({ detectors: [resources.envDetector] })
  const own = resources.resourceFromAttributes({ 'service.name': 'holdfast', 'service.version': version })
  const provider = new sdk.BasicTracerProvider({
    resource: own.merge(told),
    spanProcessors: [new sdk.BatchSpanProcessor(telling(new otlp.OTLPTraceExporter(), onFailure))],
  })
  const tracers = new Map<string, Tracer>()
  const tracerOf = (scope: string) => {
    let tracer = tracers.get(scope)
    if (tracer === undefined) tracers.set(scope, (tracer = provider.getTracer(`holdfast/${scope}`, version)))
    return tracer
  }
  const spanContextOf = ({ traceparent, tracestate }: Carrier): SpanContext | undefined => {
    const context = core.parseTraceParent(traceparent)
    if (context === null) return undefined
    const state = tracestate === undefined ? {} : { traceState: new core.TraceState(tracestate) }
    return { ...context, isRemote: true, ...state }
  }
  const contextOf = (carrier: Carrier | undefined): Context => {
    const parent = carrier && spanContextOf(carrier)
    return parent === undefined ? api.ROOT_CONTEXT : api.trace.setSpanContext(api.ROOT_CONTEXT, parent)
  }

  return {
    start({ scope, name, kind, parent, attributes }) {
      const span = tracerOf(scope).startSpan(name, { kind: api.SpanKind[kind], attributes }, contextOf(parent))
      return {
        carrier: carrierFrom(span),
        set: more => void span.setAttributes(more),
        rename: better => void span.updateName(better),
        link(to) {
          const context = spanContextOf(to)
          if (context !== undefined) span.addLink({ context } satisfies Link)
        },
        end(error) {
          if (error !== undefined) {
            span.setAttribute('error.type', error.type)
            const { message } = error
            span.setStatus({ code: api.SpanStatusCode.ERROR, ...(message !== undefined && { message }) })
          }
          span.end()
        },
      }
    },
    async stop() {
      let timer: NodeJS.Timeout | undefined
      const late = new Promise<void>(resolve => (timer = setTimeout(resolve, flushMs)))
      await Promise.race([provider.shutdown().catch(onFailure), late])
      clearTimeout(timer)
    },
  }
}

function carrierFrom(span: OtelSpan): Carrier {
  const { traceId, spanId, traceFlags, traceState } = span.spanContext()
  const traceparent = `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`
  return carrierOf({ traceparent, tracestate: traceState?.serialize() }) ?? { traceparent }
}

/** The exporter, with its failures told: the library only drops what could not be sent. */
const telling = (exporter: SpanExporter, onFailure: Deps['onFailure']): SpanExporter => ({
  export: (spans, done) =>
    exporter.export(spans, result => {
      // 0 is success.
      if (result.code !== 0) onFailure(result.error)
      done(result)
    }),
  shutdown: () => exporter.shutdown(),
  forceFlush: () => exporter.forceFlush?.() ?? Promise.resolve(),
})
