import { allStatements } from '../../shared/clickhouse/migrate.ts'
import { migrateServer } from '../../shared/clickhouse/connect.ts'
import { readEnvironment } from '../../shared/config/environment.ts'
import { type Command, done, failed, misused, printJson, textOption } from './command.ts'

export const migrate: Command = {
  name: 'migrate',
  usage: '[--cluster name] [--print]',
  summary: 'Brings the tables of the history in a ClickHouse server to the current schema, and ends.',
  help: `
Run it before the audit processes of a new release: they hold no more than SELECT and INSERT, and wait until the tables are
there. A single node brings its own up to date at start. Safe to run again, and twice at once.
Where: CLICKHOUSE_MIGRATION_URL, else CLICKHOUSE_URL; a user that may create and alter in the database holdfast
(infra/clickhouse/grants.sql).
--cluster <name>   of the servers' configuration: replicated tables, and events spread over its shards
--print            the statements instead of running them, for whoever runs them by hand`,
  options: { cluster: { type: 'string' }, print: { type: 'boolean' } },

  async run(shell, input) {
    if (input.positionals.length > 0) return misused('migrate takes no arguments')
    const cluster = textOption(input, 'cluster')
    if (cluster !== undefined && !/^[\w.-]{1,64}$/.test(cluster))
      return misused('--cluster must be the name of a cluster: letters, digits, points and dashes')
    if (input.options['print']) {
      shell.out((await allStatements({ cluster })).map(statement => `${statement};\n\n`).join(''))
      return done
    }
    const { clickhouseMigrationUrl, clickhouseUrl } = readEnvironment(shell.env)
    const url = clickhouseMigrationUrl ?? clickhouseUrl
    if (url === undefined) {
      return failed(
        'Set CLICKHOUSE_MIGRATION_URL or CLICKHOUSE_URL: without a server the history is in the data folder and brought up to date when its process starts',
      )
    }
    const applied = await migrateServer(url, { cluster })
    if (input.options['json']) printJson(shell, { applied })
    else shell.out(applied.length === 0 ? 'Nothing was missing.\n' : `Applied ${applied.join(', ')}.\n`)
    return done
  },
}
