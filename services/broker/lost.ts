/**
 * Claims that lost: what stands in the way of each, and what it means for the call. It joins an operation, moves one on,
 * is taken up where its own claim was committed unnoticed, or claims again because nothing stands there any more.
 */
import type { SubmitCommand } from '../../shared/call/command.ts'
import { decide, isAnswerable, isTwin, type OperationEvent } from '../../shared/call/decide.ts'
import { evolve } from '../../shared/call/evolve.ts'
import { changeHash, scopeHash } from '../../shared/call/fingerprint.ts'
import { afterCall } from '../../shared/call/key.ts'
import type { Operation } from '../../shared/call/operation.ts'
import { crashPoint } from '../../shared/process/crash-point.ts'
import type { Broker } from './deps.ts'
import { joinRecord, transitionRecord } from './events.ts'
import { type Held, letGo } from './held.ts'
import { isKept, keep } from './kept.ts'
import type { Slot } from './lanes.ts'
import { tellFromRecord } from './outcomes.ts'
import { patiently } from './patience.ts'
import { reject } from './rejected.ts'
import { readById } from './sql/outcomes.ts'
import { changingOf, operationOf, type OperationRow, recordOf } from './sql/row.ts'
import { readStanding, type Standing } from './sql/standing.ts'
import { allowsTwins, begin, giveBack, submitOf, tryClaim } from './claim.ts'

/** What a lost claim comes to: handled, or to be claimed again because nothing stands in its way any more. */
type Outcome = 'handled' | 'again'

export async function lookAtLost(
  broker: Broker,
  lost: readonly SubmitCommand[],
  signal: AbortSignal,
): Promise<SubmitCommand[]> {
  if (lost.length === 0) return []
  const questions = lost.map(command => ({
    callId: command.callId,
    scope: scopeHash(command),
    change: changeHash(command),
  }))
  const standings = await patiently(
    { log: broker.log, signal, doing: 'reading what stands in the way of a claim' },
    () => readStanding(broker.db, questions),
  )
  const again: SubmitCommand[] = []
  const joins: Array<Promise<Outcome>> = []
  const moving = new Set<string>()
  for (const [index, command] of lost.entries()) {
    const scope = questions[index]?.scope as string
    // One move of a key at a time: what comes behind it in the batch sees its result.
    if (moving.has(scope)) {
      again.push(command)
      continue
    }
    const handling = lookAt(broker, command, scope, standings[index] as Standing)
    if (handling.moves) moving.add(scope)
    joins.push(
      handling.done.then(outcome => {
        if (outcome === 'again') again.push(command)
        return outcome
      }),
    )
  }
  await Promise.all(joins)
  return inOrder(lost, again)
}

/** Commands keep the order the journal gave them. */
const inOrder = (all: readonly SubmitCommand[], some: readonly SubmitCommand[]) => {
  const wanted = new Set(some)
  return all.filter(command => wanted.has(command))
}

type Handling = { readonly moves: boolean; readonly done: Promise<Outcome> }
const moves = (done: Promise<Outcome>): Handling => ({ moves: true, done })
const stays = (done: Promise<Outcome>): Handling => ({ moves: false, done })

/** Why this call did not win, and what follows. */
function lookAt(broker: Broker, command: SubmitCommand, scope: string, standing: Standing): Handling {
  const { row, handled, isTaken, twins } = standing
  const operation = row && operationOf(row)
  if (row !== undefined && operation !== undefined) {
    if (operation.operationId === command.callId || operation.callId === command.callId) {
      return stays(takeUpOwn(broker, command, row, operation))
    }
  }
  if (handled !== undefined) return stays(answerRedelivered(broker, command, handled))
  if (row !== undefined && operation !== undefined) return onExisting(broker, command, row, operation, twins)
  if (isTaken) return stays(rejectTaken(broker, command))
  const checkTwins = !allowsTwins(broker, command)
  const twin = checkTwins ? twinOf(command, twins) : undefined
  if (twin !== undefined) return stays(join(broker, command, twin, { how: 'conflicted', code: 'possible_duplicate' }))
  // Every live twin is one that the key names: a deliberate second change, which the guard lets pass.
  const guard = checkTwins && twins.length === 0
  if (row === undefined && guard === checkTwins) return moves(Promise.resolve('again'))
  const options = { checkTwins: guard, twinSlot: twinSlotOf(broker, command, twins), ...(row && { fence: row }) }
  return moves(tryClaim(broker, command, scope, options).then(({ won }) => (won ? 'handled' : 'again')))
}

