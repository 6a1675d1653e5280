/**
 * Calls with a key, in batches: claim first and let the unique indexes decide, then look at what stands in the way of
 * those that lost (design section 4). When `submitAll` resolves every command has been handled durably, and each reply
 * has been sent or will be sent by whoever ends the operation.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { SubmitCommand } from '../../shared/call/command.ts'
import { scopeHash } from '../../shared/call/fingerprint.ts'
import type { Broker } from './deps.ts'
import { patiently } from './patience.ts'
import { reject } from './rejected.ts'
import { allowsTwins, tryClaim } from './claim.ts'
import { lookAtLost } from './lost.ts'

const pauseMs = 5

export async function submitAll(
  broker: Broker,
  commands: readonly SubmitCommand[],
  signal: AbortSignal,
): Promise<void> {
  for (const { callId } of commands) broker.handling.add(callId)
  try {
    await handleAll(broker, commands, signal)
  } finally {
    for (const { callId } of commands) broker.handling.delete(callId)
  }
}

async function handleAll(broker: Broker, commands: readonly SubmitCommand[], signal: AbortSignal): Promise<void> {
  let pending = [...commands]
  for (let round = 0; pending.length > 0; round += 1) {
    // A partition that is no longer ours, or a stop: what is not handled is delivered again, to whoever has it then.
    if (signal.aborted) throw new Error('the partition was revoked while its commands were being handled')
    if (round > 0) await sleep(Math.min(pauseMs * round, 200))
    await patiently({ log: broker.log, signal, doing: 'renewing the lease' }, () => broker.owner.ensureLive())
    const lost = await claimAll(broker, pending, signal)
    pending = await lookAtLost(broker, lost, signal)
  }
}

/** Claims every first command of a scope; returns those that did not win. */
async function claimAll(
  broker: Broker,
  commands: readonly SubmitCommand[],
  signal: AbortSignal,
): Promise<SubmitCommand[]> {
  const seen = new Set<string>()
  const results = await Promise.all(
    commands.map(async command => {
      const scope = scopeHash(command)
      if (seen.has(scope)) return command
      seen.add(scope)
      const checkTwins = !allowsTwins(broker, command)
      const claimed = await tryClaim(broker, command, scope, { checkTwins, twinSlot: checkTwins ? '' : command.callId })
      if (claimed.impossible !== undefined) {
        const { callId } = command
        await reject(broker, { reference: callId, reason: claimed.impossible, value: JSON.stringify(command) }, signal)
      }
      return claimed.won || claimed.impossible !== undefined ? undefined : command
    }),
  )
  return results.filter(command => command !== undefined)
}
