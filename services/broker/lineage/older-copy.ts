/**
 * A data directory that was put back as it was keeps system identifier and timeline. A journal that was not put back with
 * it shows it all the same: the group has committed past commands that this copy has no record of, and an offset is
 * committed only after its commands were handled durably, or rejected.
 */
import { readCommand, type SubmitCommand } from '../../../shared/call/command.ts'
import { topics } from '../../../shared/journal/topics.ts'
import { brokerGroup } from '../outcomes.ts'
import { problemOf } from '../problem.ts'
import { declareIncomplete } from '../sql/lineage.ts'
import type { CompleteDeps } from './complete.ts'
import { withoutRecord } from './unrecorded.ts'
import { readRejected } from './window.ts'

/** The last calls of a partition that are looked for. */
const look = 20
/** The clocks of journal and database may differ. */
const clockMarginMs = 15 * 60_000

export async function declareOlderCopy(deps: CompleteDeps): Promise<void> {
  const lags = await deps.journal.lag(brokerGroup, topics.calls.name)
  const lost = await Promise.all(lags.map(each => lostBelowCommitted(deps, each)))
  const unknown = lost.flat()
  if (unknown.length === 0) return
  const fromMs = Math.min(...unknown.map(({ receivedAt }) => receivedAt)) - clockMarginMs
  const rejected = await readRejected({ journal: deps.journal, fromMs })
  if (unknown.every(({ callId }) => rejected.has(callId))) return
  deps.log.warn({}, 'the journal has handled calls that this database has no record of: it is an older copy')
  await declareIncomplete(deps.db)
}

async function lostBelowCommitted(
  deps: CompleteDeps,
  { partition, committed, earliest }: { partition: number; committed: number | null; earliest: number },
): Promise<SubmitCommand[]> {
  if (committed === null || committed <= earliest) return []
  const fromOffset = Math.max(earliest, committed - look)
  const submits: SubmitCommand[] = []
  const range = { topic: topics.calls.name, partition, fromOffset, toOffset: committed }
  for await (const { value } of deps.journal.read(range)) {
    const read = readCommand(value)
    if ('command' in read && read.command.type === 'submit' && problemOf(read.command) === undefined)
      submits.push(read.command)
  }
  return (await withoutRecord(deps, submits)).map(({ command }) => command)
}
