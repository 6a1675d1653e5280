/**
 * Which `command` servers this process runs: one lease each, in database time, and a deadline on this process's monotonic
 * clock that is always earlier than the lease's end. Until the deadline bytes may be written to the child; at the deadline
 * it is killed, by us or, where we are frozen, by the shell that guards it. So a successor that waits out the lease meets
 * no child of ours.
 */
import type { Logger } from 'pino'
import { readHolder, releaseServer, renewServers, takeServer, type Terms } from '../sql/command-servers.ts'
import type { Queryable } from '../sql/row.ts'

/** Where calls for a server go now. `nowhere`: somebody may still run it and cannot be asked. */
export type Place =
  | { readonly at: 'here' }
  | { readonly at: 'there'; readonly url: string }
  | { readonly at: 'nowhere' }

export type Ownership = {
  /** Takes the server when nobody has it. Rejects when the database cannot say. */
  locate(server: string): Promise<Place>
  /** The last answer of `locate` turned out wrong. */
  forget(server: string): void
  /** Monotonic: past it nothing may be written to the child. -Infinity when the server is not run here. */
  deadline(server: string): number
  /** From now on nothing more is taken here. */
  drain(): void
  /** Ends the children, then gives their servers back. */
  stop(): Promise<void>
}

export type OwnershipDeps = {
  readonly db: Queryable
  readonly log: Logger
  readonly monotonic: () => number
  /** This process, and where others reach it. */
  readonly owner: string
  readonly url: string
  readonly prolong: (server: string, lifeMs: number) => void
  /** Ends the child; resolves when it is gone. */
  readonly end: (server: string) => Promise<void>
}

export function createOwnership(deps: OwnershipDeps, { leaseMs, graceMs }: Terms): Ownership {
  const { db, log, monotonic, owner, url } = deps
  const held = new Map<string, { deadline: number; timer: NodeJS.Timeout | undefined }>()
  const others = new Map<string, { place: Place; until: number }>()
  const locating = new Map<string, Promise<Place>>()
  let stopped = false

  /** Less than the lease by a margin for a clock that runs a little faster here than in the database. */
  const deadlineFrom = (asked: number) => asked + leaseMs * 0.9
  const heldUntil = (server: string) => held.get(server)?.deadline ?? Number.NEGATIVE_INFINITY
  const deadline = (server: string) => (stopped ? Number.NEGATIVE_INFINITY : heldUntil(server))

  const hold = (server: string, until: number) => {
    clearTimeout(held.get(server)?.timer)
    const timer = setTimeout(() => lose(server, 'its lease could not be renewed in time'), until - monotonic())
    held.set(server, { deadline: until, timer })
    deps.prolong(server, until - monotonic())
  }

  const lose = (server: string, why: string) => {
    clearTimeout(held.get(server)?.timer)
    if (!held.delete(server)) return
    log.warn({ server, why }, 'a command server is given up; its calls in flight are lost')
    // The guard kills it at once; `end` lets go of what is left of the connection.
    deps.prolong(server, 0)
    void deps.end(server)
  }

  const take = async (server: string): Promise<Place> => {
    const asked = monotonic()
    const epoch = await takeServer(db, { server, owner, url, leaseMs, graceMs })
    if (epoch !== undefined && !stopped) {
      hold(server, deadlineFrom(asked))
      log.info({ server, epoch }, 'this broker runs a command server')
      return { at: 'here' }
    }
    const holder = await readHolder(db, server)
    const isOther = holder?.isLive === true && holder.owner !== owner
    const place: Place = isOther ? { at: 'there', url: holder.url } : { at: 'nowhere' }
    if (isOther) others.set(server, { place, until: asked + leaseMs / 4 })
    return place
  }

  const renew = async () => {
    const asked = monotonic()
    const before = [...held.keys()]
    if (before.length === 0) return
    const renewed = await renewServers(db, owner, leaseMs)
    for (const server of before) {
      if (!held.has(server)) continue
      if (renewed.has(server) && monotonic() < heldUntil(server)) hold(server, deadlineFrom(asked))
      else lose(server, 'another broker may have it')
    }
  }

  let renewing: Promise<void> | undefined
  const renewTimer = setInterval(() => {
    renewing ??= renew()
      .catch(error => log.warn({ err: error }, 'the leases of command servers could not be renewed; will try again'))
      .finally(() => {
        renewing = undefined
      })
  }, leaseMs / 4)

  return {
    deadline,
    forget: server => void others.delete(server),
    async locate(server) {
      if (monotonic() < deadline(server)) return { at: 'here' }
      if (stopped) return { at: 'nowhere' }
      const known = others.get(server)
      if (known !== undefined && monotonic() < known.until) return known.place
      const under = locating.get(server) ?? take(server).finally(() => locating.delete(server))
      locating.set(server, under)
      return under
    },
    drain: () => {
      stopped = true
    },
    async stop() {
      stopped = true
      await Promise.allSettled(locating.values())
      // Renewed until they are gone: a child takes a moment to end.
      await Promise.all(
        [...held.keys()].map(async server => {
          await deps.end(server)
          clearTimeout(held.get(server)?.timer)
          if (!held.delete(server)) return
          await releaseServer(db, owner, server).catch(error =>
            log.warn({ err: error, server }, 'a command server could not be given back; its lease ends by itself'),
          )
        }),
      )
      clearInterval(renewTimer)
      await renewing
    },
  }
}
