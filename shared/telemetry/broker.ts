/** What broker tells of its work: moves of operations, calls that joined one, its statements, lanes and lease. */
import type { Operation } from '../call/operation.ts'
import type { Journal, PartitionLag } from '../journal/port.ts'
import type { Exposition } from './exposition.ts'
import { watchJournal } from './journal.ts'
import type { Metrics } from './metrics.ts'
import { createProbe } from './probe.ts'
import { createRemembered } from './remembered.ts'
import type { Tracing } from './tracing.ts'
import { watchUpstreams } from './upstreams.ts'

/** What stands open in the database now. Times in milliseconds. */
export type Backlog = {
  readonly unknown: {
    readonly total: number
    readonly olderThan: Readonly<Record<string, number>>
    readonly oldestMs: number
  }
  readonly outbox: { readonly rows: number; readonly oldestMs: number }
}

export type BrokerReads = {
  readonly lanes: () => ReadonlyArray<{ server: string; inFlight: number; late: number; queued: number }>
  readonly limits: (server: string) => { readonly concurrency: number; readonly queue: number }
  readonly ready: () => boolean
  readonly lag: () => Promise<readonly PartitionLag[]>
  readonly backlog: () => Promise<Backlog>
}

type Joined = {
  readonly callId: string
  readonly server: string
  readonly operation: Operation
  readonly how: string
  readonly code: string | undefined
}

export type BrokerTelemetry = {
  journal<Of extends Journal>(journal: Of): Of
  upstreams: <Of>(upstreams: Of) => Of
  /** Watches one kind of statement. */
  batch<Input, Output>(
    statement: string,
    flush: (items: Input[]) => Promise<readonly Output[]>,
  ): (items: Input[]) => Promise<readonly Output[]>
  /** Told after the commit. */
  moved(call: { readonly server: string; readonly tool: string }, operation: Operation): void
  /** A call was answered from an operation that stood there already. */
  joined(joined: Joined): void
  leaseLost(): void
  renewalFailed(): void
  /** What is read when somebody scrapes. */
  reads(reads: BrokerReads): void
  /** Watches the relay's moves from the outbox into the journal. */
  relay<Of extends { drainOutbox(maxRows: number): Promise<number> }>(journal: Of): Pick<Of, 'drainOutbox'>
  /** Spans are exported: each step of a call has one of its own, the next one's parent. */
  readonly isTracing: boolean
  readonly exposition: Exposition | undefined
}

type Deps = {
  readonly metrics: Metrics
  readonly tracing: Tracing | undefined
  readonly exposition: Exposition
  readonly now: () => number
}

const service = 'broker'
const group = 'holdfast-broker'

export function createBrokerTelemetry({ metrics, tracing, exposition, now }: Deps): BrokerTelemetry {
  const remembered = createRemembered()
  const handling = tracing && remembered
  metrics.declare('holdfast_operations_total', 'holdfast_operations_code_total', 'holdfast_duplicates_total')
  metrics.declare('holdfast_batch_items', 'holdfast_batch_duration_seconds')
  metrics.declare('holdfast_lease_lost_total', 'holdfast_lease_renewals_failed_total', 'holdfast_outbox_relayed_total')

  return {
    journal: journal => watchJournal({ metrics, tracing, service, handling }, journal),
    upstreams: upstreams => watchUpstreams({ metrics, tracing, service }, upstreams as never) as typeof upstreams,
    batch: (statement, flush) => async items => {
      const startedAt = now()
      try {
        return await flush(items)
      } finally {
        metrics.observe('holdfast_batch_items', { statement }, items.length)
        metrics.observe('holdfast_batch_duration_seconds', { statement }, (now() - startedAt) / 1000)
      }
    },
    moved({ server, tool }, operation) {
      const { state } = operation
      metrics.count('holdfast_operations_total', { server, tool, state })
      if ('code' in operation) metrics.count('holdfast_operations_code_total', { server, state, code: operation.code })
    },
    joined({ callId, server, operation, how, code = '' }) {
      metrics.count('holdfast_duplicates_total', { server, how, code })
      if (tracing === undefined) return
      const span = remembered.span(callId)
      span?.set({ 'holdfast.joined': how, 'holdfast.operation.id': operation.operationId })
      const carrier = remembered.carrier(operation.callId) ?? remembered.carrier(operation.operationId)
      if (carrier !== undefined) span?.link(carrier)
    },
    leaseLost: () => metrics.count('holdfast_lease_lost_total', {}),
    renewalFailed: () => metrics.count('holdfast_lease_renewals_failed_total', {}),
    reads: reads => readOnScrape(metrics, reads, now),
    relay: journal => ({
      async drainOutbox(maxRows) {
        const rows = await journal.drainOutbox(maxRows)
        if (rows > 0) metrics.count('holdfast_outbox_relayed_total', {}, rows)
        return rows
      },
    }),
    isTracing: tracing !== undefined,
    exposition,
  }
}

function readOnScrape(metrics: Metrics, { lanes, limits, ready, lag, backlog }: BrokerReads, now: () => number): void {
  const lagging = createProbe(lag, { now })
  const standing = createProbe(backlog, { now })
  metrics.onScrape(async () => {
    metrics.set('holdfast_broker_ready', {}, ready() ? 1 : 0)
    for (const { server, inFlight, late, queued } of lanes()) {
      const { concurrency, queue } = limits(server)
      metrics.set('holdfast_lane_in_flight', { server }, inFlight)
      metrics.set('holdfast_lane_late', { server }, late)
      metrics.set('holdfast_lane_queued', { server }, queued)
      metrics.set('holdfast_lane_concurrency', { server }, concurrency)
      metrics.set('holdfast_lane_queue_limit', { server }, queue)
    }
    const [lags, open] = await Promise.all([lagging(), standing()])
    setLag(metrics, service, group, lags)
    metrics.set('holdfast_up', { service, dependency: 'postgres' }, open === undefined ? 0 : 1)
    setBacklog(metrics, open)
  })
}

/** A group's lag, or that the journal did not tell it. */
export function setLag(
  metrics: Metrics,
  service: string,
  group: string,
  lags: readonly PartitionLag[] | undefined,
): void {
  metrics.set('holdfast_up', { service, dependency: 'journal' }, lags === undefined ? 0 : 1)
  const labels = { messaging_consumer_group_name: group }
  if (lags === undefined) return metrics.clear('holdfast_journal_lag_records', labels)
  const total = lags.reduce((sum, { lag }) => sum + lag, 0)
  metrics.set('holdfast_journal_lag_records', labels, total)
}

function setBacklog(metrics: Metrics, open: Backlog | undefined): void {
  if (open === undefined) {
    metrics.clear('holdfast_unknown_operations')
    metrics.clear('holdfast_unknown_oldest_age_seconds')
    metrics.clear('holdfast_outbox_rows')
    metrics.clear('holdfast_outbox_oldest_age_seconds')
    return
  }
  const { unknown, outbox } = open
  metrics.set('holdfast_unknown_operations', { older_than: '0s' }, unknown.total)
  for (const [age, count] of Object.entries(unknown.olderThan))
    metrics.set('holdfast_unknown_operations', { older_than: age }, count)
  metrics.set('holdfast_unknown_oldest_age_seconds', {}, unknown.oldestMs / 1000)
  metrics.set('holdfast_outbox_rows', {}, outbox.rows)
  metrics.set('holdfast_outbox_oldest_age_seconds', {}, outbox.oldestMs / 1000)
}
