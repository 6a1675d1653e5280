/**
 * What a person says of an unknown: settled by the same guarded move as everything, on record with who and why. Whatever
 * else settles it first wins; what comes later is evidence.
 */
import type { Resolution, Resolved } from '../../shared/call/broker-port.ts'
import { crashPoint } from '../../shared/process/crash-point.ts'
import type { Broker } from './deps.ts'
import { resolvedRecord } from './events.ts'
import { type Held, recordOfHeld } from './held.ts'
import { move } from './move.ts'
import { readById } from './sql/outcomes.ts'
import { operationOf, recordOf } from './sql/row.ts'
import { readOfTenant, wasGiven } from './sql/unknowns.ts'
import { commandOfRow } from './sweep.ts'

export async function resolveUnknown(broker: Broker, resolution: Resolution): Promise<Resolved> {
  const row = await readOfTenant(broker.db, resolution)
  const operation = row && operationOf(row)
  if (row === undefined || operation === undefined) return { kind: 'no_such_call' }
  const held: Held = { command: commandOfRow(row), operation, retentionMs: row.retention_ms }
  const { as, reason, by, id } = resolution
  const at = broker.clock.now()
  const also = resolvedRecord(broker.events, { command: held.command, operation, as, reason, by, at, id })
  crashPoint('broker.resolve.before')
  const { moved } = await move(broker, held, () => ({ type: 'settle', at, as, evidence: 'person' }), {
    reason,
    also,
    settled: { by: by.agent },
    evidence: { kind: 'person', says: `${by.agent}: ${as}: ${reason}`, raw: id },
  })
  crashPoint('broker.resolve.committed')
  if (moved) broker.waiting.settle(recordOfHeld(held, undefined))
  const now = await readById(broker.db, operation.operationId)
  const record = (now && recordOf(now)) ?? recordOfHeld(held, undefined)
  const isOurs = moved || (await wasGiven(broker.db, operation.operationId, id))
  return { kind: isOurs ? 'resolved' : 'not_unknown', record }
}
