/** PostgreSQL, the journal in it, and ClickHouse, each broken under load and brought back, or left to come back. */
import { seeded } from '../../../services/cli/crash-test/random.ts'
import type { NewRecord } from '../../../shared/journal/port.ts'
import { topics } from '../../../shared/journal/topics.ts'
import type { Breakage } from '../../helpers/clickhouse.ts'
import { eventually } from '../../helpers/node.ts'
import type { Told } from '../agent.ts'
import { missingEvents } from '../cuts/history.ts'
import { type Fault, type Faulted, isLong } from '../fault.ts'
import { conclude, startStory, type Story, told, violations } from '../ledger.ts'
import { canMount, type Disk } from './disk.ts'
import { type Load, startLoad } from './load.ts'
import { type Stage, storeStage } from './stage.ts'

const backlogWrites = isLong ? 20_000 : 500
const outageMs = isLong ? 60_000 : 4_000
const pause = (ms: number) => new Promise<void>(resolve => setTimeout(resolve, ms))

type Outage = {
  readonly name: string
  readonly how: string
  /** Breaks it; what it returns mends it. */
  readonly break: (stage: Stage) => Promise<() => unknown>
  /** It needs a disk of its own, which not every machine lets us mount. */
  readonly needsDisk?: boolean
  /** Of the database: while it is away nothing may be dispatched. Of the history: calls go on. */
  readonly of: 'database' | 'full database' | 'moment' | 'history'
  /** Of the history: no row gets into it meanwhile. Default true. */
  readonly stalls?: boolean
}

const insert = /^\s*insert into/i
const broken = (cut: Breakage['cut']) => async (stage: Stage) => {
  stage.history.breakAll({ when: insert, cut })
  return () => stage.history.breakAll()
}

const outages: readonly Outage[] = [
  {
    name: 'PostgreSQL killed',
    how: 'kill -9 of the postmaster under load; it is started again at once',
    of: 'moment',
    break: async ({ postgres }) => (postgres.signal('SIGKILL'), () => {}),
  },
  {
    name: 'PostgreSQL stopped at once',
    how: 'immediate shutdown (SIGQUIT) under load; it is started again at once',
    of: 'moment',
    break: async ({ postgres }) => (postgres.signal('SIGQUIT'), () => {}),
  },
  {
    name: 'PostgreSQL down',
    how: `stopped under load and away for ${outageMs / 1000} s`,
    of: 'database',
    break: async ({ postgres }) => {
      await postgres.stop()
      return () => postgres.start()
    },
  },
  {
    name: 'PostgreSQL frozen',
    how: `every process of it stopped without a word for ${outageMs / 1000} s, connections open`,
    of: 'database',
    break: async ({ postgres }) => postgres.freeze(),
  },
  {
    name: 'PostgreSQL disk full',
    how: 'not a byte left on its disk, a tmpfs of its own, under load; then there is room again',
    of: 'full database',
    needsDisk: true,
    break: async ({ postgres }) => (postgres.disk as Disk).fill(),
  },
  {
    name: 'ClickHouse down',
    how: `refuses connections for ${outageMs / 1000} s under load`,
    of: 'history',
    break: async ({ history }) => {
      await history.shut()
      return () => history.open()
    },
  },
  {
    name: 'ClickHouse slow',
    how: 'every insert takes two seconds more',
    of: 'history',
    stalls: false,
    break: broken('slow'),
  },
  { name: 'ClickHouse failing', how: 'every insert is refused', of: 'history', break: broken('fail') },
  {
    name: 'ClickHouse acknowledging nothing',
    how: 'every insert takes effect and its answer is lost',
    of: 'history',
    break: broken('after'),
  },
  {
    name: 'ClickHouse disk full',
    how: 'not a byte left on its disk, a tmpfs of its own, under load; then there is room again',
    of: 'history',
    needsDisk: true,
    break: async ({ historyDisk }) => (historyDisk as Disk).fill(),
  },
]

