import { ConfigError } from '../../shared/errors.ts'
import { subjectPseudonyms } from '../../shared/subjects/keys.ts'
import { findKeys } from '../../shared/subjects/sql.ts'
import { type Command, done, misused, printJson, textOption } from './command.ts'
import { withDatabase } from './database.ts'
import { secretsOf } from './secrets.ts'

export const subject: Command = {
  name: 'subject',
  usage: '<name> [--tenant default]',
  summary: 'Shows the pseudonyms of a subject, to ask the history for its calls, and whether it was erased.',
  help: `
<name>            as the arguments of the calls name it (personal.subject of the tools)
--tenant <name>   whose data it is (default: default)
Then: select * from holdfast.events where subject in ('~...')
The database is DATABASE_URL, the secret HOLDFAST_SECRET; else those of the node that runs here (HOLDFAST_DATA, .holdfast).`,
  options: { tenant: { type: 'string' } },

  async run(shell, input) {
    const [name, ...more] = input.positionals
    if (name === undefined || name === '' || more.length > 0) return misused('Name one subject')
    const tenant = textOption(input, 'tenant') ?? 'default'
    const [secret, ...olderSecrets] = secretsOf(shell)
    if (secret === undefined)
      throw new ConfigError(['HOLDFAST_SECRET is not set: subjects go by pseudonyms that are made with it (set it)'])
    const pseudonyms = subjectPseudonyms({ secret, olderSecrets }, tenant, name)
    const keys = await withDatabase(shell, client => findKeys(client, { tenant, subjects: pseudonyms }))
    if (input.options.json) printJson(shell, { tenant, pseudonyms, keys })
    else {
      const told = keys.map(({ keyId, erasedAt }) =>
        erasedAt === null ? `key ${keyId} lives\n` : `key ${keyId} was destroyed at ${erasedAt.toISOString()}\n`,
      )
      shell.out(`${pseudonyms.join('\n')}\n${told.length === 0 ? 'Nothing was ever kept of it.\n' : told.join('')}`)
    }
    return done
  },
}
