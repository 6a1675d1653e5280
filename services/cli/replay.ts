import { writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { parseDuration } from '../../shared/config/units.ts'
import { ConfigError } from '../../shared/errors.ts'
import type { Filters } from '../audit/replay/material.ts'
import { type Incident, replay as replayIncident } from '../audit/replay/replay.ts'
import { incidentHtml } from '../audit/replay/render/html.ts'
import { incidentJson } from '../audit/replay/render/json.ts'
import { incidentText } from '../audit/replay/render/text.ts'
import { type Arguments, type Command, done, misused, printJson, type Shell, textOption } from './command.ts'
import { journalHelp, withJournal } from './journal.ts'
import { momentHelp, momentOf } from './moment.ts'
import { secretsOf } from './secrets.ts'
import { createProgress } from './progress.ts'
import { table } from './table.ts'

const filterNames = ['agent', 'conversation', 'key', 'call', 'server'] as const

export const replay: Command = {
  name: 'replay',
  usage:
    '--from <time> [--to <time>] [--agent|--conversation|--key|--call|--server <name>] [--at <time>] [--html file]',
  summary: 'Tells an incident out of the journal: who knew what when, which answers were given, where the gap was.',
  help: `
Reads the journal itself, not the history, and rebuilds every operation with the code that the broker runs.
--from, --to <time>   ${momentHelp}; --to is now unless given
--agent <name>  --conversation <id>  --key <idempotency key>  --server <name>  --call <call or operation>
                      only operations and calls that have to do with it; several: with all of them
--at <time>           also what each party knew at that moment, and the state of every operation
--html <file>         as one HTML file, which loads nothing; --json as data
--late <duration>     how long after the range the journal is read for events published late (default 1h)
--no-follow           do not follow operations that were open at the end of the range to the journal's end
${journalHelp.trim()}
It may show redacted arguments' keys and names of agents of every tenant: it is for those who run Holdfast.`,
  options: {
    from: { type: 'string' },
    to: { type: 'string' },
    at: { type: 'string' },
    late: { type: 'string' },
    html: { type: 'string' },
    'no-follow': { type: 'boolean' },
    ...Object.fromEntries(filterNames.map(name => [name, { type: 'string' } as const])),
  },

  async run(shell, input) {
    if (input.positionals.length > 0) return misused('replay takes no arguments besides its options')
    const now = Date.now()
    const times = timesOf(input, now)
    if (typeof times === 'string') return misused(times)
    const lateMs = parseDuration(textOption(input, 'late') ?? '1h')
    if (lateMs === undefined) return misused('--late must be a duration such as 1h')
    const { from, to, at } = times
    const progress = createProgress(shell)
    const incident = await withJournal(shell, ({ journal }) =>
      replayIncident(
        {
          journal,
          now: Date.now,
          secrets: secretsOf(shell),
          progress: records => progress.say(() => `Read ${records.toLocaleString('en')} records of the journal.`),
        },
        {
          range: { from, to },
          filters: filtersOf(input),
          lateMs,
          follow: input.options['no-follow'] !== true,
          ...(at !== undefined && { at }),
        },
      ),
    )
    progress.end()
    tell(shell, input, incident)
    return done
  },
}

type Times = { readonly from: number; readonly to: number; readonly at: number | undefined }

function timesOf(input: Arguments, now: number): Times | string {
  const given = (name: string) => textOption(input, name)
  const read = (name: string) => {
    const text = given(name)
    return text === undefined ? undefined : (momentOf(text, now) ?? 'wrong')
  }
  const [from, to, at] = [read('from'), read('to'), read('at')]
  if (from === undefined) return 'Say with --from when it began, such as --from 2h'
  for (const [name, value] of Object.entries({ from, to, at }))
    if (value === 'wrong') return `--${name} must be ${momentHelp}`
  const range = { from: from as number, to: (to ?? now) as number, at: at as number | undefined }
  return range.from < range.to ? range : '--from must be before --to'
}

const filtersOf = (input: Arguments): Filters =>
  Object.fromEntries(filterNames.map(name => [name, textOption(input, name)]))

function tell(shell: Shell, input: Arguments, incident: Incident): void {
  const html = textOption(input, 'html')
  if (html !== undefined) writeHtml(resolve(shell.cwd, html), incident)
  if (input.options.json) printJson(shell, incidentJson(incident))
  else if (html === undefined) shell.out(incidentText(incident, { colour: shell.terminal?.out === true, table }))
  else shell.out(`${html}: ${incident.stories.length} operations and calls, ${incident.gaps.length} gaps.\n`)
}

function writeHtml(path: string, incident: Incident): void {
  try {
    writeFileSync(path, incidentHtml(incident))
  } catch (cause) {
    throw new ConfigError([`${path} cannot be written (${(cause as NodeJS.ErrnoException).code}): correct --html`], {
      cause,
    })
  }
}
