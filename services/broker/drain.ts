/** Stopping: what is in flight may finish, what waits is handed back, what remains is left to the sweep. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Broker } from './deps.ts'
import { giveUp } from './queue.ts'
import { crashPoint } from '../../shared/process/crash-point.ts'

const pollMs = 10

/** Hands back the queue at once (nothing of it was sent, and a front that still waits submits it again), then waits for the calls in flight. */
export async function waitForDispatches(broker: Broker, graceMs: number): Promise<void> {
  const waiting = broker.lanes.takeWaiting(() => true)
  await Promise.allSettled(waiting.map(held => giveUp(broker, held, 'owner_gone')))
  crashPoint('broker.drain.begun')
  const until = broker.monotonic() + graceMs
  while (inFlight(broker) > 0 && broker.monotonic() < until) await sleep(pollMs)
}

const inFlight = ({ lanes }: Broker) => lanes.counts().reduce((sum, { inFlight }) => sum + inFlight, 0)

/** Tells the operator what is left to the sweep: an answer that still comes is recorded by nobody. */
export function warnOfCallsLeft(broker: Broker): void {
  const left = [...broker.held.values()].filter(({ operation }) => operation.state === 'executing').length
  if (left > 0) broker.log.warn({ calls: left }, 'stopping with calls in flight: their outcome will be unknown')
}
