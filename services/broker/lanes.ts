/**
 * Slots and queues per server: how many calls may be in flight, how many accepted ones wait. In memory and per broker;
 * a full lane refuses, it never blocks the journal.
 */
import type { Held } from './held.ts'

export type LaneLimits = { readonly concurrency: number; readonly queue: number }
export type Slot = 'free' | 'queue' | 'full'

type Lane = { inFlight: number; late: number; reserved: number; queue: Held[] }

export type Lanes = ReturnType<typeof createLanes>

/** @param limitsOf the server's `concurrency` and `queue` */
export function createLanes(limitsOf: (server: string) => LaneLimits) {
  const lanes = new Map<string, Lane>()
  const lane = (server: string): Lane => {
    let found = lanes.get(server)
    if (found === undefined) lanes.set(server, (found = { inFlight: 0, late: 0, reserved: 0, queue: [] }))
    return found
  }
  const waiting = ({ queue, reserved }: Lane) => queue.length + reserved

  return {
    /** Takes a slot, or a place in the queue, for a call that is about to be claimed. */
    reserve(server: string): Slot {
      const { concurrency, queue } = limitsOf(server)
      const at = lane(server)
      if (at.inFlight < concurrency && waiting(at) === 0) {
        at.inFlight += 1
        return 'free'
      }
      if (waiting(at) >= queue) return 'full'
      at.reserved += 1
      return 'queue'
    },
    /** Takes a slot that no call waits for, while less than half of them are in use: calls always find the others. */
    reserveIdle(server: string): boolean {
      const at = lane(server)
      const { concurrency } = limitsOf(server)
      if (at.inFlight >= Math.ceil(concurrency / 2) || waiting(at) > 0) return false
      at.inFlight += 1
      return true
    },
    /** Counts a call whose slot was decided before this process knew of it, whatever the limits say now. */
    occupy(server: string): void {
      lane(server).inFlight += 1
    },
    /** Likewise a place in the queue. */
    hold(server: string): void {
      lane(server).reserved += 1
    },
    /** Gives back what `reserve` took when the claim was lost. */
    giveBack(server: string, slot: Slot): void {
      if (slot === 'free') lane(server).inFlight -= 1
      if (slot === 'queue') lane(server).reserved -= 1
    },
    /** Turns a reserved place into a waiting call. */
    enqueue(held: Held): void {
      const at = lane(held.command.server)
      at.reserved -= 1
      at.queue.push(held)
    },
    /** Takes the calls whose turn it is; each holds a slot from now on. */
    takeReady(server: string): Held[] {
      const at = lane(server)
      const room = limitsOf(server).concurrency - at.inFlight
      const ready = at.queue.splice(0, Math.max(0, room))
      at.inFlight += ready.length
      return ready
    },
    /** Takes waiting calls out of every queue. */
    takeWaiting(which: (held: Held) => boolean): Held[] {
      const taken: Held[] = []
      for (const at of lanes.values()) {
        taken.push(...at.queue.filter(which))
        at.queue = at.queue.filter(held => !which(held))
      }
      return taken
    },
    release(server: string): void {
      lane(server).inFlight -= 1
    },
    /**
     * Moves a timed-out call out of `concurrency` into the late window. The window holds as many as the lane itself;
     * beyond that the call keeps its slot, so that a server that never answers cannot collect open requests.
     */
    tryMoveToLate(server: string): boolean {
      const at = lane(server)
      if (at.late >= limitsOf(server).concurrency) return false
      at.inFlight -= 1
      at.late += 1
      return true
    },
    releaseLate(server: string): void {
      lane(server).late -= 1
    },
    /** Numbers for metrics and for waiting at stop. */
    counts(): Array<{ server: string; inFlight: number; late: number; queued: number }> {
      return [...lanes].map(([server, at]) => ({ server, inFlight: at.inFlight, late: at.late, queued: waiting(at) }))
    },
  }
}
