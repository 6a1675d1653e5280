import { readEnvironment } from '../../shared/config/environment.ts'
import { parseDuration } from '../../shared/config/units.ts'
import { openJournal } from '../../shared/journal/open.ts'
import { createPool } from '../../shared/postgres/pool.ts'
import { createClosers } from '../../shared/process/closers.ts'
import { audit as judge, type Report } from '../audit/check/audit.ts'
import type { Finding } from '../audit/check/facts.ts'
import { openHistory } from './audit/history.ts'
import { historyAt } from './audit/history-at.ts'
import { ledgerHelp, readLedger } from './audit/ledger.ts'
import { readFacts } from './audit/read.ts'
import { type Arguments, type Command, done, failed, misused, printJson, type Shell, textOption } from './command.ts'
import { databaseUrl, unreachable } from './database.ts'
import { runningOptions } from './running.ts'
import { quiet } from './quiet.ts'
import { secretsOf } from './secrets.ts'

export const audit: Command = {
  name: 'audit',
  usage: '[--since 24h] [--ledger file] [--overdue 5m] [--no-history]',
  summary: "Holds database, journal and history against each other, and against a server's own ledger.",
  help: `
Looks for anything that the invariants I1 to I10 (docs/concepts.md) forbid, over running stores; what is under way is
not held against anybody. Each finding is named with what it is told from.
--since <duration or time>   operations first seen since then (default 24h)
--ledger <file>     ${ledgerHelp}
--overdue <duration>   longest time-out of a tool, plus 15 s: what runs longer breaks I7 (default 5m)
--no-history        leave the history out
--url <address> --key <API key>   of the SQL endpoint; else CLICKHOUSE_URL; else that of the node that runs here
The database is DATABASE_URL, the journal KAFKA_BROKERS, else both are those of the node that runs here.
Commitments are checked with HOLDFAST_SECRET, or with the secret of the data folder.
Exit code 1 when something is found.`,
  options: {
    ...runningOptions,
    since: { type: 'string' },
    ledger: { type: 'string' },
    overdue: { type: 'string' },
    'no-history': { type: 'boolean' },
  },

  async run(shell, input) {
    if (input.positionals.length > 0) return misused('audit takes no arguments')
    const since = sinceOf(textOption(input, 'since') ?? '24h')
    if (since === undefined)
      return misused('--since must be a duration such as 2h, or a time such as 2026-11-21T09:00:00Z')
    const overdueMs = parseDuration(textOption(input, 'overdue') ?? '5m')
    if (overdueMs === undefined) return misused('--overdue must be a duration such as 5m')
    const report = await run(shell, input, { since, overdueMs })
    if (input.options.json) printJson(shell, report)
    else tell(shell, report)
    const { length } = report.findings
    return length === 0 ? done : failed(length === 1 ? '1 violation was found' : `${length} violations were found`)
  },
}

function sinceOf(text: string): number | undefined {
  const ago = parseDuration(text)
  const time = ago === undefined ? Date.parse(text) : Date.now() - ago
  return Number.isNaN(time) ? undefined : time
}

async function run(
  shell: Shell,
  input: Arguments,
  { since, overdueMs }: { since: number; overdueMs: number },
): Promise<Report> {
  const closers = createClosers({ error: () => {} })
  try {
    const environment = readEnvironment(shell.env)
    const url = databaseUrl(shell)
    const ledgerFile = textOption(input, 'ledger')
    const history = input.options['no-history'] ? undefined : openHistory(historyAt(shell, input))
    const pool = createPool({ url, name: 'holdfast audit', max: 2, log: quiet })
    closers.add(() => pool.end())
    await pool.query('select 1').catch(cause => {
      throw unreachable(cause)
    })
    const { journal } = await openJournal({ environment, databaseUrl: url, log: quiet })
    closers.add(() => journal.close())
    const ledger = ledgerFile === undefined ? undefined : async () => readLedger(ledgerFile)
    const facts = await readFacts({ pool, journal, history, ledger }, since)
    return judge(facts, { overdueMs, secrets: secretsOf(shell), ledgerSkewMs: 1_000 })
  } finally {
    await closers.close()
  }
}

function tell(shell: Shell, { findings, checked }: Report): void {
  for (const finding of findings) shell.out(linesOf(finding))
  const counts = [
    `${checked.operations} operations`,
    `${checked.events} events`,
    `${checked.commands} commands`,
    checked.historyRows === undefined ? 'the history was left out' : `${checked.historyRows} rows of the history`,
    checked.effects === undefined ? 'no ledger was given' : `${checked.effects} effects of the ledger`,
    checked.answers === undefined
      ? 'answers were not compared (HOLDFAST_SECRET is not set)'
      : `${checked.answers} answers`,
  ]
  shell.out(`${findings.length === 0 ? 'Nothing found' : 'Looked at'}: ${counts.join(', ')}.\n`)
}

const linesOf = ({ invariant, what, operationId, server, key, evidence }: Finding): string => {
  const about = [server, key, operationId].filter(part => part !== undefined).join(' ')
  return `${invariant}  ${what}${about === '' ? '' : `  (${about})`}\n     ${JSON.stringify(evidence)}\n`
}
