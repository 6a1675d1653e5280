import { ConfigError } from '../../shared/errors.ts'
import { eraseSubject } from '../../shared/subjects/erase.ts'
import { type Command, done, failed, misused, printJson, textOption } from './command.ts'
import { withDatabase } from './database.ts'
import { secretsOf } from './secrets.ts'

export const erase: Command = {
  name: 'erase',
  usage: '--subject <name> --reason <text> [--tenant default]',
  summary: 'Destroys the key of a subject: what is kept of it encrypted is erased everywhere. On record, and final.',
  help: `
--subject <name>   as the arguments of the calls name it (personal.subject of the tools)
--reason <text>    why, for the record; it must not name the subject
--tenant <name>    whose data it is (default: default)
What is erased is what the history keeps encrypted, in every copy of it. What else there is of a person, and for how long:
docs/privacy.md. Other processes stop using the key within a minute.
The database is DATABASE_URL, the secret HOLDFAST_SECRET; else those of the node that runs here (HOLDFAST_DATA, .holdfast).`,
  options: { subject: { type: 'string' }, reason: { type: 'string' }, tenant: { type: 'string' } },

  async run(shell, input) {
    const subject = textOption(input, 'subject')
    const reason = textOption(input, 'reason')
    const tenant = textOption(input, 'tenant') ?? 'default'
    if (!subject) return misused('Name the subject with --subject')
    if (reason === undefined || reason.trim() === '') return misused('Say with --reason why')
    if (reason.includes(subject)) return misused('The reason names the subject, and stays on record (leave it out)')
    const [secret, ...olderSecrets] = secretsOf(shell)
    if (secret === undefined)
      throw new ConfigError(['HOLDFAST_SECRET is not set: subjects go by pseudonyms that are made with it (set it)'])
    const erased = await withDatabase(shell, client =>
      eraseSubject({ db: client, secrets: { secret, olderSecrets } }, { tenant, name: subject, reason }),
    )
    if (input.options.json) printJson(shell, { tenant, ...erased })
    else if (erased.kind === 'erased')
      shell.out(`${erased.subject} is erased. Its key is destroyed; other processes stop using it within a minute.\n`)
    else if (erased.kind === 'was_erased')
      shell.out(`${erased.subject} was erased at ${erased.at.toISOString()}; nothing came since.\n`)
    return erased.kind === 'unknown'
      ? failed(`There is no key of this subject in tenant ${tenant}: nothing was ever kept of it under this name`)
      : done
  },
}
