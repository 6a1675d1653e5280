/** An explicit cancel: an operation without an intent becomes `not_executed`; one with an intent runs on. */
import type { CancelCommand } from '../../shared/call/command.ts'
import { scopeHash } from '../../shared/call/fingerprint.ts'
import type { Broker } from './deps.ts'
import { isAnswerable } from '../../shared/call/decide.ts'
import { crashPoint } from '../../shared/process/crash-point.ts'
import { letGo, recordOfHeld } from './held.ts'
import { move } from './move.ts'
import { patiently } from './patience.ts'
import { readByScope } from './sql/outcomes.ts'
import { operationOf } from './sql/row.ts'

export async function cancelCall(broker: Broker, command: CancelCommand, signal: AbortSignal): Promise<void> {
  const row = await patiently({ log: broker.log, signal, doing: 'reading a call to cancel' }, () =>
    readByScope(broker.db, scopeHash(command)),
  )
  const operation = row && operationOf(row)
  if (operation === undefined || operation.callId !== command.callId || operation.state !== 'accepted') return
  const held = broker.held.get(operation.operationId)
  // Held elsewhere: its owner's queue or the sweep ends it. Without an intent both say the same.
  if (held === undefined) return
  const { operation: after, moved } = await move(broker, held, () => ({ type: 'cancel', at: broker.clock.now() }))
  crashPoint('broker.cancel.committed')
  if (!moved || !isAnswerable(after)) return
  broker.lanes.takeWaiting(waiting => waiting === held)
  letGo(broker.held, held)
  broker.waiting.settle(recordOfHeld(held, undefined))
}
