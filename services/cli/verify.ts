import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { readEnvironment } from '../../shared/config/environment.ts'
import { parseDuration } from '../../shared/config/units.ts'
import { topics } from '../../shared/journal/topics.ts'
import { createClosers } from '../../shared/process/closers.ts'
import { checkProof } from '../../shared/proof/file.ts'
import type { VerifierKey } from '../../shared/proof/note.ts'
import { createFolder } from '../audit/proofs/places/folder.ts'
import { readCheckpoints, readTip } from '../audit/proofs/sql.ts'
import { sinkGroup } from '../audit/sink/sink.ts'
import { openHistory } from './audit/history.ts'
import {
  type Arguments,
  type Command,
  done,
  type Ended,
  failed,
  misused,
  printJson,
  type Shell,
  textOption,
} from './command.ts'
import type { Finding } from './proofs/finding.ts'
import { readEdges, readRows, tableOver } from './proofs/rows.ts'
import { openStores, type Stores, storeOptions, storesHelp } from './proofs/stores.ts'
import { trustedHelp, trustedKeys } from './proofs/trusted.ts'
import { type Signed, type Source, verifyCheckpoints } from './proofs/verify-checkpoints.ts'
import { verifyPartition } from './proofs/verify-records.ts'
import { ownCheckpoints } from './proofs/own-checkpoints.ts'

export const verify: Command = {
  name: 'verify',
  usage: '[proof.json] [--key <public key>] [--checkpoints <folder>]... [--overdue 5m]',
  summary: 'Checks a proof offline; without one, journal, history and checkpoints against each other.',
  help: `
With a proof file nothing else is read but the public key. Without one every record, row and checkpoint is read, and what
is not as it was signed is named: edited, deleted, inserted, reordered, truncated, rolled back, forked, wrong key.
--checkpoints <folder>   a copy of the checkpoints, such as the second owner's; several may be given. Else
                         HOLDFAST_CHECKPOINTS, else that of the data folder
--overdue <duration>     after that, what is not signed, written or published is told (default 5m)${trustedHelp}
${storesHelp.trim()}
Exit code 1 when something is found.`,
  options: {
    ...storeOptions,
    key: { type: 'string', multiple: true },
    checkpoints: { type: 'string', multiple: true },
    overdue: { type: 'string' },
  },

  async run(shell, input) {
    const [file, ...rest] = input.positionals
    if (rest.length > 0) return misused('Name one proof file, or none')
    const trusted = trustedKeys(shell, input)
    if (file !== undefined) return verifyFile(shell, input, file, trusted)
    const overdueMs = parseDuration(textOption(input, 'overdue') ?? '5m')
    if (overdueMs === undefined) return misused('--overdue must be a duration such as 5m')
    return verifyStores(shell, input, { trusted, overdueMs })
  },
}

function verifyFile(shell: Shell, input: Arguments, file: string, trusted: readonly VerifierKey[]): Ended {
  let content: string
  try {
    content = readFileSync(resolve(shell.cwd, file), 'utf8')
  } catch (error) {
    return failed(`${file} cannot be read (${(error as NodeJS.ErrnoException).code})`)
  }
  const checked = checkProof(content, trusted)
  if (input.options.json) printJson(shell, checked)
  if ('refused' in checked) return failed(`${file} proves nothing. ${checked.refused}`)
  if (input.options.json) return done
  for (const { id, type, time, loggedBy } of checked.events)
    shell.out(`${type}  ${id}\n  happened ${time}, was in the log by ${loggedBy}\n`)
  const { length } = checked.events
  shell.out(
    `Proved: ${length === 1 ? 'one event' : `${length} events`} of the log ${checked.log}, under a checkpoint of ${checked.signedAt}.\n`,
  )
  return done
}

export type Report = {
  readonly findings: readonly Finding[]
  readonly checked: {
    readonly checkpoints: number
    readonly newest: Signed['newest']
    readonly records: number
    readonly places: readonly string[]
    readonly history: boolean
  }
}

async function verifyStores(
  shell: Shell,
  input: Arguments,
  options: { trusted: readonly VerifierKey[]; overdueMs: number },
): Promise<Ended> {
  const closers = createClosers({ error: () => {} })
  try {
    const report = await checkStores(shell, await openStores(shell, input, closers), foldersOf(shell, input), options)
    if (input.options.json) printJson(shell, report)
    else tell(shell, report)
    const { length } = report.findings
    return length === 0
      ? done
      : failed(length === 1 ? 'One thing is not as it was signed' : `${length} things are not as they were signed`)
  } finally {
    await closers.close()
  }
}

