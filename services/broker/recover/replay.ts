/**
 * The same request once more, to a server that honours keys: an attempt with an intent of its own (I6), sent and followed
 * as every other. Its lease is the owner's: what a dead process leaves is swept to unknown, and recovery goes on.
 */
import { crashPoint } from '../../../shared/process/crash-point.ts'
import type { Broker } from '../deps.ts'
import { dispatch } from '../dispatch.ts'
import { letGo } from '../held.ts'
import { move } from '../move.ts'
import type { Taken } from './recover.ts'
import { replayBefore } from '../../../shared/call/recovery.ts'

/** An intent is followed by its first byte at once, or by nothing. */
const sendWithinMs = 10_000

export async function replay(broker: Broker, { held }: Taken): Promise<void> {
  const { server, tool } = held.command
  const { operationId, recovery } = held.operation
  const plan = broker.settings.tool(server, tool).recovery
  const giveSlotBack = () => {
    broker.lanes.release(server)
    broker.slotFreed(server)
  }
  if (plan === undefined || recovery === undefined) return giveSlotBack()
  const dispatchBy = Math.min(broker.clock.now() + sendWithinMs, replayBefore(plan, recovery))
  const attempt = { ...held, command: { ...held.command, dispatchBy } }
  // Held before the commit: a redelivered command must find it here, and not send what it takes for unsent.
  broker.held.set(operationId, attempt)
  try {
    await broker.owner.ensureLive()
    crashPoint('broker.replay.before')
    const owner = broker.owner.id()
    const { operation, moved } = await move(
      broker,
      attempt,
      () => ({ type: 'replay', at: broker.clock.now(), owner }),
      { intentBefore: dispatchBy },
    )
    crashPoint('broker.replay.committed')
    if (moved && operation.state === 'executing') return void dispatch(broker, attempt)
  } catch (error) {
    letGo(broker.held, attempt)
    giveSlotBack()
    throw error
  }
  letGo(broker.held, attempt)
  giveSlotBack()
}
