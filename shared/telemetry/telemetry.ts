/** Metrics and traces of one process: one registry and one exporter, seen by each service through a port of its own. */
import { createAuditTelemetry, type AuditTelemetry } from './audit.ts'
import { createBrokerTelemetry, type BrokerTelemetry } from './broker.ts'
import { createExposition } from './exposition.ts'
import { createFrontTelemetry, type FrontTelemetry } from './front.ts'
import { createMetrics } from './metrics.ts'
import { startTracing } from './tracing.ts'

export type Telemetry = {
  /** Each is made at its first use: a process shows the metrics of the services it runs. */
  readonly front: () => FrontTelemetry
  readonly broker: () => BrokerTelemetry
  readonly audit: () => AuditTelemetry
  stop(): Promise<void>
}

type Log = { warn(fields: object, message: string): void }
type Input = {
  /** For the standard `OTEL_*` variables. */
  readonly variables: Readonly<Record<string, string | undefined>>
  /** Where the services are bound, and what they show each other. */
  readonly host: string
  readonly token: string | undefined
  readonly log: Log
}

const version = '0.1.0'
/** A collector that is away is told of once in this time. */
const remindMs = 10 * 60_000

export async function startTelemetry({ variables, host, token, log }: Input): Promise<Telemetry> {
  const metrics = createMetrics()
  const now = () => performance.now()
  let toldAt = Number.NEGATIVE_INFINITY
  const onFailure = (error: Error | undefined) => {
    metrics.count('holdfast_trace_exports_failed_total', {})
    if (now() - toldAt < remindMs) return
    toldAt = now()
    log.warn({ err: error }, 'the trace collector did not take spans; they are dropped, and calls go on')
  }
  const tracing = await startTracing({ variables, version, onFailure })
  if (tracing !== undefined) metrics.declare('holdfast_trace_exports_failed_total')
  const deps = { metrics, tracing, now, exposition: createExposition(metrics, { host, token }) }
  return {
    front: () => createFrontTelemetry(deps),
    broker: () => createBrokerTelemetry(deps),
    audit: () => createAuditTelemetry(deps),
    stop: async () => tracing?.stop(),
  }
}