/** One fault can show at every record behind it: so many say enough. */
const mostFindings = 1_000

async function checkStores(
  shell: Shell,
  { pool, journal, history }: Stores,
  folders: readonly string[],
  { trusted, overdueMs }: { trusted: readonly VerifierKey[]; overdueMs: number },
): Promise<Report> {
  const findings: Finding[] = []
  const find = (finding: Finding) => void (findings.length < mostFindings && findings.push(finding))
  const topic = topics.events.name
  const lag = new Map(
    (await journal.lag(sinkGroup, topic)).map(({ partition, committed }) => [partition, committed ?? 0]),
  )
  const { nowMs } = await readTip(pool)
  const sources: Source[] = [
    { name: 'the database', isDatabase: true, after: (after, limit) => readCheckpoints(pool, { after, limit }) },
    ...(history ? [tableOver(history)] : []),
    ...folders.map(createFolder),
  ]
  const signed = await verifyCheckpoints(sources, { trusted, nowMs, overdueMs, find })
  tellLate(signed, { nowMs, overdueMs, find })
  const edges = history && (await readEdges(history, topics.events.partitions))
  const tenants = history && (await openHistory(history).tenants())
  const ends = new Map((await journal.ends(topic)).map(({ partition, end }) => [partition, end]))
  const progress = createProgress(
    shell,
    [...ends.values()].reduce((sum, end) => sum + end, 0),
  )
  for (const [partition, end] of ends) {
    tellBeyond(edges?.highest.get(partition), { partition, end, find })
    const heads = signed.heads.get(partition) ?? []
    await verifyPartition(
      {
        journal,
        rows: history && (range => readRows(history, range)),
        sees: tenant => tenants === undefined || tenants === 'all' || tenants.has(tenant),
        find,
        progress: progress.add,
      },
      { partition, heads, end, written: lag.get(partition) ?? 0 },
    )
  }
  if (edges !== undefined && edges.strays > 0)
    find({ kind: 'inserted', where: 'history', what: `${edges.strays} rows are of no partition of the journal` })
  const { checkpoints, newest } = signed
  const places = sources.map(({ name }) => name)
  return {
    findings,
    checked: { checkpoints, newest, records: progress.count(), places, history: history !== undefined },
  }
}

function tellLate(
  { newest }: Signed,
  { nowMs, overdueMs, find }: { nowMs: number; overdueMs: number; find: (finding: Finding) => void },
): void {
  if (newest === undefined)
    return find({ kind: 'late', where: 'the database', what: 'There is no checkpoint: nothing is signed' })
  const ageMs = nowMs - Date.parse(newest.time)
  if (ageMs > overdueMs)
    find({
      kind: 'late',
      where: 'the database',
      checkpoint: newest.size,
      what: `The newest checkpoint is of ${newest.time}: nothing since is signed`,
    })
}

/** Rows come from the journal, so none can be ahead of it. */
function tellBeyond(
  highest: number | undefined,
  { partition, end, find }: { partition: number; end: number; find: (finding: Finding) => void },
): void {
  if (highest === undefined || highest < end) return
  find({
    kind: 'inserted',
    where: 'history',
    partition,
    offset: highest,
    what: `The history has a row at offset ${highest} of partition ${partition}, and the journal ends at ${end}`,
  })
}

const sayEveryMs = 2_000

function createProgress(shell: Shell, total: number) {
  let count = 0
  let saidAt = performance.now()
  return {
    count: () => count,
    add: (records: number) => {
      count += records
      if (performance.now() - saidAt < sayEveryMs) return
      saidAt = performance.now()
      shell.err(`${count} of ${total} records\n`)
    },
  }
}

function foldersOf(shell: Shell, input: Arguments): string[] {
  const given = input.options['checkpoints']
  if (Array.isArray(given)) return given.map(folder => resolve(shell.cwd, String(folder)))
  const named = readEnvironment(shell.env).checkpoints ?? ownCheckpoints(shell)
  return named === undefined ? [] : [resolve(shell.cwd, named)]
}

function tell(shell: Shell, { findings, checked }: Report): void {
  for (const { kind, where, what } of findings) shell.out(`${kind}  ${what}  (${where})\n`)
  const counts = [
    `${checked.records} records`,
    `${checked.checkpoints} checkpoints in ${checked.places.join(', ')}`,
    checked.history ? undefined : 'the history was left out',
    checked.newest && `signed until ${checked.newest.time}`,
  ].filter(part => part !== undefined)
  shell.out(`${findings.length === 0 ? 'All is as it was signed' : 'Looked at'}: ${counts.join('; ')}.\n`)
}
