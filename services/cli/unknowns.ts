import { type Command, done, failed, misused, type Shell, textOption } from './command.ts'
import { ask, cell, findRunning, readAnswer, refusalOf, runningHelp, runningOptions } from './running.ts'
import { table } from './table.ts'

export const unknowns: Command = {
  name: 'unknowns',
  usage: '[--server <server>] [--after <operationId>]',
  summary: 'Lists the changes of all agents that may have happened, with everything that is known of each.',
  help: `
--server <server>       only of this server
--after <operationId>   go on after this one, where there are more than one answer holds${runningHelp}
The key's agent needs a role with resolve: true; the key of a single node's data folder may.`,
  options: { ...runningOptions, server: { type: 'string' }, after: { type: 'string' } },

  async run(shell, input) {
    if (input.positionals.length > 0) return misused('unknowns takes no arguments')
    const search = new URLSearchParams()
    for (const name of ['server', 'after'] as const) {
      const value = textOption(input, name)
      if (value !== undefined) search.set(name, value)
    }
    const response = await ask(findRunning(shell, input, 'outcomes'), `/v1/unknowns?${search.toString()}`)
    const text = await response.clone().text()
    const answer = await readAnswer(response)
    if (!response.ok) return failed(refusalOf(response, answer))
    if (input.options.json) shell.out(`${text.trim()}\n`)
    else tell(shell, answer)
    return done
  },
}

type Entry = Record<string, unknown>
const entriesOf = (list: unknown): Entry[] => (Array.isArray(list) ? (list as Entry[]) : [])
const fieldsIn = (value: unknown): Entry => (typeof value === 'object' && value !== null ? (value as Entry) : {})

function tell(shell: Shell, answer: Entry): void {
  const list = entriesOf(answer.unknowns)
  shell.out(list.length === 1 ? '1 is unknown.\n' : `${list.length} are unknown.\n`)
  for (const entry of list) shell.out(`\n${describe(entry)}`)
  const last = list.at(-1)
  if (answer.truncated === true && last)
    shell.out(`\nThere are more: holdfast unknowns --after ${cell(last.operationId)}\n`)
  if (list.length > 0)
    shell.out('\nTo settle one: holdfast resolve <callId> --as succeeded|failed|not_executed --reason "…"\n')
}

/** One unknown: the call, what was tried and seen, and what comes next. */
function describe(entry: Entry): string {
  const names = ['key', 'agent', 'conversation', 'code', 'firstSeenAt', 'unknownSince', 'attempts', 'said'] as const
  const rows = names.flatMap(name => (cell(entry[name]) === '' ? [] : [[`  ${name}`, cell(entry[name])]]))
  const evidence = entriesOf(entry.evidence).map(({ at, kind, says }) => [
    '  seen',
    `${cell(at)} ${cell(kind)}: ${cell(says)}`,
  ])
  return `${cell(entry.callId)}  ${cell(entry.server)}:${cell(entry.tool)}\n${table([...rows, ...evidence, ['  next', nextOf(entry)]])}`
}

function nextOf({ recovery, budgetLeft }: Entry): string {
  const { state, next, nextAt } = fieldsIn(recovery)
  if (state === 'over') return 'nothing by itself any more: a person settles it'
  if (state !== 'under_way') return 'nothing by itself (no recover: for this tool): a late answer, or a person'
  const left = Object.entries(fieldsIn(budgetLeft)).map(([name, value]) =>
    name === 'timeMs' ? `${Math.round(Number(value) / 1000)} s` : `${cell(value)} ${name}`,
  )
  return `${cell(next)} at ${cell(nextAt)}${left.length > 0 ? `, ${left.join(', ')} left` : ''}`
}
