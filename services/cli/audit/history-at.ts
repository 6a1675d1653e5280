/** Where the history is asked: a server, or Holdfast's SQL endpoint. */
import { ConfigError } from '../../../shared/errors.ts'
import { type Arguments, type Shell, textOption } from '../command.ts'
import { findRunning } from '../running.ts'
import type { HistoryAt } from './history.ts'

/** @throws ConfigError when nothing says where */
export function placeOfHistory(shell: Shell, input: Arguments): HistoryAt {
  const server = shell.env.CLICKHOUSE_URL
  if (textOption(input, 'url') === undefined && server) {
    const url = new URL(server)
    const user = `${decodeURIComponent(url.username || 'default')}:${decodeURIComponent(url.password)}`
    url.username = ''
    url.password = ''
    return { url, authorization: `Basic ${Buffer.from(user).toString('base64')}`, seesAll: true }
  }
  const { url, key } = findRunning(shell, input, 'sql')
  return { url, authorization: `Bearer ${key}`, seesAll: false }
}

/** The same for commands that can do without it. */
export function historyAt(shell: Shell, input: Arguments): HistoryAt {
  try {
    return placeOfHistory(shell, input)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    throw new ConfigError(error.problems.map(problem => `${problem}; or leave the history out with --no-history`))
  }
}
