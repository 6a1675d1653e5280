/**
 * The statements under way, by the id their client gave. The engine knows ids of its own only, and a client that lost
 * its connection asks for its own (`queryGone` in `shared/clickhouse/connect.ts`).
 */
import { literal } from '../../../shared/clickhouse/literal.ts'

const tableOutsideText = /'(?:[^'\\]|\\.|'')*'|\b(system\.processes)\b/gis

export type Processes = {
  /** False when a statement of that id is under way. */
  enter(queryId: string, sql: string): boolean
  leave(queryId: string): void
  /** The statement with `system.processes` replaced by what is under way; other statements as they are. */
  shownIn(sql: string): string
}

export function createProcesses(now: () => number = () => performance.now()): Processes {
  const running = new Map<string, { readonly since: number; readonly sql: string }>()

  const asTable = () => {
    const rows = [...running].map(
      ([queryId, { since, sql }]) =>
        `(1, 'default', ${literal(queryId)}, ${(now() - since) / 1000}, ${literal(sql.slice(0, 1_000))})`,
    )
    const columns = 'is_initial_query UInt8, user String, query_id String, elapsed Float64, query String'
    return `(select * from values('${columns}', ${rows.join(', ')}))`
  }

  return {
    enter: (queryId, sql) => {
      if (running.has(queryId)) return false
      running.set(queryId, { since: now(), sql })
      return true
    },
    leave: queryId => void running.delete(queryId),
    shownIn: sql =>
      /^\s*(?:select|with)\b/i.test(sql)
        ? sql.replace(tableOutsideText, (found, table: string | undefined) => (table === undefined ? found : asTable()))
        : sql,
  }
}
