/**
 * Fills an empty history from the journal, with the rows that the sink would have written, none twice.
 *
 * The sink writes what it has not committed yet, so everything below its offset is the rebuild's and nobody else's: both
 * may run at once. One rebuild at a time: each takes the partitions in `holdfast.writers` under a name of its own, and
 * stops when another one has taken them since. What breaks does no harm, as with the sink (`sink/sink.ts`, `sink/fence.ts`):
 * a rebuild that was killed is gone on with, after the longest that its last insert can take, and asks the table first.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Clickhouse } from '../../../shared/clickhouse/connect.ts'
import { insertLimitSeconds, isEmpty } from '../../../shared/clickhouse/events.ts'
import { lastTakers, recordWriter, serverTime } from '../../../shared/clickhouse/writers.ts'
import { ConfigError } from '../../../shared/errors.ts'
import type { Journal, JournalRecord } from '../../../shared/journal/port.ts'
import { topics } from '../../../shared/journal/topics.ts'
import { historyOf } from '../sink/history.ts'
import { type Certainty, missingOf } from '../sink/missing.ts'
import { rowFor } from '../sink/rejected.ts'
import { sinkGroup } from '../sink/sink.ts'

export type RebuildDeps = {
  readonly journal: Journal
  readonly clickhouse: Clickhouse
  /** This rebuild, by a new id. */
  readonly writer: string
  readonly progress: (done: Progress) => void
  /** How long the last insert of a rebuild that was cut off can still take effect. Default: as long as it may begin and run. */
  readonly fenceMs?: number
}

export type Progress = { readonly records: number; readonly of: number; readonly rows: number }

export type Rebuilt = Progress & {
  /** An earlier rebuild was gone on with. */
  readonly resumed: boolean
  /** Records that retention has deleted from the journal: they cannot be filled in. */
  readonly gone: number
  /** Records above what the sink has committed: it writes them itself. */
  readonly left: number
}

/** Under this name in `holdfast.writers`, so that it is not taken for a sink. */
const topic = topics.events.name
const rebuilding = `rebuild of ${topic}`

const batchRows = 5_000
const sendMs = 3_000
const slackMs = 2_000
const longestMs = sendMs + insertLimitSeconds * 1_000 + slackMs
const tries = 5

type Stretch = { readonly partition: number; readonly from: number; readonly to: number }

/**
 * @param everything also what the sink has not committed: only where no sink writes to this history
 * @throws ConfigError when the history is not empty and no rebuild of it was cut off, or another rebuild runs
 * @throws UnavailableError, or Error in ClickHouse's words, when the same batch failed five times
 */
export async function rebuild(deps: RebuildDeps, { everything }: { readonly everything: boolean }): Promise<Rebuilt> {
  const { journal, clickhouse } = deps
  const lags = await journal.lag(sinkGroup, topic)
  const stretches = lags.map(({ partition, earliest, end, committed }): Stretch => {
    const to = everything ? end : Math.min(end, committed ?? 0)
    return { partition, from: Math.min(earliest, to), to }
  })
  const resumed = await begin(deps)
  const counts = { records: 0, rows: 0, of: stretches.reduce((sum, { from, to }) => sum + to - from, 0) }
  for (const stretch of stretches)
    for await (const batch of batches(journal, stretch)) {
      counts.rows += await put(deps, batch)
      counts.records += batch.length
      deps.progress({ ...counts })
    }
  await record(clickhouse, deps.writer, 'given_back')
  return {
    ...counts,
    resumed,
    gone: lags.reduce(
      (sum, { earliest, committed, end }) =>
        sum + (everything ? Math.min(earliest, end) : Math.min(earliest, committed ?? 0)),
      0,
    ),
    left: lags.reduce((sum, { end }, index) => sum + end - (stretches[index]?.to ?? end), 0),
  }
}

const partitions = Array.from({ length: topics.events.partitions }, (_, partition) => partition)

const record = (clickhouse: Clickhouse, writer: string, what: 'taken' | 'given_back') =>
  recordWriter(clickhouse, { topic: rebuilding, partitions, writer, what })

/** @returns whether an earlier one was cut off and is gone on with */
async function begin({ clickhouse, writer, fenceMs = longestMs }: RebuildDeps): Promise<boolean> {
  const last = await lastTakers(clickhouse, { topic: rebuilding, partitions })
  const isCutOff = [...last.values()].some(({ gaveBack }) => !gaveBack)
  if (!isCutOff && !(await isEmpty(clickhouse)))
    throw new ConfigError([
      'The history is not empty, and a rebuild fills an empty one only, so that nothing stands in it twice (holdfast diff tells what differs from the journal; to begin anew, drop the rows of holdfast.events as an administrator)',
    ])
  await record(clickhouse, writer, 'taken')
  // Its last insert may be under way still. The embedded engine has one process, and it is this one.
  if (isCutOff && clickhouse.shared) await sleep(fenceMs)
  return isCutOff
}

async function* batches(journal: Journal, { partition, from, to }: Stretch): AsyncGenerator<JournalRecord[]> {
  let batch: JournalRecord[] = []
  if (from >= to) return
  for await (const each of journal.read({ topic, partition, fromOffset: from, toOffset: to })) {
    batch.push(each)
    if (batch.length < batchRows) continue
    yield batch
    batch = []
  }
  if (batch.length > 0) yield batch
}

/** Puts in what is missing of a batch; after a doubt the table is asked again. Returns how many rows. */
async function put(deps: RebuildDeps, batch: readonly JournalRecord[]): Promise<number> {
  for (let left = tries; ; left -= 1) {
    try {
      return await putOnce(deps, batch)
    } catch (error) {
      if (error instanceof ConfigError || left === 1) throw error
      await sleep(1_000)
    }
  }
}

async function putOnce({ clickhouse, writer }: RebuildDeps, batch: readonly JournalRecord[]): Promise<number> {
  const sendBy = (await serverTime(clickhouse)) + sendMs
  const last = await lastTakers(clickhouse, { topic: rebuilding, partitions: [0] })
  if (last.get(0)?.writer !== writer)
    throw new ConfigError(['Another rebuild of this history has begun since and goes on with it (let that one end)'])
  const history = historyOf(clickhouse)
  const certain: Certainty = new Map()
  const missing = await missingOf(
    history,
    certain,
    batch.map(each => ({ record: each })),
  )
  const rows = missing.map(({ record: each }) => rowFor(each).row)
  if (rows.length > 0) await history.insert(rows, { sendBy, seconds: insertLimitSeconds })
  return rows.length
}
