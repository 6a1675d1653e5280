/**
 * Recovery of unknowns, one step at a time: what is due is taken under a lease, a replay or a look is made, and what it
 * came to is one guarded move. Any broker may take any step; a process that dies in one leaves it due again, or, in a
 * replay, an operation that the sweep makes unknown. Calls come first: a step waits for a slot that no call wants.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { SubmitCommand } from '../../../shared/call/command.ts'
import type { RecoveryStep } from '../../../shared/call/recovery.ts'
import type { Unknown } from '../../../shared/call/operation.ts'
import type { Broker } from '../deps.ts'
import type { Held } from '../held.ts'
import { type KeptCall, openKept } from '../kept.ts'
import { move } from '../move.ts'
import { repeat } from '../repeat.ts'
import { type DueRow, giveBackDue, takeDue } from '../sql/recover.ts'
import { operationOf } from '../sql/row.ts'
import { commandOfRow } from '../sweep.ts'
import { look } from './look.ts'
import { replay } from './replay.ts'

/** Steps in hand: as many as a process works on while it waits for slots. */
const mostInHand = 32
/** Steps of one server in hand: beyond that its others wait in the database, and do not stand before those of other servers. */
const mostOfServer = 8

/** An unknown whose step this process has taken. */
export type Taken = {
  readonly held: Held & { operation: Unknown }
  readonly kept: KeptCall
}

type Deps = { readonly broker: Broker; readonly leaseMs: number; readonly stopping: AbortSignal }
/** Operations in hand, with their servers. */
type InHand = Map<string, string>

/** Looks for what is due again and again. After `stop` no step is begun; one that was begun holds its slot until it ends. */
export function startRecovery(
  broker: Broker,
  { pauseMs, leaseMs }: { pauseMs: number; leaseMs: number },
): { stop(): Promise<void> } {
  const stopping = new AbortController()
  const inHand: InHand = new Map()
  const deps = { broker, leaseMs, stopping: stopping.signal }
  const looking = repeat({ log: broker.log, doing: 'looking for unknowns to recover' }, pauseMs, () =>
    recoverDue(deps, inHand),
  )
  return {
    async stop() {
      stopping.abort()
      await looking.stop()
    },
  }
}

/** Takes what is due and starts it. Resolves when it has been started, not when it is done. */
async function recoverDue(deps: Deps, inHand: InHand): Promise<void> {
  const { broker, leaseMs, stopping } = deps
  const limit = mostInHand - inHand.size
  if (limit <= 0 || stopping.aborted) return
  const without = { ids: [...inHand.keys()], servers: crowded([...inHand.values()]) }
  for (const row of await takeDue(broker.db, { without, limit, leaseMs })) {
    inHand.set(row.operation_id, row.server)
    void recoverOne(deps, row)
      .catch(error =>
        broker.log.warn({ err: error, operation: row.operation_id }, 'a step of recovery failed; it is tried again'),
      )
      .finally(() => inHand.delete(row.operation_id))
  }
}

const crowded = (servers: readonly string[]): string[] =>
  [...new Set(servers)].filter(server => servers.filter(each => each === server).length >= mostOfServer)

async function recoverOne({ broker, stopping }: Deps, row: DueRow): Promise<void> {
  const operation = operationOf(row)
  if (operation?.state !== 'unknown' || operation.recovery?.next === undefined) return
  const kept = row.kept && openKept(broker, row.operation_id, row.kept)
  const held = { command: commandFor(row, kept), operation, retentionMs: row.retention_ms, request: kept?.request }
  const impossible = impossibleSteps(broker, held, kept)
  if (kept === undefined || impossible.includes(operation.recovery.next.step)) {
    await reschedule(broker, held, kept === undefined ? ['replay', 'probe'] : impossible)
    return
  }
  if (!(await takeSlot(broker, row.server, stopping))) return giveBackDue(broker.db, operation)
  const taken = { held, kept }
  // A replay gives its slot back itself, as every dispatch does.
  if (operation.recovery.next.step === 'replay') return replay(broker, taken)
  try {
    await look(broker, taken)
  } finally {
    broker.lanes.release(row.server)
    broker.slotFreed(row.server)
  }
}

/** The command of the try, from what was kept of it. */
function commandFor(row: DueRow, kept: KeptCall | undefined): SubmitCommand {
  const command = commandOfRow(row)
  if (kept === undefined) return command
  return {
    ...command,
    arguments: kept.request.argumentsJson,
    caller: kept.caller,
    ...(kept.inputs && { inputs: kept.inputs }),
  }
}

/**
 * A replay is safe only where every attempt carried the key, in the place that is declared now; a look finds a reference
 * only where it was injected.
 */
function impossibleSteps({ settings }: Broker, { command }: Held, kept: KeptCall | undefined): RecoveryStep[] {
  const { recovery } = settings.tool(command.server, command.tool)
  const carries = recovery?.carrier !== undefined && JSON.stringify(kept?.carrier) === JSON.stringify(recovery.carrier)
  const findable = recovery?.look !== undefined && (recovery.inject === undefined || kept?.request.injected === true)
  return [...(carries ? [] : (['replay'] as const)), ...(findable ? [] : (['probe'] as const))]
}

async function reschedule(broker: Broker, held: Held, without: readonly RecoveryStep[]): Promise<void> {
  const { operation } = await move(broker, held, () => ({ type: 'reschedule', at: broker.clock.now(), without }))
  broker.log.warn({ operation: operation.operationId, without }, 'recovery cannot make these steps for this call')
}

const slotPauseMs = 50
const slotPatienceMs = 5_000

/** Waits for a slot that no call wants. False when calls want them all: the step is due again later. */
async function takeSlot({ lanes, monotonic }: Broker, server: string, stopping: AbortSignal): Promise<boolean> {
  const until = monotonic() + slotPatienceMs
  while (!stopping.aborted && monotonic() < until) {
    if (lanes.reserveIdle(server)) return true
    await sleep(slotPauseMs)
  }
  return false
}
