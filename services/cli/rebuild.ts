import { join } from 'node:path'
import { ulid } from 'ulid'
import { readEnvironment } from '../../shared/config/environment.ts'
import { type ClickhouseAt, connectClickhouse } from '../../shared/clickhouse/connect.ts'
import { ConfigError } from '../../shared/errors.ts'
import { clickhouseAt } from '../audit/config.ts'
import { rebuild as fill, type Rebuilt } from '../audit/rebuild/rebuild.ts'
import { type Command, done, misused, printJson, type Shell } from './command.ts'
import { journalHelp, type OpenedStores, withJournal } from './journal.ts'
import { createProgress } from './progress.ts'
import { dataFolder } from './running.ts'

export const rebuild: Command = {
  name: 'rebuild',
  usage: '[--everything]',
  summary: 'Fills an empty history from the journal, with the rows that audit would have written.',
  help: `
The history is CLICKHOUSE_URL, else the folder of the single node here, which must be stopped: make its history empty by
moving history/ out of the data folder. Audit may run beside it over a server; it writes what it has not committed yet.
Cut off, it is gone on with by asking again: nothing is written twice.
--everything   also what audit has not committed: only for a history that no audit writes to, such as a second copy
${journalHelp.trim()}`,
  options: { everything: { type: 'boolean' } },

  async run(shell, input) {
    if (input.positionals.length > 0) return misused('rebuild takes no arguments besides its options')
    const progress = createProgress(shell)
    const everything = input.options.everything === true
    const rebuilt = await withJournal(shell, async stores => {
      const clickhouse = await connectClickhouse(historyFor(shell, stores))
      stores.closers.add(() => clickhouse.close())
      return fill(
        {
          journal: stores.journal,
          clickhouse,
          writer: `rebuild ${ulid()}`,
          progress: ({ records, of, rows }) =>
            progress.say(
              () =>
                `Read ${records.toLocaleString('en')} of ${of.toLocaleString('en')} records, wrote ${rows.toLocaleString('en')} rows.`,
            ),
        },
        { everything },
      )
    })
    progress.end()
    if (input.options.json) printJson(shell, rebuilt)
    else tell(shell, rebuilt)
    return done
  },
}

function historyFor(shell: Shell, { offline }: OpenedStores): ClickhouseAt {
  const environment = readEnvironment(shell.env)
  if (environment.clickhouseUrl !== undefined) return clickhouseAt(environment)
  if (!offline)
    throw new ConfigError(['The history is in the folder of the node that runs (stop it, or set CLICKHOUSE_URL)'])
  return { path: join(dataFolder(shell), 'history') }
}

function tell(shell: Shell, { records, rows, resumed, gone, left }: Rebuilt): void {
  const there = records - rows
  shell.out(
    `${resumed ? 'Went on with a rebuild that was cut off. ' : ''}${records} records of the journal, ${rows} rows written${there > 0 ? `, ${there} were there` : ''}.\n`,
  )
  if (gone > 0) shell.out(`${gone} records are gone from the journal: retention has deleted them.\n`)
  if (left > 0) shell.out(`${left} records are audit's to write: it has not committed them yet.\n`)
}
