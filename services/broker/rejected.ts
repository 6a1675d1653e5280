/** Commands that cannot be handled: their reference and commitment are kept, their content is not, and nothing waits behind them. */
import { createHash } from 'node:crypto'
import { eventRecord } from '../../shared/events/event.ts'
import { topics } from '../../shared/journal/topics.ts'
import { crashPoint } from '../../shared/process/crash-point.ts'
import type { Broker } from './deps.ts'
import { patiently } from './patience.ts'

export async function reject(
  broker: Broker,
  { reference, reason, value }: { reference: string; reason: string; value: string },
  signal: AbortSignal,
): Promise<void> {
  const sha256 = createHash('sha256').update(value).digest('hex')
  broker.log.error({ reference, reason }, 'a command could not be handled; it is kept as rejected and will not run')
  const record = {
    topic: topics.rejected.name,
    partition: 0,
    key: reference,
    value: JSON.stringify({ reference, reason, sha256 }),
    headers: { 'content-type': 'application/json' },
  }
  const event = eventRecord({
    type: 'record.rejected',
    stream: reference,
    sequence: 1,
    time: new Date(broker.clock.now()).toISOString(),
    source: 'holdfast/broker',
    tenant: '',
    reason,
    clock: 'database',
    commitment: `sha256:${sha256}`,
    bytes: Buffer.byteLength(value),
  })
  await patiently({ log: broker.log, signal, doing: 'recording a rejected command' }, () =>
    broker.journal.append([record, event]),
  )
  crashPoint('broker.reject.recorded')
}
