/** One call's claim, optimistic, and what follows when it wins: send it, let it wait, or say why it does not run. */
import type { SubmitCommand } from '../../shared/call/command.ts'
import { decide, type OperationEvent, type Submit } from '../../shared/call/decide.ts'
import { evolve } from '../../shared/call/evolve.ts'
import { changeHash, inputsHash, type Json, requestStateHash } from '../../shared/call/fingerprint.ts'
import { afterCall } from '../../shared/call/key.ts'
import { crashPoint } from '../../shared/process/crash-point.ts'
import type { Claimed } from './claim-batch.ts'
import type { Broker } from './deps.ts'
import { dispatch } from './dispatch.ts'
import { transitionRecord } from './events.ts'
import { type Held, letGo, recordOfHeld } from './held.ts'
import { isKept, keep } from './kept.ts'
import type { Slot } from './lanes.ts'
import { numbered } from './numbered.ts'
import { startReady } from './queue.ts'
import type { Claim } from './sql/claim.ts'
import { claimFenced } from './sql/fence.ts'
import { changingOf, type OperationRow } from './sql/row.ts'
export const allowsTwins = (broker: Broker, { server, tool }: SubmitCommand) =>
  broker.settings.tool(server, tool).allowTwins

/** The core's view of a command, with the slot that was reserved for it. */
export function submitOf(broker: Broker, command: SubmitCommand, slot: Slot, fencedAt?: number): Submit {
  const { callId, fingerprint, receivedAt, dispatchBy, inputs } = command
  return {
    type: 'submit',
    callId,
    fingerprint,
    receivedAt,
    dispatchBy,
    slot,
    fencedAt,
    owner: broker.owner.id(),
    at: broker.clock.now(),
    after: afterCall(command.key),
    inputs: inputs && {
      stateHash: requestStateHash(inputs.requestState),
      inputsHash: inputsHash(inputs.requestState, inputs.inputResponses as Json),
    },
  }
}

type ClaimOptions = {
  readonly checkTwins: boolean
  readonly twinSlot: string
  /** What holds the key's place. */
  readonly fence?: OperationRow
  /** Commits the claim; default: with those of others that wait. */
  readonly by?: (claim: Claim) => Promise<Claimed>
}

/** One claim, optimistic: nothing is known of the key yet. */
export async function tryClaim(
  broker: Broker,
  command: SubmitCommand,
  scope: string,
  { fence, by, ...twins }: ClaimOptions,
): Promise<Claimed> {
  // Delivered again while it runs here: its claim would lose, and must not take the place of what is held.
  if (broker.held.has(command.callId)) return { won: false }
  const slot = broker.lanes.reserve(command.server)
  const { event } = decide({ operation: undefined }, submitOf(broker, command, slot, fence?.fenced_ms ?? undefined))
  const { claim, held } = claimOf(broker, command, scope, { event: event as OperationEvent, ...twins })
  broker.held.set(command.callId, held)
  const claimed = await (by?.(claim) ?? send(broker, claim, command, fence)).catch(error => {
    broker.log.warn({ err: error, call: command.callId }, 'a claim could not be confirmed; looking again')
    return { won: false }
  })
  if (claimed.won) begin(broker, held, slot)
  else {
    letGo(broker.held, held)
    giveBack(broker, command, slot)
  }
  return claimed
}

/** Whoever queued up behind a place that is not used after all may have it. */
export function giveBack(broker: Broker, { server }: SubmitCommand, slot: Slot): void {
  broker.lanes.giveBack(server, slot)
  startReady(broker, server)
}

const send = async (
  broker: Broker,
  claim: Claim,
  { receivedAt }: SubmitCommand,
  fence: OperationRow | undefined,
): Promise<Claimed> => {
  if (fence === undefined) return broker.claims.add(claim)
  const won = await numbered(broker.numbering, { event: claim.event, isDone: isWon => isWon }, () =>
    claimFenced(broker.db, broker.owner.id(), claim, receivedAt),
  )
  crashPoint('broker.claim_fenced.committed')
  return { won }
}

function claimOf(
  broker: Broker,
  command: SubmitCommand,
  scope: string,
  { event, checkTwins, twinSlot }: { event: OperationEvent; checkTwins: boolean; twinSlot: string },
): { claim: Claim; held: Held } {
  const operation = evolve(undefined, event)
  const { retentionMs, recovery } = broker.settings.tool(command.server, command.tool)
  const kept = recovery && isKept(operation) ? keep(broker, command, operation) : undefined
  const { tenant, keyspace, server, key, tool, fingerprint, caller, dispatchBy } = command
  const claim: Claim = {
    operationId: operation.operationId,
    scope,
    tenant,
    keyspace,
    server,
    key,
    tool,
    agent: caller.agent,
    conversation: caller.conversation,
    fingerprint,
    change: changeHash(command),
    checkTwins,
    twinSlot,
    changing: changingOf(operation, retentionMs),
    firstSeenMs: operation.firstSeenAt,
    dispatchByMs: dispatchBy,
    retentionMs,
    event: transitionRecord(broker.events, { event, operation, command, opens: true }),
    kept: kept?.sealed,
  }
  return { claim, held: { command, operation, retentionMs, request: kept?.request } }
}

/** After the commit: send it, let it wait, or say why it does not run. */
export function begin(broker: Broker, held: Held, slot: Slot): void {
  const { command, operation } = held
  const { server, callId, replyTo } = command
  broker.telemetry.moved(command, operation)
  broker.held.set(operation.operationId, held)
  broker.waiting.add(operation.operationId, { callId, replyTo, how: 'own' })
  if (operation.state === 'executing') return void dispatch(broker, held)
  if (operation.state === 'accepted') {
    broker.lanes.enqueue(held)
    return startReady(broker, server)
  }
  letGo(broker.held, held)
  giveBack(broker, command, slot)
  const full = operation.state === 'not_executed' && operation.code === 'queue_full'
  broker.waiting.settle(recordOfHeld(held, undefined), full ? retryAfterMs : undefined)
}

/** A full queue drains at the pace of its server; a second is long enough not to hammer it. */
const retryAfterMs = 1_000