/** It can never claim, and must not hold up what comes behind it. */
async function rejectTaken(broker: Broker, command: SubmitCommand): Promise<Outcome> {
  const reason = 'its callId is the operation of another key'
  await reject(broker, { reference: command.callId, reason, value: JSON.stringify(command) }, broker.stopping)
  return 'handled'
}

/**
 * Beside live twins that the key names with `;after=` there is one place: a second deliberate change knows nothing of
 * the first, and is its twin.
 */
function twinSlotOf(broker: Broker, command: SubmitCommand, twins: readonly OperationRow[]): string {
  if (allowsTwins(broker, command)) return command.callId
  return twins.length === 0 ? '' : (afterCall(command.key) as string)
}

const twinOf = (command: SubmitCommand, twins: readonly OperationRow[]): OperationRow | undefined =>
  twins.find(row => {
    const operation = operationOf(row)
    return (
      operation !== undefined && isTwin(operation, { fingerprint: command.fingerprint, after: afterCall(command.key) })
    )
  })

/** The key is held by an operation: join it, reopen it, or answer its question. */
function onExisting(
  broker: Broker,
  command: SubmitCommand,
  row: OperationRow,
  operation: Operation,
  twins: readonly OperationRow[],
): Handling {
  if (row.expired) return stays(join(broker, command, row, { how: 'replayed', code: 'idempotency_key_expired' }))
  const twinRow = allowsTwins(broker, command) ? undefined : twinOf(command, twins)
  const twin = twinRow && operationOf(twinRow)
  const slot = broker.lanes.reserve(command.server)
  // I9: who was told `not_found` when this key was absent was told it of every command received before.
  const { event, answer } = decide({ operation, twin }, submitOf(broker, command, slot, row.fenced_ms ?? undefined))
  if (event === undefined) {
    giveBack(broker, command, slot)
    if (answer.kind === 'own') return stays(Promise.resolve('again'))
    const code = answer.kind === 'conflicted' ? answer.code : undefined
    const joined = code === 'possible_duplicate' ? (twinRow as OperationRow) : row
    return stays(join(broker, command, joined, { how: answer.kind, code }))
  }
  // The next round of a question keeps the place it has.
  const twinSlot = operation.state === 'not_executed' ? twinSlotOf(broker, command, twins) : undefined
  return moves(reopen(broker, command, { row, operation, event, slot, twinSlot }))
}

/** A new try of a key that provably was not sent, or the next round of a question: guarded by the sequence. */
async function reopen(
  broker: Broker,
  command: SubmitCommand,
  input: { row: OperationRow; operation: Operation; event: OperationEvent; slot: Slot; twinSlot: string | undefined },
): Promise<Outcome> {
  const { row, operation, event, slot, twinSlot } = input
  const next = evolve(operation, event)
  const kept = isKept(next) ? keep(broker, command, next) : undefined
  const held: Held = { command, operation: next, retentionMs: row.retention_ms, request: kept?.request }
  const advance = {
    operationId: operation.operationId,
    expectedSequence: operation.sequence,
    changing: changingOf(next, row.retention_ms),
    event: transitionRecord(broker.events, { event, operation: next, command, opens: true }),
    intentBefore: next.state === 'executing' ? command.dispatchBy : undefined,
    twinSlot,
    handled: { callId: command.callId, how: 'own' },
    beside: kept && { kept: kept.sealed },
  }
  const moved = await broker.advances.add(advance).catch(error => {
    broker.log.warn({ err: error, call: command.callId }, 'a new try could not be confirmed; looking again')
    return false
  })
  crashPoint('broker.reopen.committed')
  if (moved) begin(broker, held, slot)
  else giveBack(broker, command, slot)
  return moved ? 'handled' : 'again'
}

