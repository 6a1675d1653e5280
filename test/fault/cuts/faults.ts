/** Every wire, cut in every way: the agent's, the server's, those between the processes, and PostgreSQL's. */
import { seeded } from '../../../services/cli/crash-test/random.ts'
import type { Cut, Passed, Proxy } from '../../../services/cli/crash-test/proxy.ts'
import type { Fault, Faulted } from '../fault.ts'
import { isLong } from '../fault.ts'
import { conclude, startStory, type Story, told, violations } from '../ledger.ts'
import { missingEvents } from './history.ts'
import { places } from './places.ts'
import { cutStage, type Stage, type Wire } from './stage.ts'

const ways = ['reset', 'end', 'stall'] as const
type Way = (typeof ways)[number]

type WireFault = {
  readonly name: string
  readonly how: string
  readonly wire: Wire
  /** What is under way when the wire is cut. Default: a write, straight to front. */
  readonly during?: 'write through the wire' | 'write' | 'question'
  /** What the client of the wire sends, where it sends other things too. Default: the key. */
  readonly carrying?: string
  /** Bytes of request and answer where they cannot be measured because other things travel on the wire as well. */
  readonly bytes?: { readonly request: number; readonly answer: number }
  /** What a stall costs is a time-out of many seconds: the short form makes one on each side. */
  readonly stallsAreSlow?: boolean
}

/** The name of a prepared statement as it travels with each use of it. */
const statement = (name: string) => `\0${name}\0`

const wireFaults: readonly WireFault[] = [
  {
    name: 'agent wire cut',
    how: 'the connection from the agent to front is reset, ended or goes silent after n bytes',
    wire: 'agent',
    during: 'write through the wire',
  },
  {
    name: 'upstream wire cut',
    how: 'the connection from broker to the server is reset, ended or goes silent after n bytes',
    wire: 'upstream',
  },
  {
    name: 'question wire cut',
    how: 'the connection from front to broker is cut while an outcome is asked for',
    wire: 'questions',
    during: 'question',
    carrying: 'POST /internal/outcome',
  },
  {
    name: 'reply wire cut',
    how: 'the connection from broker to front is cut while a reply is on it',
    wire: 'replies',
    carrying: 'POST /internal/replies',
  },
  ...(
    [
      ['append', 'frontDatabase', 'journal_append', 'a command is appended to the journal'],
      ['claim', 'brokerDatabase', 'claim', 'a call is claimed'],
      ['advance', 'brokerDatabase', 'advance', 'an outcome is recorded'],
      ['outbox relay', 'brokerDatabase', 'journal_move_outbox', 'events move from the outbox to the journal'],
      ['journal read', 'brokerDatabase', 'journal_read', 'commands are read from the journal'],
    ] as const
  ).map(([name, wire, sql, doing]) => ({
    name: `${name} cut`,
    how: `the connection to PostgreSQL is cut around the commit while ${doing}: not applied, or applied and the reply lost`,
    wire,
    carrying: statement(sql),
    bytes: { request: 1_600, answer: 60 },
    stallsAreSlow: true,
  })),
]

export const cutFaults: readonly Fault[] = wireFaults.map(fault => ({
  name: fault.name,
  how: fault.how,
  run: seed => runWire(fault, seed),
}))

let keys = 0

async function runWire(fault: WireFault, seed: number): Promise<Faulted> {
  const stage = await cutStage()
  const random = seeded(seed)
  const prefix = `${fault.name.replaceAll(' ', '-')}-${(keys += 1)}`
  const stories: Story[] = []
  const broken: string[] = []
  const bytes = fault.bytes ?? (await measure(stage, fault, prefix))
  const cuts = cutsOf(bytes, fault, random)
  for (const [n, cut] of cuts.entries()) {
    const story = startStory(stage.lab, `${prefix}/${n}-${cut.of}-${cut.afterBytes}-${cut.how}`)
    stories.push(story)
    const t0 = performance.now()
    await runCut(stage, fault, story, cut)
    if (process.env.T)
      console.log(
        story.key,
        (performance.now() - t0).toFixed(0),
        story.entries.map(e => `${e.by}:${e.state}/${e.code}:${e.before}${e.after}`).join(' '),
      )
    broken.push(...violations(story))
  }
  const missing = await missingEvents(
    stage,
    stories.map(({ key }) => key),
  )
  return { runs: cuts.length, lost: missing.length, violations: [...broken, ...missing] }
}

function cutsOf(bytes: Passed, { stallsAreSlow = false }: WireFault, random: () => number): Cut[] {
  const cuts: Cut[] = []
  const quick = stallsAreSlow ? ways.filter(way => way !== 'stall') : ways
  for (const side of ['request', 'answer'] as const) {
    // An answer that has passed whole cannot be cut any more.
    const last = side === 'answer' ? bytes.answer - 1 : bytes.request
    const chosen = places(last, random)
    for (const [n, afterBytes] of chosen.entries()) {
      // The short form cuts every place in one way, the long one in all.
      const hows = isLong ? ways : [quick[n % quick.length] as Way]
      for (const how of hows) cuts.push({ of: side, afterBytes, how })
    }
    if (stallsAreSlow && !isLong)
      cuts.push({ of: side, afterBytes: chosen[side === 'answer' ? 0 : 2] ?? 0, how: 'stall' })
  }
  return cuts
}

/** How many bytes a write takes on a wire that carries nothing else. */
async function measure({ wires, cutAgent, agent }: Stage, { wire, during }: WireFault, prefix: string) {
  const before = wires[wire].passed()
  const through = during === 'write through the wire' ? cutAgent : agent
  await through.write(`${prefix}/0-request-0-measure`)
  if (during === 'question') await agent.ask(`${prefix}/0-request-0-measure`)
  const after = wires[wire].passed()
  return { request: after.request - before.request, answer: after.answer - before.answer }
}

async function runCut(stage: Stage, fault: WireFault, story: Story, cut: Cut): Promise<void> {
  const { key } = story
  const { agent, cutAgent, wires } = stage
  const arm = (proxy: Proxy) => void proxy.cutNext({ ...cut, carrying: fault.carrying ?? key })
  if (fault.during === 'question') await told(story, 'write', agent.write(key))
  // The agent's own connection carries nothing else, and its headers come before the key.
  if (fault.during === 'write through the wire') void wires[fault.wire].cutNext(cut)
  else arm(wires[fault.wire])
  if (fault.during === 'question') await told(story, 'ask', agent.ask(key))
  else await told(story, 'write', (fault.during === 'write through the wire' ? cutAgent : agent).write(key))
  wires[fault.wire].forget()
  await conclude(story, agent)
}
