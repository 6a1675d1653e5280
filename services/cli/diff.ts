import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { ConfigError } from '../../shared/errors.ts'
import { topics } from '../../shared/journal/topics.ts'
import type { Difference } from '../audit/rebuild/compare.ts'
import { type Compared, diff as compareAll, nothingYet, type Standing } from '../audit/rebuild/diff.ts'
import { type Command, done, failed, misused, printJson, type Shell, textOption } from './command.ts'
import { historyHelp, openPages } from './history.ts'
import { journalHelp, withJournal } from './journal.ts'
import { createProgress } from './progress.ts'
import { dataFolder, runningOptions } from './running.ts'

/** Of the findings, how many are kept for --json. All are counted. */
const mostListed = 10_000
const saveEveryMs = 2_000

export const diff: Command = {
  name: 'diff',
  usage: '[--resume] [--state <file>]',
  summary: 'Compares the history with the journal, row by row: missing, extra, doubled, different.',
  help: `
Every record that audit has written by now is held against its row, every column of it.
--resume          go on where the last comparison was ended
--state <file>    where it says how far it is (default: diff.json in the data folder)
${journalHelp.trim()}${historyHelp}
Asked with an API key it compares the rows of the key's tenant and of the service itself.
Exit code 1 when something is found.`,
  options: { ...runningOptions, resume: { type: 'boolean' }, state: { type: 'string' } },

  async run(shell, input) {
    if (input.positionals.length > 0) return misused('diff takes no arguments besides its options')
    const state = resolve(shell.cwd, textOption(input, 'state') ?? join(dataFolder(shell), 'diff.json'))
    const since = input.options.resume === true ? readState(state) : nothingYet
    const progress = createProgress(shell)
    const listed: Difference[] = []
    let saved = performance.now()
    const compared = await withJournal(shell, async stores =>
      compareAll(
        {
          journal: stores.journal,
          history: await openPages(shell, input, stores),
          page: (differences, standing, of) => {
            if (!input.options.json) for (const each of differences) shell.out(lineOf(each))
            listed.push(...differences.slice(0, mostListed - listed.length))
            progress.say(
              () => `Compared ${standing.compared.toLocaleString('en')} of ${of.toLocaleString('en')} records.`,
            )
            if (performance.now() - saved < saveEveryMs) return
            saved = performance.now()
            writeState(state, standing)
          },
        },
        since,
      ),
    )
    progress.end()
    rmSync(state, { force: true })
    const found = Object.values(compared.counts).reduce((sum, count) => sum + count, compared.beyond)
    if (input.options.json) printJson(shell, { ...compared, found, listed })
    else tell(shell, compared)
    return found === 0 ? done : failed(found === 1 ? '1 difference was found' : `${found} differences were found`)
  },
}

const lineOf = ({ kind, partition, offset, type, eventId, columns }: Difference): string =>
  `${kind.padEnd(9)}  ${topics.events.name}/${partition}/${offset}  ${type}  ${eventId}${columns ? `  in ${columns.join(', ')}` : ''}\n`

function tell(shell: Shell, { compared, counts, notDue, older, beyond }: Compared): void {
  const { missing, extra, doubled, different } = counts
  shell.out(
    `Compared ${compared} records: ${missing} missing, ${extra} extra, ${doubled} doubled, ${different} different.\n`,
  )
  if (beyond > 0) shell.out(`${beyond} rows stand at offsets that the journal does not have.\n`)
  if (older > 0) shell.out(`${older} rows tell of records that retention has deleted: they were not compared.\n`)
  if (notDue > 0) shell.out(`${notDue} records are not written yet, and not due.\n`)
}

function readState(path: string): Standing {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Standing
  } catch (cause) {
    throw new ConfigError([`There is no comparison to go on with in ${path} (leave --resume out)`], { cause })
  }
}

/** Written apart and renamed: it is whole, whatever ends the process. */
function writeState(path: string, standing: Standing): void {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(`${path}.part`, JSON.stringify(standing))
  renameSync(`${path}.part`, path)
}
