import { parseDuration } from '../../shared/config/units.ts'
import { type Command, done, failed, misused, type Shell, textOption } from './command.ts'
import { ask, cell, findRunning, readAnswer, refusalOf, runningHelp, runningOptions } from './running.ts'
import { table } from './table.ts'

/** Lists of a report, in the order of what needs attention least to what needs it most. */
const lists = ['confirmed', 'failed', 'notExecuted', 'pending', 'unknown'] as const

export const report: Command = {
  name: 'report',
  usage: '[--since 24h] [--conversation <id>]',
  summary: "Lists the agent's changes: confirmed, failed, not executed, pending, unknown.",
  help: `
--since <duration or time>   how far back: 2h, 7d, or 2026-11-21T09:00:00Z (default 24h)
--conversation <id>          only changes of this conversation${runningHelp}`,
  options: { ...runningOptions, since: { type: 'string' }, conversation: { type: 'string' } },

  async run(shell, input) {
    if (input.positionals.length > 0) return misused('report takes no arguments')
    const since = sinceOf(textOption(input, 'since') ?? '24h')
    if (since === undefined)
      return misused('--since must be a duration such as 2h, or a time such as 2026-11-21T09:00:00Z')
    const search = new URLSearchParams({ since })
    const conversation = textOption(input, 'conversation')
    if (conversation !== undefined) search.set('conversation', conversation)
    const response = await ask(findRunning(shell, input, 'outcomes'), `/v1/report?${search.toString()}`)
    const text = await response.clone().text()
    const answer = await readAnswer(response)
    if (!response.ok) return failed(refusalOf(response, answer))
    if (input.options.json) shell.out(`${text.trim()}\n`)
    else tell(shell, answer)
    return done
  },
}

function sinceOf(text: string): string | undefined {
  const ago = parseDuration(text)
  const time = ago === undefined ? Date.parse(text) : Date.now() - ago
  return Number.isNaN(time) ? undefined : new Date(time).toISOString()
}

function tell(shell: Shell, answer: Record<string, unknown>): void {
  const rows = lists.flatMap(name => entriesOf(answer[name]).map(entry => rowOf(entry)))
  const counts = lists.map(name => `${entriesOf(answer[name]).length} ${wordsOf(name)}`)
  shell.out(`Since ${cell(answer.since)}: ${counts.join(', ')}.\n`)
  if (rows.length > 0) shell.out(`\n${table([['STATE', 'TOOL', 'KEY', 'CALL', 'FIRST SEEN'], ...rows])}`)
  if (answer.truncated === true) shell.out('Older changes are left out: ask with a later --since.\n')
}

const rowOf = ({ state, server, tool, key, callId, firstSeenAt }: Record<string, unknown>): string[] => {
  const toolName = `${cell(server)}:${cell(tool)}`
  return [cell(state), toolName, cell(key), cell(callId), cell(firstSeenAt)]
}

const entriesOf = (list: unknown): Array<Record<string, unknown>> => (Array.isArray(list) ? list : [])

/** `notExecuted` -> not executed. */
const wordsOf = (name: string): string => name.replaceAll(/[A-Z]/g, letter => ` ${letter.toLowerCase()}`)
