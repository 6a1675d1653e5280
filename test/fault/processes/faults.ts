/** What can happen to a process that is not its end: it is stopped, held up, or has a wrong clock. */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { CrashPoint } from '../../../shared/process/crash-point.ts'
import type { Node } from '../../helpers/node.ts'
import { type Fault, isLong } from '../fault.ts'
import { isOnce, passedBy, singlePlaces } from '../places.ts'
import { onStage, pause, type Stage } from '../single-stage.ts'

/** Of a broker process; what it holds may be swept after this time. */
const leaseMs = 10_000

const repeatable = singlePlaces.filter(name => !isOnce(name) && !name.includes('.reject'))
/** Where a lease that ended unnoticed matters most: between a commit and what it allows. */
const decisive: CrashPoint[] = [
  'broker.claim.committed',
  'broker.dispatch.before',
  'broker.dispatch.answered',
  'broker.complete.committed',
  'broker.offsets.before',
  'broker.owner.renewed',
]

export const processFaults: readonly Fault[] = [
  {
    name: 'stopped for a moment',
    how: 'SIGSTOP at every named place, SIGCONT after 1.5 s; every agent that waits drops its connection meanwhile',
    run: async () => holdUp({ places: repeatable, ms: 1_500, action: 'stop', patienceMs: 1_000 }),
  },
  {
    name: 'stopped past its lease',
    how: 'SIGSTOP at named places, SIGCONT after 12 s, when the lease is over',
    run: async () => holdUp({ places: isLong ? repeatable : decisive, ms: leaseMs + 2_000, action: 'stop' }),
  },
  {
    name: 'event loop blocked past the lease',
    how: 'nothing of the process runs for 12 s at named places, its timers neither',
    run: async () =>
      holdUp({ places: isLong ? repeatable : decisive.slice(0, 4), ms: leaseMs + 2_000, action: 'block' }),
  },
  {
    name: 'clock an hour ahead',
    how: "the process's clock is an hour ahead of the database's",
    run: async () => wrongClock(3_600_000),
  },
  {
    name: 'clock an hour behind',
    how: "the process's clock is an hour behind the database's",
    run: async () => wrongClock(-3_600_000),
  },
]

type HoldUp = {
  readonly places: readonly CrashPoint[]
  readonly ms: number
  readonly action: 'stop' | 'block'
  readonly patienceMs?: number
}

async function holdUp({ places, ms, action, patienceMs }: HoldUp) {
  const wanted = action === 'stop' ? action : `block=${ms}`
  const traps = places.map(place => `${place}:2:${wanted}`).join(',')
  const options = { prefix: `${action}-${ms}`, ...(patienceMs !== undefined && { patienceMs }) }
  const violations = await onStage(options, async stage => {
    await stage.node.kill()
    const resuming = action === 'stop' ? resume(stage.node, places.length, ms) : undefined
    await stage.node.start({ HOLDFAST_CRASH_POINT: traps })
    const problems = await untilPassed(stage, places, ms)
    resuming?.stop()
    return problems
  })
  return { runs: places.length, lost: 0, violations }
}

/** Lets the process go on after each of its stops. */
function resume(node: Node, stops: number, ms: number): { stop(): void } {
  let stopped = false
  const run = async () => {
    for (let seen = 0; seen < stops && !stopped; ) {
      await pause(20)
      if ([...node.output().matchAll(/^crash point \S+: stop$/gm)].length <= seen) continue
      seen += 1
      await pause(ms)
      node.signal('SIGCONT')
    }
  }
  void run()
  return { stop: () => void (stopped = true) }
}

/** @returns places that were never passed */
async function untilPassed({ node, workload }: Stage, places: readonly CrashPoint[], ms: number): Promise<string[]> {
  const missed: string[] = []
  for (const place of places) {
    workload.favour(passedBy[place])
    const until = performance.now() + 60_000 + ms
    const isPassed = () => node.output().includes(`crash point ${place}: `)
    while (!isPassed() && performance.now() < until) await pause(50)
    if (!isPassed()) missed.push(`${place} was never passed`)
  }
  await pause(ms + 500)
  return missed
}

const root = fileURLToPath(new URL('../../../', import.meta.url))

async function wrongClock(offsetMs: number) {
  const program = [
    '--import',
    'tsx',
    '--import',
    join(root, 'test/fault/processes/shift-clock.mjs'),
    join(root, 'services/single/main.ts'),
  ]
  const env = { HOLDFAST_TEST_CLOCK_OFFSET: String(offsetMs) }
  const violations = await onStage({ prefix: `clock${offsetMs}`, program, env }, async ({ node }) => {
    await pause(isLong ? 60_000 : 12_000)
    const since = new Date(Date.now() - 600_000).toISOString()
    const response = await fetch(`${new URL(node.ready().mcp).origin}/v1/report?since=${since}`, {
      headers: { authorization: `Bearer ${node.ready().key}` },
    })
    const { confirmed } = (await response.json()) as { confirmed?: unknown[] }
    return confirmed !== undefined && confirmed.length > 0 ? [] : ['a report of the last ten minutes has nothing in it']
  })
  return { runs: 1, lost: 0, violations }
}
