import { type Command, done, failed, misused, textOption } from './command.ts'
import { ask, cell, findRunning, readAnswer, refusalOf, runningHelp, runningOptions } from './running.ts'
import { table } from './table.ts'

export const reveal: Command = {
  name: 'reveal',
  usage: '<callId> --reason <text>',
  summary: 'Shows what the history keeps encrypted of a call. Each time is on record with who and why.',
  help: `
--reason <text>    why it has to be read${runningHelp}
Here --url is the address of the SQL endpoint.
The key's agent needs readHistory: true and a role with reveal: true; the key of a single node's data folder may.`,
  options: { ...runningOptions, reason: { type: 'string' } },

  async run(shell, input) {
    const [callId, ...more] = input.positionals
    const reason = textOption(input, 'reason')
    if (callId === undefined || more.length > 0) return misused('Name one call')
    if (reason === undefined || reason.trim() === '') return misused('Say with --reason why it has to be read')
    const response = await ask(findRunning(shell, input, 'sql'), `/v1/reveal/${encodeURIComponent(callId)}`, {
      method: 'POST',
      body: JSON.stringify({ reason }),
    })
    const text = await response.clone().text()
    const answer = await readAnswer(response)
    if (!response.ok) return failed(refusalOf(response, answer))
    const values = Object.entries((answer.values ?? {}) as Record<string, unknown>)
    if (input.options.json) shell.out(`${text.trim()}\n`)
    else if (answer.cut === true) shell.out(`The values of ${callId} were too long to be kept; they can be proved.\n`)
    else
      shell.out(
        `${cell(answer.subject)}\n${table([['PATH', 'VALUE'], ...values.map(([path, value]) => [path, JSON.stringify(value)])])}`,
      )
    return done
  },
}
