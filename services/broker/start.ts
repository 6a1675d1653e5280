/** The broker: claims, dispatches once, records. The only place that builds its parts. */
import type { Logger } from 'pino'
import { createBatcher } from '../../shared/batch/batcher.ts'
import type { BrokerPort, ReplyPort } from '../../shared/call/broker-port.ts'
import { waitForDispatches, warnOfCallsLeft } from './drain.ts'
import type { Journal } from '../../shared/journal/port.ts'
import type { PostgresJournal } from '../../shared/journal/postgres/journal.ts'
import { topics } from '../../shared/journal/topics.ts'
import type { BrokerTelemetry } from '../../shared/telemetry/broker.ts'
import { silentBroker } from '../../shared/telemetry/silent.ts'
import { createClaimingJournal } from './at-append.ts'
import { claimBatch } from './claim-batch.ts'
import type { Broker, Settings } from './deps.ts'
import type { EventContext } from './events.ts'
import { createNumbering, type Numbering } from '../../shared/events/numbering.ts'
import { numberedJournal } from '../../shared/journal/numbered.ts'
import { numberedBatch } from './numbered.ts'
import { createCommits } from './commits.ts'
import { handleDelivery } from './intake.ts'
import { inHalves } from './halves.ts'
import { createLanes } from './lanes.ts'
import { brokerGroup, createOutcomes } from './outcomes.ts'
import { resolveUnknown } from './resolve.ts'
import { keepComplete } from './lineage/complete.ts'
import { declareOlderCopy } from './lineage/older-copy.ts'
import { startOwner } from './owner.ts'
import { startReady } from './queue.ts'
import { repeat } from './repeat.ts'
import { advanceOperations } from './sql/advance.ts'
import { readBacklog } from './sql/backlog.ts'
import { rememberJoins } from './sql/joins.ts'
import { endOtherOwners, forgetOwners } from './sql/owners.ts'
import { startRecovery } from './recover/recover.ts'
import { createSeal } from '../../shared/crypto/seal.ts'
import { purgeKept } from './sql/recover.ts'
import { purgeHandled, purgeResults } from './sql/purge.ts'
import type { Queryable } from './sql/row.ts'
import { sweep } from './sweep.ts'
import { createWaiting } from './waiting.ts'

export type BrokerOptions = {
  readonly leaseMs?: number
  readonly sweepMs?: number
  /** This process knows that no other broker runs: what earlier ones held is swept at once. */
  readonly alone?: boolean
  /** How long `stop` waits for calls in flight before it leaves them to the sweep. */
  readonly graceMs?: number
  /** How long handled commands are remembered: longer than the journal keeps commands. */
  readonly rememberMs?: number
  /** How often it is looked for unknowns whose recovery is due. */
  readonly recoverMs?: number
  /** How long a step of recovery is one broker's alone; longer than most looks at a server take. */
  readonly recoverLeaseMs?: number
  /** After a failover, how far before the last commit that surely survived the journal is read back. */
  readonly windowMs?: number
}

export type BrokerDeps = {
  readonly db: Queryable
  readonly journal: Journal
  readonly upstreams: Broker['upstreams']
  readonly settings: Settings
  /** Database time in whole milliseconds, never ahead of it. */
  readonly clock: { now(): number }
  readonly ids: { ulid(): string }
  readonly log: Logger
  readonly events: EventContext
  readonly reply: ReplyPort
  /** Of this process, where it has one for all its services. Default: of this broker alone. */
  readonly numbering?: Numbering
  /** Secrets that were in use before: what was sealed with them can still be read. */
  readonly olderSecrets?: readonly string[]
  /** Default: nobody watches. */
  readonly telemetry?: BrokerTelemetry
  /** The journal once more, where it is in the operations' database and fronts are in this process. */
  readonly appending?: PostgresJournal
}

