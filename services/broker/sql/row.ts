/** An `operations` row, to and from the core's `Operation`. The only place that knows both shapes. */
import { CorruptionError } from '../../../shared/errors.ts'
import type { NewRecord } from '../../../shared/journal/port.ts'
import { hashText } from '../../../shared/proof/hash.ts'
import { leafOf } from '../../../shared/proof/leaf.ts'
import type { OutcomeCode } from '../../../shared/call/codes.ts'
import type { Evidence, Operation, OperationState } from '../../../shared/call/operation.ts'
import type { Recovery } from '../../../shared/call/recovery.ts'
import type { OutcomeRecord, Receipt, UpstreamAnswer } from '../../../shared/call/record.ts'

/** What a pool must do for these statements. */
export type Queryable = {
  query<Row extends object = Record<string, unknown>>(
    statement: string | { name: string; text: string },
    values?: readonly unknown[],
  ): Promise<{ rows: Row[]; rowCount: number | null }>
}

/** Columns that travel whole; hashes as hex. */
export const operationColumns = `
  o.operation_id, o.tenant, o.keyspace, o.server, o.key, o.tool, o.agent, o.conversation,
  encode(o.fingerprint, 'hex') as fingerprint, o.state, o.call_id, o.epoch, o.round, o.sequence, o.attempts, o.owner,
  o.code, o.evidence, o.reopenable, o.inputs_hash, o.request_state_hash, o.first_seen_ms, o.dispatch_by_ms,
  o.dispatched_ms, o.finished_ms, o.fenced_ms, o.retention_ms, o.expires_ms, o.recovery, o.receipt,
  (o.expires_ms is not null and o.expires_ms <= now_ms()) as expired`

/** The answer of the current round, joined where outcomes are given. */
export const answerColumns = 'r.kind as answer_kind, r.raw as answer_raw'
export const answerJoin = `
  left join results r on r.operation_id = o.operation_id and r.epoch = o.epoch and r.round = o.round`

export type OperationRow = {
  operation_id: string
  tenant: string
  keyspace: string
  server: string
  key: string
  tool: string
  agent: string
  conversation: string | null
  fingerprint: string
  state: OperationState | 'fence'
  call_id: string
  epoch: number
  round: number
  sequence: number
  attempts: number
  owner: string | null
  code: string | null
  evidence: string | null
  reopenable: boolean
  inputs_hash: string | null
  request_state_hash: string | null
  first_seen_ms: number
  dispatch_by_ms: number | null
  dispatched_ms: number | null
  finished_ms: number | null
  fenced_ms: number | null
  retention_ms: number
  expires_ms: number | null
  recovery: Recovery | null
  receipt: string | null
  expired: boolean
  answer_kind?: UpstreamAnswer['kind'] | null
  answer_raw?: string | null
}

/** The operation of a row; undefined for a fence, which is none. */
export function operationOf(row: OperationRow): Operation | undefined {
  if (row.state === 'fence') return undefined
  const common = {
    operationId: row.operation_id,
    callId: row.call_id,
    fingerprint: row.fingerprint,
    epoch: row.epoch,
    round: row.round,
    sequence: row.sequence,
    attempts: row.attempts,
    firstSeenAt: row.first_seen_ms,
    ...(row.inputs_hash !== null && { inputsHash: row.inputs_hash }),
  }
  const recovery = row.recovery === null ? {} : { recovery: row.recovery }
  const finished = () => ({
    finishedAt: present(row, row.finished_ms),
    evidence: present(row, row.evidence) as Evidence,
  })
  const code = () => present(row, row.code) as OutcomeCode
  switch (row.state) {
    case 'accepted':
      return {
        ...common,
        state: row.state,
        owner: present(row, row.owner),
        dispatchBy: present(row, row.dispatch_by_ms),
      }
    case 'awaiting_approval':
      return { ...common, state: row.state, dispatchBy: present(row, row.dispatch_by_ms) }
    case 'executing':
      return {
        ...common,
        state: row.state,
        owner: present(row, row.owner),
        dispatchedAt: present(row, row.dispatched_ms),
        ...recovery,
      }
    case 'awaiting_input':
      return { ...common, state: row.state, requestStateHash: present(row, row.request_state_hash) }
    case 'succeeded':
      return { ...common, state: row.state, ...finished() }
    case 'failed':
      return { ...common, state: row.state, ...finished(), code: code() }
    case 'not_executed':
      return { ...common, state: row.state, ...finished(), code: code(), reopenable: row.reopenable }
    case 'unknown':
      return { ...common, state: row.state, code: code(), owner: row.owner ?? '', ...recovery }
  }
}

