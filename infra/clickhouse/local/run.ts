/**
 * One statement on a session of its own: settings over chDB stay with the session, so a request's settings end with it,
 * as they do on a server.
 */
import type { Session } from 'chdb'
import type { ChdbEngine } from '../../../shared/clickhouse/chdb.ts'
import { literal } from '../../../shared/clickhouse/literal.ts'
import { type Failure, failure, failureOf } from './failure.ts'
import type { Processes } from './processes.ts'
import type { LocalRequest } from './request.ts'

export type Answer = {
  readonly bytes: Uint8Array
  readonly format: string
  readonly elapsedSeconds: number
  readonly rowsRead: number
  readonly bytesRead: number
}

export type RunDeps = { readonly engine: ChdbEngine; readonly processes: Processes }

/** Runs it to its end, whether or not the client still listens: so does a server. */
export async function run({ engine, processes }: RunDeps, request: LocalRequest): Promise<Answer | Failure> {
  if (!processes.enter(request.queryId, request.sql)) {
    return failure(
      216,
      `Query with id = ${request.queryId} is already running.`,
      'QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING',
    )
  }
  try {
    const session = engine.session()
    try {
      return await runOn(session, processes, request)
    } finally {
      session.close()
    }
  } catch (error) {
    return failureOf(error)
  } finally {
    processes.leave(request.queryId)
  }
}

async function runOn(session: Session, processes: Processes, request: LocalRequest): Promise<Answer> {
  // Throws for several statements in one request, which chDB would run and a server refuses.
  if (/;\s*\S/.test(request.sql) && !/^\s*insert\b/i.test(request.sql)) {
    await session.queryAsync(`select formatQuerySingleLine(${literal(request.sql)})`)
  }
  if (request.database !== undefined) await session.queryAsync(`use \`${request.database.replace(/[\\`]/g, '\\$&')}\``)
  const sets = settingsOf(request.settings)
  if (sets !== '') await session.queryAsync(sets)
  const result = await session.queryAsync(processes.shownIn(request.sql), { format: request.defaultFormat })
  return {
    bytes: result.bytes(),
    format: /\bFORMAT\s+(\w+)\s*;?\s*$/i.exec(request.sql)?.[1] ?? request.defaultFormat,
    elapsedSeconds: result.elapsed,
    rowsRead: result.rowsRead,
    bytesRead: result.bytesRead,
  }
}

/** `readonly` comes last: after it none of the others could be set. */
function settingsOf(settings: ReadonlyMap<string, string>): string {
  const ordered = [...settings].sort(([one], [other]) => Number(one === 'readonly') - Number(other === 'readonly'))
  return ordered.length === 0 ? '' : `set ${ordered.map(([name, value]) => `${name} = ${literal(value)}`).join(', ')}`
}
