/** What can happen to a process that is not its end: it is stopped, held up, or has a wrong clock. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { CrashPoint } from '../../../shared/process/crash-point.ts'
import { type Fault, isLong } from '../fault.ts'
import { isOnce, singlePlaces } from '../places.ts'
import { onNode, pause } from '../stages.ts'
import { clusterFaults } from './cluster.ts'
import { decisive, heldUp, leaseMs } from './hold-up.ts'

const repeatable = singlePlaces.filter(name => !isOnce(name) && !name.includes('.reject'))
/** Nothing is left to a sweep while no lease ends. */
const passedAlways = repeatable.filter(name => !name.includes('.sweep.'))

export const processFaults: readonly Fault[] = [
  {
    name: 'stopped for a moment',
    how: 'SIGSTOP at every named place, SIGCONT after 1.5 s; every agent that waits drops its connection meanwhile',
    run: async () => holdUp({ places: passedAlways, ms: 1_500, action: 'stop', patienceMs: 1_000 }),
  },
  {
    name: 'stopped past its lease',
    how: 'SIGSTOP at named places, SIGCONT after 12 s, when the lease is over',
    run: async () =>
      holdUp({ places: isLong ? repeatable : decisive.slice(0, 3), ms: leaseMs + 2_000, action: 'stop' }),
  },
  {
    name: 'event loop blocked past the lease',
    how: 'nothing of the process runs for 12 s at named places, its timers neither',
    run: async () =>
      holdUp({ places: isLong ? repeatable : decisive.slice(0, 2), ms: leaseMs + 2_000, action: 'block' }),
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
  ...clusterFaults,
]

type HoldUp = {
  readonly places: readonly CrashPoint[]
  readonly ms: number
  readonly action: 'stop' | 'block'
  readonly patienceMs?: number
}

async function holdUp({ places, ms, action, patienceMs }: HoldUp) {
  const options = { prefix: `${action}-${ms}`, ...(patienceMs !== undefined && { patienceMs }) }
  const violations = await onNode(options, async ({ node, workload }) => {
    await node.kill()
    const target = { output: () => node.output(), signal: (signal: NodeJS.Signals) => node.signal(signal) }
    return heldUp({ target, workload, places, ms, action }, traps => node.start({ HOLDFAST_CRASH_POINT: traps }))
  })
  return { runs: places.length, lost: 0, violations }
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
  const violations = await onNode({ prefix: `clock${offsetMs}`, node: { program, env } }, async ({ node }) => {
    await pause(isLong ? 60_000 : 10_000)
    const logged = readFileSync(join(node.folder, 'data', 'holdfast.log'), 'utf8')
      .trim()
      .split('\n')
      .at(-1) as string
    const wrongBy = (JSON.parse(logged) as { time: number }).time - Date.now()
    if (Math.abs(wrongBy - offsetMs) > 600_000) return [`the clock was wrong by ${wrongBy} ms only`]
    const since = new Date(Date.now() - 600_000).toISOString()
    const response = await fetch(`${new URL(node.ready().mcp).origin}/v1/report?since=${since}`, {
      headers: { authorization: `Bearer ${node.ready().key}` },
    })
    const { confirmed } = (await response.json()) as { confirmed?: unknown[] }
    return confirmed !== undefined && confirmed.length > 0 ? [] : ['a report of the last ten minutes has nothing in it']
  })
  return { runs: 1, lost: 0, violations }
}
