/**
 * Every metric that Holdfast's own code exposes: the one place that names them. Names follow the OpenTelemetry semantic
 * conventions in Prometheus spelling where there is one, else they begin with `holdfast_`. Labels are server ids, tools as
 * their servers list them, states, codes: never a tenant, an agent, a key or a conversation, which know no bounds.
 * Histograms carry no tool: each value of a label costs them as many series as they have buckets.
 *
 * The table in docs/operators.md is printed from here, and a test holds a running Holdfast to it.
 */
export type MetricDefinition = {
  readonly kind: 'counter' | 'gauge' | 'histogram'
  readonly help: string
  readonly labels: readonly string[]
  readonly buckets?: readonly number[]
}

/** The buckets that the conventions advise for MCP: from a local answer to a tool that takes minutes. Seconds. */
const callBuckets = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300]
/** One statement or one append. Seconds. */
const stepBuckets = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10]
const itemBuckets = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]
const rowBuckets = [1, 10, 50, 100, 250, 500, 1000, 2000]

export const catalogue = {
  // front
  http_server_request_duration_seconds: {
    kind: 'histogram',
    help: 'HTTP requests to front, from their head to the end of the answer',
    labels: ['http_request_method', 'http_route', 'http_response_status_code'],
    buckets: callBuckets,
  },
  mcp_server_operation_duration_seconds: {
    kind: 'histogram',
    help: 'tools/call as the agent sees it: from the request to the answer, waiting included',
    labels: ['mcp_method_name', 'server', 'effect', 'state'],
    buckets: callBuckets,
  },
  holdfast_calls_total: {
    kind: 'counter',
    help: 'Calls answered by front, by what their callers were told',
    labels: ['server', 'tool', 'effect', 'state'],
  },
  holdfast_calls_not_accepted_total: {
    kind: 'counter',
    help: 'Calls that front refused before they could claim a key, by code',
    labels: ['server', 'code'],
  },
  holdfast_front_calls_in_flight: { kind: 'gauge', help: 'Calls that front is working on or waiting for', labels: [] },
  holdfast_front_callers_waiting: {
    kind: 'gauge',
    help: 'Callers that wait at front for the outcome of a write',
    labels: [],
  },
  holdfast_front_sessions: {
    kind: 'gauge',
    help: 'Sessions of legacy clients that sent something within the last five minutes (modern clients have none)',
    labels: [],
  },

  // broker
  holdfast_operations_total: {
    kind: 'counter',
    help: 'Moves of operations, by the state they came to',
    labels: ['server', 'tool', 'state'],
  },
  holdfast_operations_code_total: {
    kind: 'counter',
    help: 'Operations that ended otherwise than succeeded, by code',
    labels: ['server', 'state', 'code'],
  },
  holdfast_duplicates_total: {
    kind: 'counter',
    help: 'Calls that were not sent because an operation stood for their change already',
    labels: ['server', 'how', 'code'],
  },
  holdfast_unknown_operations: {
    kind: 'gauge',
    help: 'Operations whose outcome is unknown now, by how long ago at least they were sent',
    labels: ['older_than'],
  },
  holdfast_unknown_oldest_age_seconds: {
    kind: 'gauge',
    help: 'Age of the oldest operation whose outcome is unknown; 0 when there is none',
    labels: [],
  },
  holdfast_lane_in_flight: { kind: 'gauge', help: 'Calls sent to a server and not answered', labels: ['server'] },
  holdfast_lane_queued: { kind: 'gauge', help: 'Accepted calls that wait for a slot', labels: ['server'] },
  holdfast_lane_late: {
    kind: 'gauge',
    help: 'Requests kept open after their time-out, for a late answer',
    labels: ['server'],
  },
  holdfast_lane_concurrency: { kind: 'gauge', help: 'Configured limit of calls in flight', labels: ['server'] },
  holdfast_lane_queue_limit: { kind: 'gauge', help: 'Configured limit of waiting calls', labels: ['server'] },
  holdfast_batch_items: {
    kind: 'histogram',
    help: 'Items of one statement of broker',
    labels: ['statement'],
    buckets: itemBuckets,
  },
  holdfast_batch_duration_seconds: {
    kind: 'histogram',
    help: 'One statement of broker with its commit',
    labels: ['statement'],
    buckets: stepBuckets,
  },
  holdfast_lease_lost_total: { kind: 'counter', help: 'Leases that this broker lost', labels: [] },
  holdfast_lease_renewals_failed_total: {
    kind: 'counter',
    help: 'Renewals of the lease that failed and were tried again',
    labels: [],
  },
  holdfast_broker_ready: { kind: 'gauge', help: '1 when this broker is in its group and its lease lives', labels: [] },
  holdfast_outbox_rows: {
    kind: 'gauge',
    help: 'Events that wait for the journal (counted up to 100000)',
    labels: [],
  },
  holdfast_outbox_oldest_age_seconds: {
    kind: 'gauge',
    help: 'Age of the oldest event that waits for the journal; 0 when there is none',
    labels: [],
  },
  holdfast_outbox_relayed_total: { kind: 'counter', help: 'Events moved from the outbox into the journal', labels: [] },

  // all
  mcp_client_operation_duration_seconds: {
    kind: 'histogram',
    help: 'tools/call as its server answered it; error_type is empty when it did. Broker sends writes, front reads',
    labels: ['mcp_method_name', 'service', 'server', 'error_type'],
    buckets: callBuckets,
  },
  messaging_client_operation_duration_seconds: {
    kind: 'histogram',
    help: 'Appends to the journal until they are acknowledged',
    labels: ['messaging_operation_name', 'service', 'error_type'],
    buckets: stepBuckets,
  },
  messaging_client_sent_messages_total: {
    kind: 'counter',
    help: 'Records appended to the journal',
    labels: ['messaging_destination_name', 'service'],
  },
  messaging_process_duration_seconds: {
    kind: 'histogram',
    help: 'Deliveries of the journal until they are handled',
    labels: ['messaging_consumer_group_name', 'error_type'],
    buckets: stepBuckets,
  },
  messaging_client_consumed_messages_total: {
    kind: 'counter',
    help: 'Records handed to a group, those handed again included',
    labels: ['messaging_consumer_group_name'],
  },
  holdfast_journal_lag_records: {
    kind: 'gauge',
    help: 'Records that a group has not committed yet, over all partitions',
    labels: ['messaging_consumer_group_name'],
  },
  holdfast_up: {
    kind: 'gauge',
    help: '1 when what stands behind a service answered at this scrape; while 0, numbers read from there are left out',
    labels: ['service', 'dependency'],
  },
  holdfast_trace_exports_failed_total: {
    kind: 'counter',
    help: 'Batches of spans that the collector did not take; they are dropped',
    labels: [],
  },

  // audit
  holdfast_sink_rows_total: { kind: 'counter', help: 'Rows written to the history', labels: [] },
  holdfast_sink_insert_rows: { kind: 'histogram', help: 'Rows of one insert', labels: [], buckets: rowBuckets },
  holdfast_sink_insert_duration_seconds: {
    kind: 'histogram',
    help: 'Inserts into the history',
    labels: ['error_type'],
    buckets: stepBuckets,
  },
  holdfast_sink_failing: { kind: 'gauge', help: '1 while the history takes no rows', labels: [] },
  holdfast_checkpoint_age_seconds: {
    kind: 'gauge',
    help: 'Age of the newest signed checkpoint, by whichever process made it; absent where none are made',
    labels: [],
  },
  holdfast_checkpoint_failing: { kind: 'gauge', help: '1 while this process could make no checkpoint', labels: [] },
  holdfast_checkpoint_place_failing: {
    kind: 'gauge',
    help: '1 while a place does not take the checkpoints it lacks',
    labels: ['place'],
  },
} as const satisfies Record<string, MetricDefinition>

export type MetricName = keyof typeof catalogue
export type LabelsOf<Name extends MetricName> = (typeof catalogue)[Name]['labels'][number]
type NamesOf<Kind extends MetricDefinition['kind']> = {
  [Name in MetricName]: (typeof catalogue)[Name]['kind'] extends Kind ? Name : never
}[MetricName]
export type CounterName = NamesOf<'counter'>
export type GaugeName = NamesOf<'gauge'>
export type HistogramName = NamesOf<'histogram'>

/** What prom-client takes. */
export function configurationOf(name: MetricName) {
  const { help, labels, buckets = [] }: MetricDefinition = catalogue[name]
  return { name, help, labelNames: [...labels], buckets: [...buckets] }
}