async function join(
  broker: Broker,
  command: SubmitCommand,
  row: OperationRow,
  { how, code }: { how: 'replayed' | 'attached' | 'conflicted'; code?: string | undefined },
): Promise<Outcome> {
  const record = recordOf(row)
  if (record === undefined) return 'again'
  const { operation } = record
  const event = joinRecord(broker.events, { command, operation, how, code, at: broker.clock.now() })
  const { callId, replyTo } = command
  if (how === 'attached') broker.waiting.add(operation.operationId, { callId, replyTo, how })
  crashPoint('broker.join.before')
  const remembered = await patiently(
    { log: broker.log, signal: broker.stopping, doing: 'recording a repeated call' },
    () => broker.joins.add({ callId, operationId: operation.operationId, how, code, event }),
  )
  crashPoint('broker.join.committed')
  // Somebody else handled this very call meanwhile: what they did is what is told (I5).
  if (!remembered) return 'again'
  broker.telemetry.joined({ callId, server: command.server, operation, how, code })
  if (how === 'attached') await afterAttaching(broker, operation)
  else broker.waiting.tell(replyTo, { kind: 'outcome', callId, how, ...(code && { code: code as never }), record })
  return 'handled'
}

/** The operation may have ended while the call attached, or may be another broker's: then the record has the answer. */
async function afterAttaching(broker: Broker, operation: Operation): Promise<void> {
  const held = broker.held.get(operation.operationId)
  if (held !== undefined && !isAnswerable(held.operation)) return
  await tellFromRecord(broker, operation.operationId)
}

/** Handled before: the record answers. It never claims and never reopens. */
async function answerRedelivered(
  broker: Broker,
  { callId, replyTo }: SubmitCommand,
  handled: NonNullable<Standing['handled']>,
): Promise<Outcome> {
  if (replyTo === undefined) return 'handled'
  if (handled.how === 'conflicted') {
    const row = await readById(broker.db, handled.operationId)
    const record = row && recordOf(row)
    if (record)
      broker.waiting.tell(replyTo, { kind: 'outcome', callId, how: 'conflicted', code: handled.code as never, record })
    return 'handled'
  }
  broker.waiting.add(handled.operationId, { callId, replyTo, how: handled.how === 'own' ? 'own' : 'attached' })
  await tellFromRecord(broker, handled.operationId)
  return 'handled'
}

/**
 * The row is this very call's. Either it is redelivered, or its claim was committed although the reply was lost: a row
 * under this process's own id that it does not hold was never sent, and is its to send once.
 */
async function takeUpOwn(
  broker: Broker,
  command: SubmitCommand,
  row: OperationRow,
  operation: Operation,
): Promise<Outcome> {
  const { callId, replyTo } = command
  const isOurs = row.owner === broker.owner.id() && !broker.held.has(operation.operationId)
  if (isOurs && operation.callId === callId && (operation.state === 'executing' || operation.state === 'accepted')) {
    return beginUnsent(broker, { command, operation, retentionMs: row.retention_ms })
  }
  broker.waiting.add(operation.operationId, { callId, replyTo, how: 'own' })
  if (isAnswerable(operation)) await tellFromRecord(broker, operation.operationId)
  return 'handled'
}

/**
 * Held first, then looked at once more: the row may have been read while this very process was still sending it, and
 * let go of since. Only a row that nobody moved after it was taken into memory was never sent (I1).
 */
async function beginUnsent(broker: Broker, held: Held): Promise<Outcome> {
  const { operation, command } = held
  broker.held.set(operation.operationId, held)
  const row = await patiently({ log: broker.log, signal: broker.stopping, doing: 'reading an unsent call again' }, () =>
    readById(broker.db, operation.operationId),
  )
  if (row?.sequence !== operation.sequence) {
    letGo(broker.held, held)
    return 'again'
  }
  // Its intent is committed, or its place taken: the lane counts it whatever the limits say now.
  if (operation.state === 'executing') broker.lanes.occupy(command.server)
  else broker.lanes.hold(command.server)
  begin(broker, held, 'free')
  return 'handled'
}