function present<T>(row: OperationRow, value: T | null): T {
  if (value === null)
    throw new CorruptionError(`operation ${row.operation_id} is ${row.state} but lacks a field of that state`)
  return value
}

/** What front needs to answer from a row read with `operationColumns` and, where wanted, `answerColumns`. */
export function recordOf(row: OperationRow): OutcomeRecord | undefined {
  const operation = operationOf(row)
  if (operation === undefined) return undefined
  return {
    operation,
    tenant: row.tenant,
    keyspace: row.keyspace,
    agent: row.agent,
    conversation: row.conversation ?? undefined,
    server: row.server,
    tool: row.tool,
    key: row.key,
    expiresAt: row.expires_ms ?? undefined,
    expired: row.expired,
    receipt: receiptOf(row.operation_id, row.sequence, row.receipt),
    answer: answerOf(row, operation),
  }
}

export const receiptOf = (
  operationId: string,
  sequence: number,
  leaf: string | null | undefined,
): Receipt | undefined => (leaf ? { event: `${operationId}:${sequence}`, leaf } : undefined)

/** What the server once said without certainty is not its answer any more where somebody else established the outcome. */
function answerOf(
  { answer_kind: kind, answer_raw: raw }: OperationRow,
  operation: Operation,
): UpstreamAnswer | undefined {
  const isEstablished = 'evidence' in operation && (operation.evidence === 'probe' || operation.evidence === 'person')
  return kind && raw != null && !isEstablished ? { kind, raw } : undefined
}

/** The changing columns of an operation, in the order of `changingColumns`. */
export const changingColumns = [
  'state',
  'call_id',
  'epoch',
  'round',
  'sequence',
  'attempts',
  'owner',
  'code',
  'evidence',
  'reopenable',
  'inputs_hash',
  'request_state_hash',
  'dispatch_by_ms',
  'dispatched_ms',
  'finished_ms',
  'expires_ms',
  'recovery',
  'recover_at_ms',
  'receipt',
] as const

/** What is absent is undefined: it takes no room in a batch. */
export type Changing = Record<
  Exclude<(typeof changingColumns)[number], 'recovery'>,
  string | number | boolean | undefined
> & { readonly recovery: Recovery | undefined }

/**
 * The leaf of the event that ends an operation, known once its bytes are final: they go to the outbox as they are here. Set
 * in `changing`, where whoever answers reads it.
 */
export function sealReceipt(changing: Changing, event: NewRecord): void {
  if (isFinalState(changing.state)) changing.receipt = hashText(leafOf(event))
}

export const isFinalState = (state: unknown): boolean =>
  state === 'succeeded' || state === 'failed' || state === 'not_executed'

/** @param retentionMs how long a settled outcome is kept */
export function changingOf(operation: Operation, retentionMs: number): Changing {
  const has = <K extends string>(key: K) => (operation as Record<string, unknown>)[key] as never
  const finishedAt: number | undefined = has('finishedAt')
  return {
    state: operation.state,
    call_id: operation.callId,
    epoch: operation.epoch,
    round: operation.round,
    sequence: operation.sequence,
    attempts: operation.attempts,
    owner: has('owner'),
    code: has('code'),
    evidence: has('evidence'),
    reopenable: operation.state === 'not_executed' && operation.reopenable,
    inputs_hash: operation.inputsHash,
    request_state_hash: has('requestStateHash'),
    dispatch_by_ms: has('dispatchBy'),
    dispatched_ms: has('dispatchedAt'),
    finished_ms: finishedAt,
    expires_ms: finishedAt === undefined ? undefined : finishedAt + retentionMs,
    recovery: has('recovery'),
    // Due only while it is unknown: a replay that runs is its owner's.
    recover_at_ms: operation.state === 'unknown' ? operation.recovery?.next?.at : undefined,
    // By `sealReceipt`.
    receipt: undefined,
  }
}
