/**
 * The journal, watched: how long appends and deliveries take, and the trace that goes through the log. A record that
 * carries a `traceparent` gets a PRODUCER span where it is appended and a CONSUMER span where it is handled, each the
 * parent of what comes after.
 */
import type { Consumer, ConsumeOptions, Delivery, Journal, JournalRecord, NewRecord } from '../journal/port.ts'
import { carrierOf, withCarrier } from './carrier.ts'
import type { Metrics } from './metrics.ts'
import type { Remembered } from './remembered.ts'
import type { Span, Tracing } from './tracing.ts'

export type JournalDeps = {
  readonly metrics: Metrics
  readonly tracing: Tracing | undefined
  /** The service that uses this journal. */
  readonly service: string
  /** Spans of deliveries, by the record's id, for whoever handles them. */
  readonly handling?: Remembered | undefined
}

export function watchJournal<Watched extends Journal>(deps: JournalDeps, journal: Watched): Watched {
  deps.metrics.declare('messaging_client_operation_duration_seconds', 'messaging_client_sent_messages_total')
  return {
    ...journal,
    append: records => append(deps, journal, records),
    consume: options => consume(deps, journal, options),
  }
}

async function append(
  { metrics, tracing, service }: JournalDeps,
  journal: Journal,
  records: readonly NewRecord[],
): ReturnType<Journal['append']> {
  const startedAt = performance.now()
  const { traced, spans } = tracing === undefined ? untraced(records) : produced(tracing, service, records)
  let errorType = ''
  try {
    const positions = await journal.append(traced)
    for (const { topic } of records)
      metrics.count('messaging_client_sent_messages_total', { messaging_destination_name: topic, service })
    return positions
  } catch (error) {
    errorType = nameOf(error)
    throw error
  } finally {
    for (const span of spans) span.end(errorType === '' ? undefined : { type: errorType })
    metrics.observe(
      'messaging_client_operation_duration_seconds',
      { messaging_operation_name: 'send', service, error_type: errorType },
      (performance.now() - startedAt) / 1000,
    )
  }
}

const noSpans: readonly Span[] = []
const untraced = <Of extends NewRecord>(records: readonly Of[]) => ({ traced: records, spans: noSpans })

function produced(tracing: Tracing, scope: string, records: readonly NewRecord[]) {
  const spans: Span[] = []
  const traced = records.map(record => {
    const parent = carrierOf(record.headers)
    if (parent === undefined) return record
    const span = tracing.start({
      scope,
      name: `send ${record.topic}`,
      kind: 'PRODUCER',
      parent,
      attributes: { ...messageOf(record), 'messaging.operation.name': 'send', 'messaging.operation.type': 'send' },
    })
    spans.push(span)
    return { ...record, headers: withCarrier(record.headers, span.carrier) as Record<string, string> }
  })
  return { traced, spans }
}

function consume(deps: JournalDeps, journal: Journal, options: ConsumeOptions): Promise<Consumer> {
  const { metrics } = deps
  const group = { messaging_consumer_group_name: options.group }
  metrics.declare('messaging_client_consumed_messages_total', 'messaging_process_duration_seconds')
  const handle = async (delivery: Delivery) => {
    metrics.count('messaging_client_consumed_messages_total', group, delivery.records.length)
    const startedAt = performance.now()
    const { traced, spans } = deps.tracing === undefined ? asItIs(delivery) : consumed(deps, options.group, delivery)
    let errorType = ''
    try {
      await options.handle(traced)
    } catch (error) {
      errorType = nameOf(error)
      throw error
    } finally {
      for (const [id, span] of spans) {
        span.end(errorType === '' ? undefined : { type: errorType })
        deps.handling?.close(id)
      }
      metrics.observe(
        'messaging_process_duration_seconds',
        { ...group, error_type: errorType },
        (performance.now() - startedAt) / 1000,
      )
    }
  }
  return journal.consume({ ...options, handle })
}

const nothingOpen: ReadonlyMap<string, Span> = new Map()
const asItIs = (delivery: Delivery) => ({ traced: delivery, spans: nothingOpen })

function consumed({ tracing, service, handling }: JournalDeps, group: string, delivery: Delivery) {
  const spans = new Map<string, Span>()
  const open = (record: JournalRecord): JournalRecord => {
    const parent = carrierOf(record.headers)
    if (parent === undefined) return record
    const span = (tracing as Tracing).start({
      scope: service,
      name: `process ${record.topic}`,
      kind: 'CONSUMER',
      parent,
      attributes: {
        ...messageOf(record),
        'messaging.operation.name': 'process',
        'messaging.operation.type': 'process',
        'messaging.consumer.group.name': group,
        'holdfast.journal.offset': record.offset,
      },
    })
    const id = record.headers.ce_id ?? ''
    spans.set(id, span)
    handling?.open(id, span)
    return { ...record, headers: withCarrier(record.headers, span.carrier) as Record<string, string> }
  }
  const records = delivery.records.map(open)
  return { traced: spans.size === 0 ? delivery : { ...delivery, records }, spans }
}

const messageOf = ({ topic, partition, headers }: NewRecord) => ({
  'messaging.system': 'holdfast',
  'messaging.destination.name': topic,
  'messaging.destination.partition.id': String(partition),
  ...(headers.ce_id !== undefined && { 'messaging.message.id': headers.ce_id }),
})

const nameOf = (error: unknown): string => (error instanceof Error ? error.name : 'Error')
