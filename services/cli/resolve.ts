import { resolutions } from '../../shared/call/broker-port.ts'
import { type Command, done, failed, misused, textOption } from './command.ts'
import { ask, cell, findRunning, readAnswer, refusalOf, runningHelp, runningOptions, textIn } from './running.ts'

export const resolve: Command = {
  name: 'resolve',
  usage: `<callId> --as ${resolutions.join('|')} --reason <text>`,
  summary: 'Settles an unknown by what a person found out. It is on record with who and why, and final.',
  help: `
--as succeeded       it happened
--as failed          it was tried and failed; a corrected call needs a new key
--as not_executed    it did not happen: the key is closed, because the first request may still be on its way
--reason <text>      how that was established${runningHelp}
The key's agent needs a role with resolve: true; the key of a single node's data folder may.`,
  options: { ...runningOptions, as: { type: 'string' }, reason: { type: 'string' } },

  async run(shell, input) {
    const [callId, ...more] = input.positionals
    const as = textOption(input, 'as')
    const reason = textOption(input, 'reason')
    if (callId === undefined || more.length > 0) return misused('Name one call')
    if (as === undefined || !resolutions.some(each => each === as))
      return misused(`--as must be one of ${resolutions.join(', ')}`)
    if (reason === undefined || reason.trim() === '') return misused('Say with --reason how it was established')
    const path = `/v1/unknowns/${encodeURIComponent(callId)}/resolve`
    const response = await ask(findRunning(shell, input, 'outcomes'), path, {
      method: 'POST',
      body: JSON.stringify({ as, reason }),
    })
    const text = await response.clone().text()
    const answer = await readAnswer(response)
    if (!response.ok) return failed(refusalOf(response, answer))
    if (input.options.json) shell.out(`${text.trim()}\n`)
    else
      shell.out(
        `${cell(answer.server)}:${cell(answer.tool)} ${cell(answer.key)} is ${cell(answer.state)}.\n${textIn(answer, 'next') ?? ''}\n`,
      )
    return done
  },
}
