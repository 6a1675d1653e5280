/** Accepted calls that wait for a slot, and their way out: one guarded update each, or none. */
import { isAnswerable } from '../../shared/call/decide.ts'
import { crashPoint } from '../../shared/process/crash-point.ts'
import type { Broker } from './deps.ts'
import { dispatch } from './dispatch.ts'
import { type Held, letGo, recordOfHeld } from './held.ts'
import { move } from './move.ts'

/** Sends as many waiting calls of a server as there are slots. */
export function startReady(broker: Broker, server: string): void {
  for (const held of broker.lanes.takeReady(server)) void start(broker, held)
}

async function start(broker: Broker, held: Held): Promise<void> {
  try {
    if (await commitIntent(broker, held)) return void dispatch(broker, held)
  } catch (error) {
    broker.log.error({ err: error, operation: held.operation.operationId }, 'a waiting call could not be started')
  }
  letGo(broker.held, held)
  broker.lanes.release(held.command.server)
  startReady(broker, held.command.server)
}

/** I6. False when the call may not run any more; whoever waits has then been told why. */
async function commitIntent(broker: Broker, held: Held): Promise<boolean> {
  const { dispatchBy } = held.command
  if (broker.clock.now() >= dispatchBy) {
    await giveUp(broker, held, 'deadline_passed')
    return false
  }
  const owner = broker.owner.id()
  const { operation, moved } = await move(broker, held, () => ({ type: 'take_slot', at: broker.clock.now(), owner }), {
    intentBefore: dispatchBy,
  })
  crashPoint('broker.intent.committed')
  if (moved) return operation.state === 'executing'
  if (isAnswerable(operation)) broker.waiting.settle(recordOfHeld(held, undefined))
  // Refused under a live lease: by the database's clock, which is never behind ours, the time is over.
  else if (operation.state === 'accepted' && broker.monotonic() < broker.owner.deadline(operation.owner)) {
    await giveUp(broker, held, 'deadline_passed')
  }
  return false
}

/** Without an intent nothing was sent: say so (I3). A process that leaves sweeps what it had queued itself. */
export async function giveUp(broker: Broker, held: Held, code: 'deadline_passed' | 'owner_gone'): Promise<void> {
  const { operation } = await move(broker, held, () => {
    const at = broker.clock.now()
    return code === 'owner_gone' ? { type: 'sweep', at } : { type: 'give_up', at, code }
  })
  letGo(broker.held, held)
  if (isAnswerable(operation)) broker.waiting.settle(recordOfHeld(held, undefined))
}

/** Gives up the waiting calls whose `dispatchBy` has passed. Called by the sweep: no timer per call. */
export async function expireWaiting(broker: Broker): Promise<void> {
  const now = broker.clock.now()
  const expired = broker.lanes.takeWaiting(held => held.command.dispatchBy <= now)
  await Promise.all(expired.map(held => giveUp(broker, held, 'deadline_passed')))
}
