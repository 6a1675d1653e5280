/**
 * This process as an owner of operations: an id, new at every start and after every lost lease, and a lease in database
 * time. `deadline` is the moment, on this process's monotonic clock, after which nothing may be sent any more under the
 * current id: it is taken before each renewal is asked for, so it is always earlier than the lease's end.
 */
import type { Logger } from 'pino'
import type { BrokerTelemetry } from '../../shared/telemetry/broker.ts'
import { crashPoint } from '../../shared/process/crash-point.ts'
import { enterOwner, endOwner, renewOwner } from './sql/owners.ts'
import type { Queryable } from './sql/row.ts'

export type Owner = {
  id(): string
  /** Milliseconds on `monotonic`; -Infinity for an id that is not the current one. */
  deadline(id: string): number
  /** Renews now when the lease is over; resolves when there is a live one. */
  ensureLive(): Promise<void>
  stop(): Promise<void>
}

type Deps = {
  db: Queryable
  ids: { ulid(): string }
  monotonic: () => number
  log: Logger
  telemetry: Pick<BrokerTelemetry, 'leaseLost' | 'renewalFailed'>
}

export async function startOwner(deps: Deps, { leaseMs }: { leaseMs: number }): Promise<Owner> {
  let id = ''
  let deadline = Number.NEGATIVE_INFINITY
  let stopped = false
  let renewing: Promise<void> | undefined

  /** Less than the lease by a margin for a clock that runs a little faster here than in the database. */
  const deadlineFrom = (asked: number) => asked + leaseMs * 0.9

  const enter = async () => {
    const fresh = deps.ids.ulid()
    const asked = deps.monotonic()
    await enterOwner(deps.db, fresh, leaseMs)
    crashPoint('broker.owner.entered')
    id = fresh
    deadline = deadlineFrom(asked)
  }

  const renew = async () => {
    const asked = deps.monotonic()
    if (asked < deadline && (await renewOwner(deps.db, id, leaseMs))) {
      crashPoint('broker.owner.renewed')
      deadline = deadlineFrom(asked)
      return
    }
    deps.telemetry.leaseLost()
    deps.log.warn({ owner: id }, 'the lease was lost; what it held is left to the sweep and a new owner id is taken')
    await enter()
  }

  const renewOnce = () => {
    renewing ??= renew().finally(() => {
      renewing = undefined
    })
    return renewing
  }

  await enter()
  const timer = setInterval(() => {
    renewOnce().catch(error => {
      deps.telemetry.renewalFailed()
      deps.log.warn({ err: error }, 'the lease could not be renewed; will try again')
    })
  }, leaseMs / 4)

  return {
    id: () => id,
    deadline: of => (of === id && !stopped ? deadline : Number.NEGATIVE_INFINITY),
    async ensureLive() {
      if (deps.monotonic() >= deadline) await renewOnce()
    },
    async stop() {
      stopped = true
      clearInterval(timer)
      await renewing?.catch(() => {})
      await endOwner(deps.db, id).catch(error =>
        deps.log.warn({ err: error }, 'the lease could not be ended; it ends by itself'),
      )
    },
  }
}
