/** What audit tells of its work: rows written to the history, how long that takes, and how far it is behind. */
import type { Journal, PartitionLag } from '../journal/port.ts'
import { setLag } from './broker.ts'
import type { Exposition } from './exposition.ts'
import { watchJournal } from './journal.ts'
import type { Metrics } from './metrics.ts'
import { createProbe } from './probe.ts'
import type { Tracing } from './tracing.ts'

type Inserting = { insert(rows: never, bounds?: never): Promise<unknown> }

export type AuditReads = {
  readonly failing: () => boolean
  readonly lag: () => Promise<readonly PartitionLag[]>
  /** Rejects while the history does not answer. */
  readonly ping: () => Promise<unknown>
  /** Undefined where none are made. */
  readonly checkpoints?: CheckpointReads | undefined
}

export type CheckpointReads = {
  readonly failing: () => string | undefined
  readonly newestAt: () => number | undefined
  readonly publishers: ReadonlyArray<{
    readonly place: { readonly label: string }
    readonly failing: () => string | undefined
  }>
}

export type AuditTelemetry = {
  journal<Of extends Journal>(journal: Of): Of
  history: <Of extends Inserting>(history: Of) => Of
  reads(reads: AuditReads): void
  readonly exposition: Exposition | undefined
}

type Deps = {
  readonly metrics: Metrics
  readonly tracing: Tracing | undefined
  readonly exposition: Exposition
  readonly now: () => number
}

const service = 'audit'
const group = 'holdfast-audit'

export function createAuditTelemetry({ metrics, tracing, exposition, now }: Deps): AuditTelemetry {
  metrics.declare('holdfast_sink_rows_total', 'holdfast_sink_insert_rows', 'holdfast_sink_insert_duration_seconds')
  return {
    journal: journal => watchJournal({ metrics, tracing, service }, journal),
    history: history => ({
      ...history,
      async insert(rows: never, bounds?: never) {
        const startedAt = now()
        const { length } = rows as readonly unknown[]
        let errorType = ''
        try {
          await history.insert(rows, bounds)
          metrics.count('holdfast_sink_rows_total', {}, length)
        } catch (error) {
          errorType = error instanceof Error ? error.name : 'Error'
          throw error
        } finally {
          metrics.observe('holdfast_sink_insert_rows', {}, length)
          metrics.observe(
            'holdfast_sink_insert_duration_seconds',
            { error_type: errorType },
            (now() - startedAt) / 1000,
          )
        }
      },
    }),
    reads({ failing, lag, ping, checkpoints }) {
      const lagging = createProbe(lag, { now })
      const answering = createProbe(() => ping().then(() => true), { now })
      metrics.onScrape(async () => {
        if (checkpoints) setCheckpoints(metrics, checkpoints)
        metrics.set('holdfast_sink_failing', {}, failing() ? 1 : 0)
        const [lags, isUp] = await Promise.all([lagging(), answering()])
        setLag(metrics, service, group, lags)
        metrics.set('holdfast_up', { service, dependency: 'clickhouse' }, isUp === true ? 1 : 0)
      })
    },
    exposition,
  }
}

function setCheckpoints(metrics: Metrics, { failing, newestAt, publishers }: CheckpointReads): void {
  const at = newestAt()
  if (at !== undefined) metrics.set('holdfast_checkpoint_age_seconds', {}, Math.max(0, (Date.now() - at) / 1000))
  metrics.set('holdfast_checkpoint_failing', {}, failing() === undefined ? 0 : 1)
  for (const { place, failing: lacks } of publishers)
    metrics.set('holdfast_checkpoint_place_failing', { place: place.label }, lacks() === undefined ? 0 : 1)
}