const possible = canMount() ? outages : outages.filter(({ needsDisk }) => needsDisk !== true)
if (possible.length < outages.length) console.log('no disk can be mounted here: disks that are full are left out')

export const storeFaults: readonly Fault[] = [
  ...possible.map(outage => ({ name: outage.name, how: outage.how, run: () => runOutage(outage) })),
  {
    name: 'journal repeats commands',
    how: 'every command so far is appended again, in any order over the partitions',
    run: runRepeats,
  },
  {
    name: 'ClickHouse away for long',
    how: `an outage as long as ${backlogWrites} writes take, their events queued in the journal; then the history catches up`,
    run: runBacklog,
  },
]

let runs = 0

async function runOutage(outage: Outage): Promise<Faulted> {
  const stage = await storeStage()
  const load = startLoad(stage, `${outage.name.replaceAll(' ', '-')}-${(runs += 1)}`)
  await eventually(async () => (load.stories.length > 30 ? true : undefined), { withinMs: 30_000, what: 'the load' })
  const mend = await outage.break(stage)
  const during = await watch(stage, outage, load)
  await mend()
  const recovered = await recovers(stage, outage.name)
  const stories = await load.stop()
  for (const story of stories) await conclude(story, stage.agent)
  const missing = await missingEvents({ cluster: stage.node }, dispatchedOf(stories))
  const counts = countsOf(stories)
  console.log(`${outage.name}: ${stories.length} writes, told at first ${JSON.stringify(counts)}`)
  const all = [...during, ...recovered, ...stories.flatMap(violations), ...missing, ...(await stage.audit())]
  return { runs: 1, lost: missing.length, violations: all }
}

/** Every key has an operation by the end: the same key again made one where there was none. */
const dispatchedOf = (stories: readonly Story[]) => stories.map(({ key }) => key)

function countsOf(stories: readonly Story[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const { entries } of stories) {
    const { state = 'none', code } = entries[0] ?? {}
    const name = code === undefined ? state : `${state} ${code}`
    counts[name] = (counts[name] ?? 0) + 1
  }
  return counts
}

/** While it is broken: what must not happen does not, and what must go on does. */
async function watch(stage: Stage, { of, name, stalls = true }: Outage, load: Load): Promise<string[]> {
  if (of === 'moment') return []
  const wrong: string[] = []
  if (of === 'history') {
    const before = load.stories.filter(({ entries }) => entries[0]?.state === 'succeeded').length
    await pause(outageMs)
    const done = load.stories.filter(({ entries }) => entries[0]?.state === 'succeeded').length - before
    if (done < 5) wrong.push(`${name}: only ${done} writes succeeded while the history was away`)
    if (stalls && (await takesRows(stage))) wrong.push(`${name}: the history was not broken at all`)
    return wrong
  }
  if (of === 'full database') {
    await pause(outageMs)
    return wrong
  }
  // What was claimed before it went away may still be on its way to the server.
  await pause(500)
  const sent = stage.lab.calls().filter(({ tool }) => tool === 'write').length
  const reads = Promise.all([stage.agent.read('echo', { n: 1 }), stage.agent.read('big', { bytes: 10 })])
  await pause(outageMs - 500)
  const now = stage.lab.calls().filter(({ tool }) => tool === 'write').length
  if (now !== sent) wrong.push(`${name}: ${now - sent} calls were dispatched without a database`)
  const late = pause(30_000).then((): Told[] => [])
  const [required, relaxed] = await Promise.race([reads, late])
  if (required?.state === 'succeeded') wrong.push(`${name}: a read was answered without its record`)
  if (relaxed?.state !== 'succeeded') wrong.push(`${name}: a best-effort read was withheld: ${JSON.stringify(relaxed)}`)
  return wrong
}

