/**
 * The commands of the window, held against the rows: a call that is on record nowhere may have been sent under commits
 * that are lost. Its key becomes `unknown` and is never sent again; what the events still tell of it stands.
 */
import type { AskCommand, CallCommand, SubmitCommand } from '../../../shared/call/command.ts'
import { readCommand } from '../../../shared/call/command.ts'
import { decide } from '../../../shared/call/decide.ts'
import { evolve } from '../../../shared/call/evolve.ts'
import { changeHash, scopeHash } from '../../../shared/call/fingerprint.ts'
import type { Operation } from '../../../shared/call/operation.ts'
import type { JournalRecord } from '../../../shared/journal/port.ts'
import { topics } from '../../../shared/journal/topics.ts'
import { isDataError } from '../claim-batch.ts'
import { joinRecord, queriedRecord, transitionRecord } from '../events.ts'
import { problemOf } from '../problem.ts'
import { refenceKey } from '../sql/fence.ts'
import {
  bringForward,
  type Entry,
  enterOperations,
  type Forward,
  type Remembered,
  rememberCalls,
} from '../sql/lineage.ts'
import { changingOf, isFinalState, operationOf, type OperationRow } from '../sql/row.ts'
import { readSurviving, type Standing } from '../sql/standing.ts'
import type { Completing } from './complete.ts'
import { operationAfter } from './facts.ts'
import type { Told } from './told.ts'
import { chunks } from './window.ts'

/** @returns how many calls had no record */
export async function enterUnrecorded(to: Completing, told: Told): Promise<number> {
  let count = 0
  for await (const records of chunks(to, topics.calls.name)) {
    const commands = records.flatMap(readSafely)
    const submits = commands.filter(isSubmit).filter(({ callId }) => !told.rejected.has(callId))
    const lost = await withoutRecord(to, submits)
    count += lost.length
    await enter(to, told, lost)
    for (const ask of commands.filter(isAsk)) await fenceAgain(to, ask)
  }
  return count
}

function readSafely({ value }: JournalRecord): CallCommand[] {
  const read = readCommand(value)
  return 'command' in read && problemOf(read.command) === undefined ? [read.command] : []
}

const isSubmit = (command: CallCommand): command is SubmitCommand => command.type === 'submit'
const isAsk = (command: CallCommand): command is AskCommand => command.type === 'ask'

/** A call and what survived of its key. */
export type Lost = { readonly command: SubmitCommand; readonly scope: string; readonly row: OperationRow | undefined }

/** Of these calls, those that no row and no note remembers. */
export async function withoutRecord(
  { db }: Pick<Completing, 'db'>,
  commands: readonly SubmitCommand[],
): Promise<Lost[]> {
  if (commands.length === 0) return []
  const questions = commands.map(command => ({
    callId: command.callId,
    scope: scopeHash(command),
    change: changeHash(command),
  }))
  const standings = await readSurviving(db, questions)
  return commands.flatMap((command, index) => {
    const { row, handled, isTaken } = standings[index] as Standing
    const isOwn = row !== undefined && [row.operation_id, row.call_id].includes(command.callId)
    if (handled !== undefined || isTaken || (isOwn && row.state !== 'fence')) return []
    return [{ command, scope: (questions[index] as { scope: string }).scope, row }]
  })
}

async function enter(to: Completing, told: Told, lost: readonly Lost[]): Promise<void> {
  const entries: Entry[] = []
  const forwards: Forward[] = []
  const calls: Remembered[] = []
  for (const ofKey of byScope(lost)) {
    const row = (ofKey[0] as Lost).row
    const operation = row && operationOf(row)
    if (row === undefined || operation === undefined) {
      const entered = entryOf(to, told, ofKey)
      entries.push(entered.entry)
      calls.push(...joinAll(to, told, ofKey, entered.operation))
    } else {
      const moved = forwardOf(to, ofKey, { row, operation })
      if (moved.forward) forwards.push(moved.forward)
      calls.push(...joinAll(to, told, ofKey, moved.operation))
    }
  }
  await enterOrSplit(to, entries)
  if (forwards.length > 0) await bringForward(to.db, to.lineage, forwards)
  if (calls.length > 0) await rememberCalls(to.db, to.lineage, calls)
}

/** A row that the database refuses for what it carries could never be claimed, so it never ran: it holds up no other. */
async function enterOrSplit(to: Completing, entries: readonly Entry[]): Promise<void> {
  if (entries.length === 0) return
  try {
    await enterOperations(to.db, to.lineage, entries)
  } catch (error) {
    if (!isDataError(error)) throw error
    const [only] = entries
    if (entries.length === 1) return to.log.error({ err: error, call: only?.operationId }, 'a call cannot be entered')
    const middle = entries.length >> 1
    await enterOrSplit(to, entries.slice(0, middle))
    await enterOrSplit(to, entries.slice(middle))
  }
}

