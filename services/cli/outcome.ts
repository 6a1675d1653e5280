import { type Code, codes } from '../../shared/call/codes.ts'
import { parseDuration } from '../../shared/config/units.ts'
import { type Arguments, type Command, done, failed, misused, type Shell, textOption } from './command.ts'
import { ask, cell, findRunning, readAnswer, refusalOf, runningHelp, runningOptions, textIn } from './running.ts'
import { table } from './table.ts'

export const outcome: Command = {
  name: 'outcome',
  usage: '<server> <key> | --call <callId> [--wait 30s]',
  summary: 'Tells whether a change happened.',
  help: `
--wait <duration>   wait that long for it to finish (at most 50s)
--call <callId>     ask about one call instead of a key${runningHelp}
Exit code 0 when the question was answered, whatever the state; 1 when nothing can be said.`,
  options: { ...runningOptions, call: { type: 'string' }, wait: { type: 'string' } },

  async run(shell, input) {
    const path = pathOf(input)
    if (path === undefined) return misused('Name a server and a key, or a call with --call')
    const wait = textOption(input, 'wait')
    const waitMs = wait === undefined ? 0 : parseDuration(wait)
    if (waitMs === undefined || waitMs > 50_000) return misused('--wait must be a duration of at most 50s, such as 30s')
    const response = await ask(findRunning(shell, input, 'outcomes'), waitMs > 0 ? withWait(path, waitMs) : path)
    const text = await response.clone().text()
    const answer = await readAnswer(response)
    const state = textIn(answer, 'state')
    if (state === undefined || state === 'unavailable') return failed(refusalOf(response, answer))
    // As it came: recorded results keep every digit of their numbers.
    if (input.options.json) shell.out(`${text.trim()}\n`)
    else tell(shell, state, answer)
    return done
  },
}

function pathOf(input: Arguments): string | undefined {
  const call = textOption(input, 'call')
  const [server, key, ...more] = input.positionals
  if (call !== undefined) return server === undefined ? `/v1/outcomes?callId=${encodeURIComponent(call)}` : undefined
  if (!server || !key || more.length > 0) return undefined
  return `/v1/outcomes/${encodeURIComponent(server)}/${encodeURIComponent(key)}`
}

const withWait = (path: string, waitMs: number) => `${path}${path.includes('?') ? '&' : '?'}waitMs=${waitMs}`

/** The state first, in the words of its code; then the record. Upstream's own answer is for `--json`. */
function tell(shell: Shell, state: string, answer: Record<string, unknown>): void {
  const code = textIn(answer, 'code')
  const entry = code !== undefined && Object.hasOwn(codes, code) ? codes[code as Code] : undefined
  shell.out(`${state}${code === undefined || code === state ? '' : ` (${code})`}\n`)
  if (entry) shell.out(`${entry.what} ${entry.means}\n`)
  const fields = [
    'server',
    'tool',
    'key',
    'callId',
    'epoch',
    'attempts',
    'firstSeenAt',
    'finishedAt',
    'expiresAt',
    'evidence',
  ]
  const rows = fields.flatMap(name => (cell(answer[name]) === '' ? [] : [[`  ${name}`, cell(answer[name])]]))
  shell.out(table(rows))
  const next = textIn(answer, 'next') ?? entry?.next
  if (next !== undefined) shell.out(`${next}\n`)
}
