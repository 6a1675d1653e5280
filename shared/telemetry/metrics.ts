/**
 * The registry of a process and the few ways to write to it. A metric is exposed from the moment a service declares it:
 * an alert on a counter that nobody has raised yet finds a 0, and a process shows nothing that it does not know.
 */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'
import { catalogue, configurationOf, type CounterName, type GaugeName, type HistogramName } from './catalogue.ts'
import type { LabelsOf, MetricName } from './catalogue.ts'

type Labels<Name extends MetricName> = Readonly<Record<LabelsOf<Name>, string>>

export type Metrics = {
  readonly declare: (...names: readonly MetricName[]) => void
  readonly count: <Name extends CounterName>(name: Name, labels: Labels<Name>, by?: number) => void
  readonly observe: <Name extends HistogramName>(name: Name, labels: Labels<Name>, value: number) => void
  readonly set: <Name extends GaugeName>(name: Name, labels: Labels<Name>, value: number) => void
  /** Forgets a gauge, or one series of it: what is not known is not shown. */
  readonly clear: <Name extends GaugeName>(name: Name, labels?: Labels<Name>) => void
  /** Runs before every answer to a scrape. Must not reject and must bound its own time. */
  readonly onScrape: (read: () => Promise<void> | void) => void
  /** The exposition in Prometheus' text format. */
  text(): Promise<string>
  readonly contentType: string
}

/** The event loop's delay is sampled this often, milliseconds: fine enough for stalls that calls notice. */
const delayResolutionMs = 20

export function createMetrics(): Metrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: delayResolutionMs })
  const metrics = new Map<MetricName, Counter | Gauge | Histogram>()
  const reads: Array<() => Promise<void> | void> = []

  const find = <Kind>(name: MetricName): Kind => {
    let found = metrics.get(name)
    if (found === undefined) metrics.set(name, (found = create(registry, name)))
    return found as Kind
  }

  return {
    declare: (...names) => names.forEach(name => find(name)),
    count: (name, labels, by) => find<Counter>(name).inc(labels, by),
    observe: (name, labels, value) => find<Histogram>(name).observe(labels, value),
    set: (name, labels, value) => find<Gauge>(name).set(labels, value),
    clear: (name, labels) => (labels === undefined ? find<Gauge>(name).reset() : find<Gauge>(name).remove(labels)),
    onScrape: read => void reads.push(read),
    async text() {
      await Promise.all(reads.map(async read => read()))
      return registry.metrics()
    },
    contentType: registry.contentType,
  }
}

function create(registry: Registry, name: MetricName): Counter | Gauge | Histogram {
  const configuration = { ...configurationOf(name), registers: [registry] }
  switch (catalogue[name].kind) {
    case 'counter':
      return new Counter(configuration)
    case 'histogram':
      return new Histogram(configuration)
    case 'gauge':
      return new KnownGauge(configuration)
  }
}

/** prom-client shows an unset gauge without labels as 0: nobody measured that. */
class KnownGauge extends Gauge {
  override reset(): void {
    super.reset()
    this.remove({})
  }
}