function byScope(lost: readonly Lost[]): Lost[][] {
  const groups = new Map<string, Lost[]>()
  for (const each of lost) groups.set(each.scope, [...(groups.get(each.scope) ?? []), each])
  return [...groups.values()]
}

/** The call that stands for the key is the one the events name, else the first. */
function entryOf(to: Completing, { missing }: Told, ofKey: readonly Lost[]): { entry: Entry; operation: Operation } {
  const claiming = ofKey.find(lost => missing.has(lost.command.callId)) ?? (ofKey[0] as Lost)
  const { command, scope } = claiming
  const { callId, fingerprint, receivedAt, tenant, keyspace, server, key, tool, caller } = command
  const fact = missing.get(callId)
  const before = fact && operationAfter(fact, { fingerprint, firstSeenAt: receivedAt })
  const later = { callId, fingerprint, hasInputs: false }
  // A reopenable key was not sent by this very call: only another one can have reopened it.
  const other = before === undefined ? later : laterOf(ofKey.filter(lost => lost !== claiming))
  const { event } = decide(
    { operation: before },
    { type: 'lose_record', at: to.clock.now(), ...(other && { later: other }), questionLost: true },
  )
  const operation = event === undefined ? (before as Operation) : evolve(before, event)
  const { retentionMs } = to.settings.tool(server, tool)
  return {
    operation,
    entry: {
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
      changing: {
        ...changingOf(operation, retentionMs),
        receipt: fact !== undefined && isFinalState(operation.state) ? fact.leaf : undefined,
      },
      firstSeenMs: operation.firstSeenAt,
      retentionMs,
      event:
        event &&
        transitionRecord(to.events, {
          event,
          operation,
          command: commandOf(ofKey, operation),
          opens: operation.callId !== before?.callId,
          ...reason,
        }),
    },
  }
}

function forwardOf(
  to: Completing,
  ofKey: readonly Lost[],
  { row, operation }: { row: OperationRow; operation: Operation },
): { forward: Forward | undefined; operation: Operation } {
  const same = ofKey.filter(({ command }) => command.fingerprint === operation.fingerprint)
  const later = laterOf(same)
  const { event } = decide({ operation }, { type: 'lose_record', at: to.clock.now(), ...(later && { later }) })
  if (event === undefined) return { forward: undefined, operation }
  const next = evolve(operation, event)
  return {
    operation: next,
    forward: {
      operationId: row.operation_id,
      expectedSequence: row.sequence,
      changing: changingOf(next, row.retention_ms),
      event: transitionRecord(to.events, {
        event,
        operation: next,
        command: commandOf(ofKey, next),
        opens: next.callId !== operation.callId,
        ...reason,
      }),
    },
  }
}

/** The command of the operation's current try, where it is among these; else any of the key tells who and what. */
const commandOf = (ofKey: readonly Lost[], { callId }: Operation): SubmitCommand =>
  (ofKey.find(({ command }) => command.callId === callId) ?? (ofKey[0] as Lost)).command

/** Of several later calls one that answers a question counts most: it may have been sent where the others cannot. */
function laterOf(lost: readonly Lost[]) {
  const command = (lost.find(({ command: { inputs } }) => inputs !== undefined) ?? lost[0])?.command
  return (
    command && {
      callId: command.callId,
      fingerprint: command.fingerprint,
      hasInputs: command.inputs !== undefined,
    }
  )
}

/** The calls that do not stand for the key are remembered with it, so that each of them leads to its record. */
function joinAll(to: Completing, { joined }: Told, ofKey: readonly Lost[], operation: Operation): Remembered[] {
  return ofKey
    .filter(({ command }) => command.callId !== operation.operationId)
    .map(({ command }) => {
      const { callId } = command
      const { operationId } = operation
      if (callId === operation.callId) return { callId, operationId, how: 'own', code: undefined, event: undefined }
      const isOther = command.fingerprint !== operation.fingerprint && !isDoubtful(operation)
      const how = isOther ? 'conflicted' : 'replayed'
      const code = isOther ? 'idempotency_conflict' : undefined
      const event = joined.has(callId)
        ? undefined
        : joinRecord(to.events, { command, operation, how, code, at: to.clock.now() })
      return { callId, operationId, how, code, event }
    })
}

/** Which of several changes held the key is not known: none of the calls is told that nothing was sent for it. */
const isDoubtful = (operation: Operation): boolean => operation.state === 'unknown' && operation.code === 'record_lost'

/** A key that was asked for and has no operation was answered `not_found`, or will be. */
async function fenceAgain(to: Completing, command: AskCommand): Promise<void> {
  const { callId, tenant, keyspace, server, key, caller } = command
  const event = queriedRecord(to.events, { callId, tenant, keyspace, server, key, caller, at: to.clock.now() })
  const scope = scopeHash(command)
  await refenceKey(to.db, to.lineage, { callId, scope, tenant, keyspace, server, key, agent: caller.agent, event })
}

const reason = { reason: 'database failover' }
