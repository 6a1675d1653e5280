/**
 * I7: what nobody will end is ended here. Operations of an owner whose lease is over, and this process's own that it no
 * longer holds: without an intent `not_executed`, with one `unknown`.
 */
import type { SubmitCommand } from '../../shared/call/command.ts'
import { decide } from '../../shared/call/decide.ts'
import { evolve } from '../../shared/call/evolve.ts'
import { crashPoint } from '../../shared/process/crash-point.ts'
import type { Broker } from './deps.ts'
import { transitionRecord } from './events.ts'
import { isKept } from './kept.ts'
import { tellFromRecord } from './outcomes.ts'
import { expireWaiting } from './queue.ts'
import { readHeld } from './sql/held.ts'
import { changingOf, operationOf, type OperationRow } from './sql/row.ts'

const batchSize = 500
/** Longer than any front waits for one call. */
const longestWaitMs = 60_000

export async function sweep(broker: Broker): Promise<void> {
  await expireWaiting(broker)
  const rows = await readHeld(broker.db, { owner: broker.owner.id(), held: [...broker.held.keys()], limit: batchSize })
  await Promise.all(rows.filter(row => isAbandoned(broker, row)).map(row => end(broker, row)))
  await tellOthersWaiters(broker)
}

/** A row of our own may be younger than our memory of it: its commit is still on its way back to us. */
const isAbandoned = ({ held, handling }: Broker, row: OperationRow): boolean =>
  !held.has(row.operation_id) && !handling.has(row.call_id)

async function end(broker: Broker, row: OperationRow): Promise<void> {
  const operation = operationOf(row)
  if (operation === undefined) return
  const { recovery } = broker.settings.tool(row.server, row.tool)
  const { event } = decide({ operation }, { type: 'sweep', at: broker.clock.now() }, recovery)
  if (event === undefined) return
  const next = evolve(operation, event)
  crashPoint('broker.sweep.before')
  const moved = await broker.advances.add({
    operationId: row.operation_id,
    expectedSequence: operation.sequence,
    changing: changingOf(next, row.retention_ms),
    event: transitionRecord(broker.events, { event, operation: next, command: commandOfRow(row), opens: false }),
    beside: recovery && !isKept(next) ? { drop: true } : undefined,
  })
  crashPoint('broker.sweep.committed')
  if (moved) {
    broker.telemetry.moved(row, next)
    broker.log.warn({ operation: row.operation_id, was: operation.state, is: next.state }, 'swept')
  }
  await tellFromRecord(broker, row.operation_id)
}

/** As much of the command as the row remembers: enough for an event that does not open a try. */
export const commandOfRow = (row: OperationRow): SubmitCommand => ({
  type: 'submit',
  callId: row.call_id,
  tenant: row.tenant,
  keyspace: row.keyspace,
  server: row.server,
  key: row.key,
  tool: row.tool,
  effectSource: '',
  keySource: '',
  fingerprint: row.fingerprint,
  arguments: '{}',
  caller: { agent: row.agent, ...(row.conversation !== null && { conversation: row.conversation }) },
  receivedAt: row.first_seen_ms,
  dispatchBy: row.dispatch_by_ms ?? 0,
})

/** Who attached to an operation that another process dispatches is told from the record. */
async function tellOthersWaiters(broker: Broker): Promise<void> {
  broker.waiting.forgetBefore(broker.monotonic() - longestWaitMs)
  const others = broker.waiting.operations().filter(operationId => !broker.held.has(operationId))
  await Promise.all(others.map(operationId => tellFromRecord(broker, operationId)))
}