export type RunningBroker = {
  readonly port: BrokerPort
  /** The journal for a front in this process. */
  readonly journal: Journal
  /** Resolves when this broker has joined the group. */
  readonly ready: Promise<void>
  counts(): ReturnType<ReturnType<typeof createLanes>['counts']>
  stop(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/** At most this much is handled twice after a crash, and `not_found` by a callId waits this much longer. */
const commitPauseMs = 100

const minute = 60_000
const day = 24 * 60 * 60 * 1000
const batches = { maxItems: 256, maxInFlight: 2 }

export async function startBroker(deps: BrokerDeps, options: BrokerOptions = {}): Promise<RunningBroker> {
  const { leaseMs = 10_000, sweepMs = 1_000, alone = false, graceMs = 3_000, rememberMs = 14 * day } = options
  const { recoverMs = 250, recoverLeaseMs = 60_000 } = options
  const { windowMs = 15 * minute } = options
  const { db, log, telemetry = silentBroker } = deps
  const numbering = deps.numbering ?? createNumbering(deps.ids.ulid())
  const journal = telemetry.journal(numberedJournal(deps.journal, numbering))
  const closers: Array<() => Promise<void>> = []
  const stopping = new AbortController()
  const monotonic = () => performance.now()

  await declareOlderCopy(deps)
  await keepComplete(deps, windowMs)
  const owner = await startOwner({ db, ids: deps.ids, monotonic, log, telemetry }, { leaseMs })
  closers.push(() => owner.stop())
  const closeAll = async () => {
    for (const close of closers.toReversed()) await close()
  }
  if (alone) await endOtherOwners(db, owner.id())

  const broker: Broker = {
    ...deps,
    journal,
    upstreams: telemetry.upstreams(deps.upstreams),
    telemetry,
    numbering,
    owner,
    monotonic,
    lanes: createLanes(deps.settings.lane),
    waiting: createWaiting(deps.reply, monotonic),
    held: new Map(),
    seal: createSeal('kept calls', deps.events.secret, deps.olderSecrets),
    handling: new Set(),
    claimedAhead: new Set(),
    slotFreed: server => startReady(broker, server),
    claims: createBatcher(
      numberedBatch(
        numbering,
        { eventsOf: claim => [claim.event], isDone: ({ won }) => won },
        telemetry.batch('claim', claims => inHalves(claims, half => claimBatch(db, owner.id(), half))),
      ),
      batches,
    ),
    advances: createBatcher(
      numberedBatch(
        numbering,
        { eventsOf: ({ event, beside }) => [event, beside?.also], isDone: moved => moved },
        telemetry.batch('advance', advances => inHalves(advances, half => advanceOperations(db, half))),
      ),
      batches,
    ),
    joins: createBatcher(
      numberedBatch(
        numbering,
        { eventsOf: ({ event }) => [event], isDone: remembered => remembered },
        telemetry.batch('join', joins => rememberJoins(db, joins)),
      ),
      batches,
    ),
    stopping: stopping.signal,
  }

  closers.push(async () => {
    await waitForDispatches(broker, graceMs)
    stopping.abort()
    warnOfCallsLeft(broker)
  })
  const completing = repeat({ log, doing: 'completing operations after a failover' }, sweepMs, () =>
    keepComplete(deps, windowMs),
  )
  closers.push(() => completing.stop())
  const sweeping = repeat({ log, doing: 'sweeping' }, sweepMs, () => sweep(broker))
  closers.push(() => sweeping.stop())
  const recovery = startRecovery(broker, { pauseMs: recoverMs, leaseMs: recoverLeaseMs })
  closers.push(() => recovery.stop())
  const purging = repeat({ log, doing: 'dropping what has expired' }, 60_000, () => purge(broker, rememberMs))
  closers.push(() => purging.stop())
  const commits = createCommits(commitPauseMs, error =>
    log.warn({ err: error }, 'offsets could not be committed; the commands are looked up again'),
  )
  const consuming = journal.consume({
    group: brokerGroup,
    topics: [topics.calls.name],
    maxRecords: batches.maxItems,
    handle: async delivery => {
      await handleDelivery(broker, delivery)
      commits.handled(delivery)
    },
    onRevoked: (_, partition) => {
      // What is delivered again later, here or elsewhere, is answered from the record.
      broker.claimedAhead.clear()
      return commits.flush(partition)
    },
    onError: error => log.warn({ err: error }, 'the journal could not be read; trying again'),
  })
  const consumer = await consuming.catch(async error => {
    stopping.abort()
    await closeAll()
    throw error
  })
  closers.push(() => consumer.stop())
  let isJoined = false
  void consumer.joined.then(() => (isJoined = true))
  telemetry.reads({
    lanes: () => broker.lanes.counts(),
    limits: deps.settings.lane,
    ready: () => isJoined && !stopping.signal.aborted && monotonic() < owner.deadline(owner.id()),
    lag: () => journal.lag(brokerGroup, topics.calls.name),
    backlog: () => readBacklog(db),
  })

  // A trace shows the call's way through the journal: it has to take it.
  const claimsAtAppend = deps.appending !== undefined && !telemetry.isTracing
  let stopped: Promise<void> | undefined
  const stop = () => {
    stopped ??= (async () => {
      // Whoever waits for a database that is away would wait for ever.
      const limit = setTimeout(() => stopping.abort(), graceMs)
      await closeAll()
      clearTimeout(limit)
    })()
    return stopped
  }
  return {
    port: createOutcomes({ db, journal, resolve: resolution => resolveUnknown(broker, resolution) }),
    journal: claimsAtAppend ? createClaimingJournal(broker, deps.appending) : deps.journal,
    ready: consumer.joined,
    counts: () => broker.lanes.counts(),
    stop,
    [Symbol.asyncDispose]: stop,
  }
}

async function purge({ db, clock }: Broker, rememberMs: number): Promise<void> {
  await purgeResults(db, 1_000)
  await purgeHandled(db, rememberMs)
  await purgeKept(db)
  await forgetOwners(db, clock.now() - rememberMs)
}
