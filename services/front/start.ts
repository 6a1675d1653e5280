/** Starts front: accepts MCP from agents and answers. The only place that builds what it is made of. */
import type { BrokerPort } from '../../shared/call/broker-port.ts'
import type { Reply } from '../../shared/call/record.ts'
import type { Config } from '../../shared/config/load.ts'
import type { Listener } from '../../shared/internal/listener.ts'
import { serveMetrics } from '../../shared/internal/metrics.ts'
import type { Journal } from '../../shared/journal/port.ts'
import type { FrontTelemetry } from '../../shared/telemetry/front.ts'
import { createSubjectKeys } from '../../shared/subjects/keys.ts'
import { silentFront } from '../../shared/telemetry/silent.ts'
import { crashPoint } from '../../shared/process/crash-point.ts'
import { createCancels } from './calls/cancels.ts'
import { createWaiters } from './calls/waiters.ts'
import { startCatalogue } from './catalogue/catalogue.ts'
import { createDirectory } from './catalogue/directory.ts'
import type { Queryable } from './catalogue/store.ts'
import type { Authenticate, Front, FrontUpstreams, Log } from './deps.ts'
import { createApp } from './http/app.ts'
import { createEndpoint } from './mcp/endpoint.ts'
import { createSessions } from './mcp/session.ts'
import { frontSettings } from './settings.ts'

export type FrontInput = {
  readonly config: Config
  /** Where it is called. Listener, journal, broker, upstreams and pool stay the caller's to close. */
  readonly listener: Listener
  readonly journal: Journal
  readonly broker: BrokerPort
  readonly upstreams: FrontUpstreams
  readonly pool: Queryable
  readonly authenticate: Authenticate
  /** Database time, never ahead of it; milliseconds. */
  readonly clock: { now(): number }
  readonly ids: { ulid(): string }
  readonly log: Log
  /** Seals session ids and keys commitments; the same on every replica. */
  readonly secret: string
  /** The name under which broker reaches this front. */
  readonly replyTo: string
  /** Default: nobody watches. */
  readonly telemetry?: FrontTelemetry
  /** Milliseconds; tests shorten them. */
  readonly times?: Partial<FrontTimes>
}

export type FrontTimes = {
  /** An answer within this time is JSON, a later one an event stream. */
  readonly jsonWithinMs: number
  readonly keepAliveMs: number
  /** How often a silent operation is re-read while a caller waits. */
  readonly rereadMs: number
  /** How long `stop` lets callers wait for their answers. */
  readonly drainMs: number
}

const defaultTimes: FrontTimes = { jsonWithinMs: 5_000, keepAliveMs: 10_000, rereadMs: 2_000, drainMs: 10_000 }
/** What is cut short when `drainMs` is over has its answer written within this time. */
const closeMs = 2_000

export type RunningFront = {
  /** `http://host:port`; MCP is at `/mcp`. */
  readonly url: string
  /** Resolves when each server was asked for its tools once, or after a moment. */
  readonly settled: () => Promise<void>
  /** Resolves when calls can be accepted; rejects with the reason why not. */
  readonly ready: () => Promise<void>
  /** Takes broker's replies. */
  readonly deliver: (replies: readonly Reply[]) => void
  /** Refuses new writes, lets callers have their answers, closes. Safe to call twice. */
  stop(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

export async function startFront(input: FrontInput): Promise<RunningFront> {
  const { config, listener, pool, log, secret, telemetry = silentFront } = input
  const journal = telemetry.journal(input.journal)
  const upstreams = telemetry.upstreams(input.upstreams)
  const times = { ...defaultTimes, ...input.times }
  const settings = frontSettings(config)
  const closers: Array<() => Promise<unknown> | void> = []
  const close = async () => {
    for (let closer = closers.pop(); closer !== undefined; closer = closers.pop()) await closer()
  }
  try {
    const draining = new AbortController()
    const closing = new AbortController()
    const work = trackWork(log)
    closers.push(() => work.done(closeMs))

    let toolsChanged = () => {}
    const catalogue = await startCatalogue({
      servers: settings.servers,
      upstreams,
      pool,
      log,
      onChange: () => toolsChanged(),
    })
    closers.push(() => catalogue.stop())

    const waiters = createWaiters()
    telemetry.waiting(waiters.size)
    const front: Front = {
      settings,
      journal,
      broker: input.broker,
      upstreams,
      catalogue,
      waiters,
      cancels: createCancels(),
      clock: input.clock,
      ids: input.ids,
      log,
      telemetry,
      secret,
      subjects: createSubjectKeys({ db: pool }, { secret }),
      replyTo: input.replyTo,
      rereadMs: times.rereadMs,
      draining: draining.signal,
      closing: closing.signal,
      background: work.add,
    }
    const mcp = {
      ...front,
      directory: createDirectory({ catalogue, settings }),
      sessions: createSessions(secret),
      times,
    }
    const endpoint = createEndpoint(mcp)
    closers.push(() => endpoint.close())
    toolsChanged = endpoint.toolsChanged

    const inFlight = trackWork(log)
    const posts = {
      ...endpoint,
      post: (post: Parameters<typeof endpoint.post>[0]) => inFlight.watch(endpoint.post(post)),
    }
    const app = createApp({
      ...mcp,
      endpoint: posts,
      authenticate: input.authenticate,
      loopback: listener.loopback,
    })
    closers.push(() => app.close())
    await app.ready()
    listener.serve('/', (request, response) => app.routing(request, response))
    serveMetrics(listener, telemetry.exposition)
    listener.needs.check('journal', () => journal.ping())
    closers.push(async () => {
      listener.drain()
      draining.abort()
      crashPoint('front.drain.begun')
      await inFlight.done(times.drainMs)
      closing.abort()
      await inFlight.done(closeMs)
      // Ends subscriptions, which would stay open for as long as their clients like.
      await endpoint.close()
    })

    let stopped: Promise<void> | undefined
    const stop = () => (stopped ??= close())
    return {
      url: listener.url,
      settled: () => catalogue.settled(),
      ready: async () => {
        await catalogue.settled()
        await listener.needs.ready()
      },
      deliver: waiters.deliver,
      stop,
      [Symbol.asyncDispose]: stop,
    }
  } catch (error) {
    await close()
    throw error
  }
}

/** Work that must end before the front does. */
function trackWork(log: Log) {
  const running = new Set<Promise<unknown>>()
  const watch = <T>(work: Promise<T>): Promise<T> => {
    const entry = work.then(
      () => {},
      () => {},
    )
    running.add(entry)
    void entry.then(() => running.delete(entry))
    return work
  }
  return {
    watch,
    add: (what: string, work: Promise<unknown>): void => {
      watch(work).catch(error => log.warn({ err: error, what }, 'work in the background failed'))
    },
    /** Resolves when nothing runs, or after `withinMs`. */
    async done(withinMs: number): Promise<void> {
      let timer: NodeJS.Timeout | undefined
      const late = new Promise(resolve => {
        timer = setTimeout(resolve, withinMs)
      })
      await Promise.race([Promise.all(running), late])
      clearTimeout(timer)
    },
  }
}
