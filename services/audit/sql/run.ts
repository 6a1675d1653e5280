/** One request for SQL from the key to the answer: who asks, may they, is the statement harmless, run it bounded. */
import type { Clickhouse } from '../../../shared/clickhouse/connect.ts'
import type { ReadLimits, ReadResult, Reader } from '../../../shared/clickhouse/reader.ts'
import { UnavailableError } from '../../../shared/errors.ts'
import type { Gate } from './gate.ts'
import { guard } from './guard.ts'
import { nativeAt } from './native.ts'
import { engineErrorToWire, isRefusal, refusalToWire, refuse, type Refusal, type WireError } from './refusal.ts'
import type { SqlRequest } from './request.ts'

export type Reading = {
  readonly agent: string
  readonly tenant: string
  readonly readHistory: boolean
  readonly mayReveal?: boolean
  /** SHA-256 prefix of the key. */
  readonly credential?: string
}
/** Undefined for a key that is wrong; rejects with `UnavailableError` when that cannot be told now. */
export type Authenticate = (secret: string) => Promise<Reading | undefined>

export type RunDeps = { readonly clickhouse: Clickhouse; readonly gate: Gate; readonly limits: ReadLimits }

export type Answer = ReadResult & { readonly format: string }

/** @returns who reads, or why they may not */
export async function authorize(authenticate: Authenticate, secret: string | undefined): Promise<Reading | Refusal> {
  const reading = secret === undefined ? undefined : await authenticate(secret).catch(refuseUnavailable)
  if (reading && isRefusal(reading)) return reading
  if (!reading) {
    return refuse(
      'AUTHENTICATION_FAILED',
      'Send an API key as Authorization: Bearer <key>, or as the password; holdfast keys create makes one.',
    )
  }
  if (!reading.readHistory) {
    return refuse(
      'ACCESS_DENIED',
      `${reading.agent} may not read the history: ask the operator for a role that allows it.`,
    )
  }
  return reading
}

function refuseUnavailable(error: unknown): Refusal {
  if (error instanceof UnavailableError) return refuse('NETWORK_ERROR', error.message)
  throw error
}

/** @returns the answer, or the error as it goes over the wire; throws only on our own mistakes */
export async function runSql(
  { clickhouse, gate, limits }: RunDeps,
  tenant: string,
  request: SqlRequest,
): Promise<Answer | WireError> {
  const outcome = await gate.through(async () => {
    try {
      const reader = await clickhouse.openReader({
        tenant,
        limits,
        parameters: request.parameters,
        settings: request.settings,
      })
      try {
        return await judgeAndRun(reader, request)
      } finally {
        reader.close()
      }
    } catch (error) {
      return errorToWire(error)
    }
  })
  return (
    outcome ??
    refusalToWire(refuse('TOO_MANY_SIMULTANEOUS_QUERIES', 'Too many queries are waiting: ask again in a moment.'))
  )
}

async function judgeAndRun(reader: Reader, request: SqlRequest): Promise<Answer | WireError> {
  const ask = async (sql: string) => new TextDecoder().decode((await reader.run(sql, 'TSVRaw')).bytes)
  const judged = await guard(ask, request.sql)
  if (isRefusal(judged)) return refusalToWire(judged)
  const result = await reader.run(judged.sql, request.defaultFormat)
  const format = judged.format ?? request.defaultFormat
  if (format !== 'Native') return { ...result, format }
  try {
    return { ...result, bytes: nativeAt(result.bytes, request.protocolVersion), format }
  } catch (error) {
    return refusalToWire(
      refuse('BAD_ARGUMENTS', error instanceof Error ? `${error.message}: cast it or choose another format.` : ''),
    )
  }
}

function errorToWire(error: unknown): WireError {
  if (error instanceof UnavailableError) return refusalToWire(refuse('NETWORK_ERROR', error.message))
  if (error instanceof Error && error.message.includes('DB::Exception')) return engineErrorToWire(error.message)
  throw error
}
