/**
 * The database of the model: rows guarded by `sequence`, one row for a key, one live row for a change, fences, leases by
 * the database's time, and the memory of handled calls. Every function is one commit. Nothing here decides.
 */
import { isTwin, type OperationEvent } from '../../../shared/call/decide.ts'
import { afterCall } from '../../../shared/call/key.ts'
import { type Operation, twinStates } from '../../../shared/call/operation.ts'
import type { Law } from './law.ts'

export type Row = {
  readonly key: string
  operation: Operation
  /** Upstream's answer of the last finished attempt. */
  raw: string | undefined
  /** The history, as the outbox would publish it. */
  readonly events: OperationEvent[]
}
export type Handled = { readonly key: string; readonly how: 'own' | 'replayed' | 'attached' | 'conflicted' }
export type Standing = {
  readonly row: Readonly<Row> | undefined
  readonly fencedAt: number | undefined
  readonly twins: readonly Operation[]
  readonly handled: Handled | undefined
}
/** Parts of the protocol that a test takes out, to show that the model notices. */
export type Broken = Partial<
  Record<
    'sequence' | 'fence' | 'handled' | 'twins' | 'intent' | 'sweep' | 'replay' | 'takeUp' | 'honours' | 'early',
    boolean
  >
>

type Move = {
  readonly key: string
  readonly operation: Operation
  readonly event: OperationEvent
  readonly raw?: string | undefined
  /** The call that this commit handles. */
  readonly callId?: string | undefined
  /** The lease that must live: nobody claims or sends under an expired one. */
  readonly owner?: string | undefined
}

export type Store = ReturnType<typeof createStore>

export function createStore({ clock, law, broken }: { clock: { now: number }; law: Law; broken: Broken }) {
  const rows = new Map<string, Row>()
  const fences = new Map<string, number>()
  const leases = new Map<string, number>()
  const handled = new Map<string, Handled>()

  const isLive = (owner: string | undefined): boolean => owner === undefined || (leases.get(owner) ?? 0) > clock.now
  const liveTwins = (key: string, fingerprint: string): Operation[] =>
    [...rows.values()]
      .filter(row => row.key !== key && isTwin(row.operation, { fingerprint, after: undefined }))
      .map(row => row.operation)

  /** The partial unique index; a key that names the other call stands outside it. */
  const violatesTwins = ({ key, operation }: Move): boolean =>
    !broken.twins &&
    twinStates.includes(operation.state) &&
    liveTwins(key, operation.fingerprint).some(twin =>
      isTwin(twin, { fingerprint: operation.fingerprint, after: afterCall(key) }),
    )

  /** The same call may be in the hands of two processes: who comes second finds that it was handled, whatever it read. */
  const wasHandled = (callId: string | undefined): boolean =>
    !broken.handled && callId !== undefined && handled.has(callId)

  const keep = (row: Row, before: Operation | undefined, { event, callId }: Move): void => {
    rows.set(row.key, row)
    row.events.push(event)
    law.moved(rows.values(), row, before, event)
    if (callId !== undefined) handled.set(callId, { key: row.key, how: 'own' })
  }

  return {
    rows: (): Iterable<Row> => rows.values(),
    row: (key: string): Row | undefined => rows.get(key),
    renew: (owner: string, until: number): void => void leases.set(owner, until),
    isLive,

    read: (key: string, callId: string, fingerprint: string): Standing => {
      const row = rows.get(key)
      return {
        row: row && { ...row },
        fencedAt: broken.fence ? undefined : fences.get(key),
        twins: liveTwins(key, fingerprint),
        handled: broken.handled ? undefined : handled.get(callId),
      }
    },

    /** Inserts the row of a key. False when the key is held, a fence came in between, the change has a twin, the call was handled, or the lease is over. */
    claim: (move: Move, seenFence: number | undefined): boolean => {
      const { key, operation, owner } = move
      const fencedSince = !broken.fence && fences.get(key) !== seenFence
      if (rows.has(key) || fencedSince || violatesTwins(move) || wasHandled(move.callId) || !isLive(owner)) return false
      keep({ key, operation, raw: undefined, events: [] }, undefined, move)
      return true
    },

    /** Moves a row from the version it was decided on; false when it has another one by now. */
    advance: (move: Move, expectedSequence: number): boolean => {
      const row = rows.get(move.key)
      if (row === undefined || wasHandled(move.callId) || !isLive(move.owner)) return false
      const before = row.operation
      if (!broken.sequence && before.sequence !== expectedSequence) return false
      if (!twinStates.includes(before.state) && violatesTwins(move)) return false
      row.operation = move.operation
      if (move.operation.epoch !== before.epoch) row.raw = undefined
      if (move.raw !== undefined) row.raw = move.raw
      keep(row, before, move)
      return true
    },

    /** Remembers how a call that moved nothing was handled; false when it was handled before, and the record answers. */
    join: (callId: string, memory: Handled): boolean => {
      if (wasHandled(callId)) return false
      handled.set(callId, memory)
      return true
    },

    isHandled: (callId: string): boolean => handled.has(callId),

    /** Takes the place of a row; false when there is one. */
    fence: (key: string): boolean => {
      if (rows.has(key)) return false
      fences.set(key, clock.now)
      return true
    },
  }
}