/** What an operator sees of it. */
async function takesRows({ node }: Stage): Promise<boolean> {
  const response = await fetch(new URL('/readyz', node.ready().sql))
  await response.body?.cancel()
  return response.status === 200
}

async function recovers({ agent }: Stage, name: string): Promise<string[]> {
  const look = async () =>
    (await agent.write(`after/${name}/${(runs += 1)}`)).state === 'succeeded' ? true : undefined
  return eventually(look, { withinMs: 60_000 }).then(
    () => [],
    () => [`${name}: it does not come back by itself`],
  )
}

async function runRepeats(seed: number): Promise<Faulted> {
  const stage = await storeStage()
  const load = startLoad(stage, `repeats-${(runs += 1)}`)
  await pause(2_000)
  const stories = await load.stop()
  const before = stage.lab.calls().length
  const random = seeded(seed)
  const records = await stage.withJournal(async journal => {
    const commands: NewRecord[] = []
    for (let partition = 0; partition < topics.calls.partitions; partition += 1) {
      for await (const { offset: _, time: __, ...record } of journal.read({ topic: topics.calls.name, partition }))
        commands.push(record)
    }
    const shuffled = commands
      .map(record => ({ record, place: random() }))
      .sort((a, b) => a.place - b.place)
      .map(({ record }) => record)
    for (let n = 0; n < shuffled.length; n += 50) await journal.append(shuffled.slice(n, n + 50))
    await eventually(
      async () =>
        (await journal.lag('holdfast-broker', topics.calls.name)).every(({ lag }) => lag === 0) ? true : undefined,
      { withinMs: 60_000 + 20 * shuffled.length, what: 'the end of the commands' },
    )
    return shuffled.length
  })
  const sentAgain = stage.lab.calls().length - before
  for (const story of stories) await conclude(story, stage.agent)
  const missing = await missingEvents({ cluster: stage.node }, dispatchedOf(stories))
  const wrong = sentAgain > 0 ? [`${sentAgain} commands were dispatched again`] : []
  console.log(`journal repeats commands: ${records} of them`)
  return {
    runs: 1,
    lost: missing.length,
    violations: [...wrong, ...stories.flatMap(violations), ...missing, ...(await stage.audit())],
  }
}

async function runBacklog(): Promise<Faulted> {
  const stage = await storeStage()
  const prefix = `backlog-${(runs += 1)}`
  await stage.history.shut()
  const stories = await writeMany(stage, prefix, backlogWrites)
  await stage.history.open()
  const began = performance.now()
  const names = stories.map(({ key }) => key)
  const missing: string[] = []
  // The list of keys goes into the statement.
  for (let n = 0; n < names.length; n += 500) {
    missing.push(...(await missingEvents({ cluster: stage.node }, names.slice(n, n + 500), 300_000)))
  }
  const seconds = ((performance.now() - began) / 1000).toFixed(1)
  console.log(`ClickHouse away for long: ${names.length} writes queued, their events there after ${seconds} s`)
  const twice = await stage.node.sql<{ id: string }>(
    `select event_id as id from holdfast.events where idempotency_key like '${prefix}/%' group by id having count() > 1 limit 5`,
  )
  return {
    runs: 1,
    lost: missing.length,
    violations: [
      ...stories.flatMap(violations),
      ...missing,
      ...twice.map(({ id }) => `I8, ${id} is there twice`),
      ...(await stage.audit()),
    ],
  }
}

async function writeMany({ lab, agent }: Stage, prefix: string, count: number): Promise<Story[]> {
  const stories: Story[] = []
  const work = async () => {
    while (stories.length < count) {
      const story = startStory(lab, `${prefix}/${stories.length}`)
      stories.push(story)
      const { state } = await told(story, 'write', agent.write(story.key))
      if (state !== 'succeeded') await told(story, 'again', agent.write(story.key))
    }
  }
  await Promise.all(Array.from({ length: 16 }, work))
  return stories
}
