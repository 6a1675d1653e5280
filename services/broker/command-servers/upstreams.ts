/**
 * Upstreams where `command` servers are run by one broker of several: every call, reads and lists of tools too, goes to
 * the broker that runs the child. What can be proved not to have been taken there is tried again until the call's own
 * deadline; whatever may have been taken is `lost`.
 */
import type { Logger } from 'pino'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Seen } from '../../../shared/call/seen.ts'
import { UnavailableError } from '../../../shared/errors.ts'
import type { DispatchPort, Forwarded, RemoteDispatch } from '../../../shared/internal/dispatch.ts'
import type { DispatchRequest, Upstreams, UpstreamTool } from '../../../shared/upstream/types.ts'
import type { Queryable } from '../sql/row.ts'
import { createOwnership } from './ownership.ts'
import type { Terms } from '../sql/command-servers.ts'

export type CommandServersDeps = {
  readonly db: Queryable
  readonly log: Logger
  readonly monotonic: () => number
  readonly ids: { ulid(): string }
  /** Where other brokers reach this one. */
  readonly url: string
  readonly isCommand: (server: string) => boolean
  readonly remote: RemoteDispatch
  /** Opens the clients of this process. A child may live as long as `lifeOf` says. */
  readonly open: (lifeOf: (server: string) => number | undefined) => Upstreams
}

export type CommandServers = {
  /** As `Upstreams`, wherever a server is run. */
  readonly upstreams: Pick<Upstreams, 'dispatch' | 'tools'>
  /** What other processes ask of this one. */
  readonly port: DispatchPort
  /** Takes no more calls; those of other processes may end, then connections and children do, and other brokers may have the servers. */
  close(): Promise<void>
}

/** A look at who runs a server costs a statement: while nobody can be asked it is made so often. */
const pauseMs = 200
const listWithinMs = 30_000

const defaults: Terms = { leaseMs: 10_000, graceMs: 1_000 }

export type CommandServersOptions = Partial<Terms> & {
  /** How long calls of other processes may take to end at `close`. Default 3 s. */
  readonly drainMs?: number
}

export function createCommandServers(deps: CommandServersDeps, options: CommandServersOptions = {}): CommandServers {
  const { drainMs = 3_000, ...terms } = options
  const { monotonic, isCommand, remote, log } = deps
  const local = deps.open(server => (isCommand(server) ? ownership.deadline(server) - monotonic() : undefined))
  const ownership = createOwnership(
    {
      ...deps,
      owner: deps.ids.ulid(),
      prolong: (server, lifeMs) => local.prolong(server, lifeMs),
      end: server => local.end(server),
    },
    { ...defaults, ...terms },
  )

  const here = (request: DispatchRequest): Promise<Seen> =>
    local.dispatch({ ...request, deadline: Math.min(request.deadline, ownership.deadline(request.server)) })

  /**
   * Finds the broker that runs the server and asks it, again where it provably did not take what was asked.
   * @returns undefined when none could be asked before the deadline
   */
  const ask = async <T>(
    server: string,
    deadline: number,
    how: { here: () => Promise<T>; there: (url: string) => Promise<Forwarded<T>> },
  ): Promise<T | undefined> => {
    while (monotonic() < deadline) {
      const place = await ownership.locate(server).catch(error => {
        log.warn({ err: error, server }, 'who runs a command server cannot be told now; trying again')
        return { at: 'nowhere' as const }
      })
      if (place.at === 'here') return how.here()
      if (place.at === 'there') {
        const asked = await how.there(place.url)
        if (asked.taken) return asked.value
        ownership.forget(server)
      }
      await sleep(Math.max(0, Math.min(pauseMs, deadline - monotonic())))
    }
    return undefined
  }

  const dispatch = async (request: DispatchRequest): Promise<Seen> => {
    const { server, deadline } = request
    if (!isCommand(server)) return local.dispatch(request)
    const startedAt = monotonic()
    const rest = () => ({
      ...request,
      ...(request.timeoutMs !== undefined && { timeoutMs: request.timeoutMs - (monotonic() - startedAt) }),
    })
    const seen = await ask(server, deadline, {
      here: () => here(rest()),
      there: url => remote.dispatch(url, { request: rest(), leftMs: deadline - monotonic(), mayForward: false }),
    })
    return (
      seen ?? { kind: 'not_sent', why: 'deadline', message: `no broker that runs ${server} could be asked in time` }
    )
  }

  const tools = async (server: string): Promise<UpstreamTool[]> => {
    if (!isCommand(server)) return local.tools(server)
    const listed = await ask(server, monotonic() + listWithinMs, {
      here: () => local.tools(server),
      there: url => remote.tools(url, { server, mayForward: false }),
    })
    if (listed === undefined) throw new UnavailableError(`upstream:${server}`, `no broker that runs ${server} answers`)
    return listed
  }

  const serving = new Set<Promise<unknown>>()
  const serve = async <T>(work: Promise<T>): Promise<Forwarded<T>> => {
    const entry = work.catch(() => {})
    serving.add(entry)
    return { taken: true, value: await work.finally(() => serving.delete(entry)) }
  }
  const isHere = (server: string) => monotonic() < ownership.deadline(server)

  return {
    upstreams: { dispatch, tools },
    port: {
      async dispatch({ request, leftMs, mayForward }) {
        const received = { ...request, deadline: monotonic() + leftMs }
        if (mayForward) return serve(dispatch(received))
        return isHere(request.server) ? serve(here(received)) : { taken: false }
      },
      async tools({ server, mayForward }) {
        if (mayForward) return serve(tools(server))
        return isHere(server) ? serve(local.tools(server)) : { taken: false }
      },
    },
    async close() {
      ownership.drain()
      await Promise.race([Promise.all(serving), sleep(drainMs, undefined, { ref: false })])
      await ownership.stop()
      await local.close()
    },
  }
}
