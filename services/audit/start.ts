/** Starts the audit service: the sink from the journal to the history, and the SQL endpoint. The only place that builds its clients. */
import { type Clickhouse, type ClickhouseAt, connectClickhouse } from '../../shared/clickhouse/connect.ts'
import type { Listener } from '../../shared/internal/listener.ts'
import { createIds } from '../../shared/process/ids.ts'
import { serveMetrics } from '../../shared/internal/metrics.ts'
import type { Journal } from '../../shared/journal/port.ts'
import type { AuditTelemetry } from '../../shared/telemetry/audit.ts'
import { silentAudit } from '../../shared/telemetry/silent.ts'
import type { AuditConfig } from './config.ts'
import { sqlHandler } from './http.ts'
import type { Log } from './log.ts'
import { type Checkpointer, type CheckpointerDeps, startCheckpointer } from './proofs/checkpointer.ts'
import { createFolder } from './proofs/places/folder.ts'
import { createTable } from './proofs/places/table.ts'
import type { SubjectKeys } from '../../shared/subjects/keys.ts'
import { revealHandler, revealPath } from './reveal.ts'
import { historyOf } from './sink/history.ts'
import { type Sink, startSink } from './sink/sink.ts'
import { createGate } from './sql/gate.ts'
import type { Authenticate } from './sql/run.ts'

export type AuditInput = {
  readonly config: AuditConfig
  /** Where it is asked. Listener and journal stay the caller's to close. */
  readonly listener: Listener
  readonly journal: Journal
  /** Opened here and closed here. */
  readonly clickhouse: ClickhouseAt
  readonly authenticate: Authenticate
  /** What the journal is signed with, and where that goes beside the history. Default: it is not. */
  readonly signing?: Signing | undefined
  readonly log: Log
  /** Database time, milliseconds. Default: the machine's own, and records say so. */
  readonly clock?: { now(): number }
  readonly ids?: { ulid(): string }
  /** To read back what is kept encrypted; undefined where the process has no secret. */
  readonly subjects?: SubjectKeys | undefined
  /** Default: nobody watches. */
  readonly telemetry?: AuditTelemetry
}

export type Signing = Pick<CheckpointerDeps, 'db' | 'keys' | 'maker'> & {
  /** The folder that checkpoints are published to. */
  readonly folder: string | undefined
}

export type Audit = {
  /** Of the SQL endpoint: the listener's. */
  readonly url: string
  /** Resolves when rows are written and questions are answered; rejects with the reason why not. */
  ready(): Promise<void>
  /** The store, for those in the same process that read the history themselves. Closed by `stop`. */
  readonly clickhouse: Clickhouse
  readonly sink: Sink
  /** Undefined where nothing is signed. */
  readonly checkpointer: Checkpointer | undefined
  /** Writes what waits, answers what runs, closes. Safe to call twice. */
  stop(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/**
 * @throws ConfigError, UnavailableError as `connectClickhouse` does
 */
export async function start(input: AuditInput): Promise<Audit> {
  const { config, listener, clickhouse: at, authenticate, log, telemetry = silentAudit } = input
  const journal = telemetry.journal(input.journal)
  const closers: (() => Promise<void>)[] = []
  const close = async () => {
    for (let closer = closers.pop(); closer; closer = closers.pop()) await closer()
  }
  try {
    const clickhouse = await connectClickhouse(at)
    closers.push(() => clickhouse.close())
    const sink = await startSink({ journal, history: telemetry.history(historyOf(clickhouse)), log }, config.sink)
    closers.push(() => sink.stop())
    const checkpointer = input.signing && sign(input.signing, { journal, clickhouse, config, log })
    closers.push(async () => checkpointer?.stop())
    telemetry.reads({
      failing: () => sink.failing() !== undefined,
      lag: () => sink.lag(),
      ping: () => clickhouse.ping(),
      checkpoints: checkpointer,
    })
    const { needs } = listener
    needs.check('clickhouse', () => clickhouse.ping())
    needs.check('history', async () => {
      const failure = sink.failing()
      if (failure !== undefined) throw new Error(`it takes no rows: ${failure}`)
    })
    needs.checkDegraded('checkpoints', async () => tellOf(checkpointer))
    const gate = createGate(config.queries)
    const exports = createGate(config.exports)
    const reads = {
      journal,
      clock: input.clock ?? Date,
      clockIs: input.clock === undefined ? ('process' as const) : ('database' as const),
      ids: input.ids ?? createIds(),
    }
    listener.serve('/', sqlHandler({ clickhouse, gate, exports, limits: config.limits, authenticate, log, ...reads }))
    const { subjects } = input
    listener.serve(
      revealPath,
      revealHandler({ clickhouse, journal, limits: config.limits, authenticate, log, subjects }),
    )
    serveMetrics(listener, telemetry.exposition)
    closers.push(async () => {
      listener.drain()
      await listener.idle(config.limits.seconds * 1000)
    })
    let stopped: Promise<void> | undefined
    const stop = () => (stopped ??= close())
    return {
      url: listener.url,
      ready: () => needs.ready(),
      clickhouse,
      sink,
      checkpointer,
      stop,
      [Symbol.asyncDispose]: stop,
    }
  } catch (error) {
    await close()
    throw error
  }
}

function sign(
  { folder, ...signing }: Signing,
  { journal, clickhouse, config, log }: Pick<AuditInput, 'journal' | 'config' | 'log'> & { clickhouse: Clickhouse },
): Checkpointer {
  const places = [createTable(clickhouse), ...(folder === undefined ? [] : [createFolder(folder)])]
  if (folder === undefined)
    log.warn('checkpoints go to the history alone: set HOLDFAST_CHECKPOINTS to a folder that belongs to somebody else')
  return startCheckpointer({ ...signing, journal, places, log }, config.checkpoints)
}

/** Calls go on without checkpoints, so their absence is told and holds nothing up. */
function tellOf(checkpointer: Checkpointer | undefined): void {
  if (checkpointer === undefined) return
  const failures = [
    checkpointer.failing(),
    ...checkpointer.publishers.map(({ place, failing }) => {
      const reason = failing()
      return reason && `${place.name}: ${reason}`
    }),
  ].filter(reason => reason !== undefined)
  if (failures.length > 0) throw new Error(failures.join('; '))
}
