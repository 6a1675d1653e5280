/** A process that is stopped, or whose event loop is blocked, at named places, one after the other. */
import type { CrashPoint } from '../../../shared/process/crash-point.ts'
import { passedBy } from '../places.ts'
import { pause } from '../stages.ts'
import type { Workload } from '../workload.ts'

/** Of a broker process; what it holds may be swept after this time. */
export const leaseMs = 10_000

/** Where a lease that ended unnoticed matters most: between a commit and what it allows. */
export const decisive: readonly CrashPoint[] = [
  'broker.claim.committed',
  'broker.dispatch.before',
  'broker.dispatch.answered',
  'broker.complete.committed',
  'broker.offsets.before',
  'broker.owner.renewed',
  'broker.replay.committed',
  'broker.probe.answered',
]

export type Target = { readonly output: () => string; readonly signal: (signal: NodeJS.Signals) => void }

export type HeldUp = {
  readonly target: Target
  readonly workload: Workload
  readonly places: readonly CrashPoint[]
  readonly ms: number
  readonly action: 'stop' | 'block'
}

/**
 * @param start starts the target with these traps
 * @returns places that were never passed
 */
export async function heldUp(input: HeldUp, start: (traps: string) => Promise<void>): Promise<string[]> {
  const { target, places, ms, action } = input
  const traps = places.map(place => `${place}:2:${action === 'stop' ? action : `block=${ms}`}`).join(',')
  const resuming = action === 'stop' ? resume(target, ms) : undefined
  await start(traps)
  const missed = await untilPassed(input)
  resuming?.stop()
  return missed
}

/** Lets the process go on after each of its stops. */
function resume({ output, signal }: Target, ms: number): { stop(): void } {
  let stopped = false
  const run = async () => {
    let seen = 0
    while (!stopped) {
      await pause(20)
      if ([...output().matchAll(/^crash point \S+: stop$/gm)].length <= seen) continue
      seen += 1
      await pause(ms)
      signal('SIGCONT')
    }
  }
  void run()
  return { stop: () => void (stopped = true) }
}

async function untilPassed({ target, workload, places, ms }: HeldUp): Promise<string[]> {
  const missed: string[] = []
  for (const place of places) {
    workload.favour(passedBy[place])
    const until = performance.now() + 60_000 + ms
    const isPassed = () => target.output().includes(`crash point ${place}: `)
    while (!isPassed() && performance.now() < until) await pause(50)
    if (!isPassed()) missed.push(`${place} was never passed`)
  }
  await pause(ms + 500)
  return missed
}
