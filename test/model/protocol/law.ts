/**
 * What may never be seen, whatever happens: the invariants of design section 3, checked against the ground truth (the
 * upstream's effects) at every step of the model. A breach throws, with the invariant's number first.
 */
import { isTwin, type OperationEvent } from '../../../shared/call/decide.ts'
import { afterCall } from '../../../shared/call/key.ts'
import { isFinal, isSettled, type Operation, twinStates } from '../../../shared/call/operation.ts'
import type { Row } from './store.ts'
import type { Request } from './upstream.ts'

/** An answer to a caller: the record as one of its versions had it. */
export type Answer = { readonly operation: Operation; readonly raw: string | undefined }
type NotFound = { readonly key: string; readonly receivedAt: number }

export type Law = ReturnType<typeof createLaw>

export function createLaw() {
  const answers = new Map<string, Answer[]>()
  const notFound: NotFound[] = []
  const conflicted = new Set<string>()
  const sent: Request[] = []

  return {
    /** The store is about to keep `after` in place of `before`. */
    moved(rows: Iterable<Row>, row: Row, before: Operation | undefined, event: OperationEvent): void {
      const { operation } = row
      const sequence = (before?.sequence ?? 0) + 1
      breach(event.sequence !== sequence, 'I8', `event ${event.sequence} of ${row.key} where ${sequence} is next`)
      if (before !== undefined && isFinal(before)) {
        breach(isSettled(before), 'I2', `${row.key} was ${before.state} for good and became ${operation.state}`)
        breach(operation.epoch !== before.epoch + 1, 'I2', `${row.key} changed in epoch ${before.epoch}`)
      }
      if (before !== undefined && isLive(before)) return
      const twin = isLive(operation) && [...rows].find(other => isUndeclaredTwin(other, row))
      breach(twin !== false && twin !== undefined, 'I5', `${row.key} is a twin of ${twin && twin.key}`)
    },

    /** The first byte of a request leaves. */
    sending(row: Row | undefined, request: Request, receivedAt: number): void {
      const { key, epoch, round, callId, attempt, honoured } = request
      const intents = row?.events.filter(
        event =>
          event.type === 'dispatched' && event.epoch === epoch && event.round === round && event.attempt === attempt,
      )
      breach(intents?.length !== 1, 'I6', `${key} was sent in epoch ${epoch}, round ${round} without a durable intent`)
      for (const earlier of sent.filter(other => other.key === key)) {
        const same = earlier.epoch === epoch && earlier.round === round
        breach(same && !(honoured && earlier.honoured), 'I1', `${key} was sent twice in epoch ${epoch}, round ${round}`)
        breach(earlier.attempt === attempt, 'I1', `attempt ${attempt} of ${key} was sent twice`)
        breach(
          earlier.epoch < epoch && earlier.mayLand,
          'I1',
          `${key} was sent again while epoch ${earlier.epoch} may land`,
        )
        breach(
          earlier.epoch < epoch && earlier.landed,
          'I1',
          `${key} was sent again after epoch ${earlier.epoch} landed`,
        )
      }
      breach(
        sent.some(other => other.callId === callId && !(honoured && other.honoured)),
        'I1',
        `call ${callId} was sent twice`,
      )
      breach(conflicted.has(callId), 'I5', `call ${callId} was refused and sent`)
      const denied = notFound.find(question => question.key === key && receivedAt < question.receivedAt)
      breach(denied !== undefined, 'I9', `${key} was sent after not_found, from a call received before the question`)
      sent.push(request)
    },

    answered(key: string, answer: Answer): void {
      const given = answers.get(key) ?? []
      for (const earlier of given) compare(key, earlier, answer)
      answers.set(key, [...given, answer])
      const { operation, raw } = answer
      if (!isAnsweredByUpstream(operation)) return
      const said = sent.some(request => request.key === key && request.epoch === operation.epoch && request.raw === raw)
      breach(!said, 'I10', `${key} was answered with what the server never said: ${raw}`)
    },

    refused(callId: string): void {
      breach(
        sent.some(request => request.callId === callId),
        'I5',
        `call ${callId} was sent and refused`,
      )
      conflicted.add(callId)
    },

    denied(question: NotFound, receivedAtOf: (callId: string) => number): void {
      const known = sent.some(({ key, callId }) => key === question.key && receivedAtOf(callId) < question.receivedAt)
      breach(known, 'I9', `not_found was said of ${question.key}, which had been sent`)
      notFound.push(question)
    },

    /** After every step. */
    holds(rows: Iterable<Row>, requests: readonly Request[]): void {
      for (const { key, operation } of rows) {
        const own = requests.filter(request => request.key === key)
        if (operation.state === 'not_executed' && operation.evidence !== 'person') {
          breach(
            own.some(request => request.landed),
            'I3',
            `${key} is not_executed and took effect`,
          )
          breach(
            own.some(request => request.mayLand),
            'I3',
            `${key} is not_executed and may still take effect`,
          )
        }
        if (operation.state === 'succeeded')
          breach(!own.some(request => request.landed), 'I3', `${key} succeeded without effect`)
        const effects = own.filter(request => request.landed && request.honoured)
        breach(
          effects.length > new Set(effects.map(({ epoch, round }) => `${epoch}.${round}`)).size,
          'I1',
          `${key} took effect twice`,
        )
      }
    },
  }
}

/** I4: over the versions that answers describe, a final one is the last of its epoch, a settled one the last of all. */
function compare(key: string, one: Answer, other: Answer): void {
  const [earlier, later] = one.operation.sequence <= other.operation.sequence ? [one, other] : [other, one]
  if (!isFinal(earlier.operation)) return
  const { state, epoch, sequence } = earlier.operation
  const same = later.operation.sequence === sequence && later.operation.state === state && later.raw === earlier.raw
  const reopened = !isSettled(earlier.operation) && later.operation.epoch > epoch
  breach(
    !same && !reopened,
    'I4',
    `${key} was answered ${state} (${sequence}), then ${later.operation.state} (${later.operation.sequence})`,
  )
}

const isLive = ({ state }: Operation): boolean => twinStates.includes(state)

const isUndeclaredTwin = (other: Row, row: Row): boolean =>
  other.key !== row.key &&
  isTwin(other.operation, { fingerprint: row.operation.fingerprint, after: afterCall(row.key) })

const isAnsweredByUpstream = (operation: Operation): boolean =>
  (operation.state === 'succeeded' || operation.state === 'failed') &&
  (operation.evidence === 'upstream' ||
    operation.evidence === 'late_answer' ||
    operation.evidence === 'upstream_replay')

function breach(is: boolean, invariant: string, what: string): void {
  if (is) throw new Error(`${invariant}: ${what}`)
}
