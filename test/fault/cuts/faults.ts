/** Every wire, cut in every way: the agent's, the server's, those between the processes, and PostgreSQL's. */
import { setTimeout as pause } from 'node:timers/promises'
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

export type WireFault = {
  readonly name: string
  readonly how: string
  readonly wire: Wire
  /** What is under way when the wire is cut. Default: a write, straight to front. */
  readonly during?: 'write through the wire' | 'write' | 'question'
  /** What the client of the wire sends, where it sends other things too. Default: the key. */
  readonly carrying?: string
  /** Bytes of request and answer where they cannot be measured because other things travel on the wire as well. */
  readonly bytes?: { readonly request: number; readonly answer: number }
  /** The long form cuts a message of more than 200 bytes after every so many. Default: every one. */
  readonly step?: number
  /** What a stall costs is a time-out of many seconds: the short form makes one on each side. */
  readonly stallsAreSlow?: boolean
}

/** The name of a prepared statement as it travels with each use of it. */
export const statement = (name: string) => `\0${name}\0`

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
    step: 4,
  },
  {
    name: 'reply wire cut',
    how: 'the connection from broker to front is cut while a reply is on it',
    wire: 'replies',
    carrying: 'POST /internal/replies',
    step: 4,
  },
  ...(
    [
      ['append', 'frontDatabase', 'journal_append_one', 1_600, 'a command is appended to the journal'],
      ['claim', 'brokerDatabase', 'claim', 1_600, 'a call is claimed'],
      ['advance', 'brokerDatabase', 'advance', 1_600, 'an outcome is recorded'],
      ['outbox relay', 'brokerDatabase', 'journal_move_outbox', 70, 'events move from the outbox to the journal'],
      ['journal read', 'brokerDatabase', 'journal_read', 120, 'commands are read from the journal'],
    ] as const
  ).map(([name, wire, sql, request, doing]) => ({
    name: `${name} cut`,
    how: `the connection to PostgreSQL is cut around the commit while ${doing}: not applied, or applied and the reply lost`,
    wire,
    carrying: statement(sql),
    bytes: { request, answer: 60 },
    step: 8,
    stallsAreSlow: true,
  })),
]

export const cutFaults: readonly Fault[] = wireFaults.map(fault => ({
  name: fault.name,
  how: fault.how,
  run: seed => runWire(cutStage, fault, seed),
}))

/** Longer than a statement on a silent connection is waited for. */
const paceMs = 20_000

/** A cut that finds its own key can be made beside others. */
const sideBySide = 6

let keys = 0

export async function runWire(open: () => Promise<Stage>, fault: WireFault, seed: number): Promise<Faulted> {
  const stage = await open()
  const random = seeded(seed)
  const prefix = `${fault.name.replaceAll(' ', '-')}-${(keys += 1)}`
  const stories: Story[] = []
  const broken: string[] = []
  const bytes = fault.bytes === undefined ? await measure(stage, fault, prefix) : { ...fault.bytes, heads: {} }
  const cuts = cutsOf(bytes, fault, random)
  let made = 0
  const queue = cuts.entries()
  const lane = async () => {
    for (const [n, cut] of queue) {
      const story = startStory(stage.lab, `${prefix}/${n}-${cut.of}-${cut.afterBytes}-${cut.how}`)
      stories.push(story)
      if (await runCut(stage, fault, story, cut)) made += 1
      broken.push(...violations(story))
    }
  }
  await Promise.all(Array.from({ length: isLong && fault.carrying === undefined ? sideBySide : 1 }, lane))
  const missing = await missingEvents(
    stage,
    stories.map(({ key }) => key),
  )
  return { runs: made, lost: missing.length, violations: [...broken, ...missing, ...(await stage.audit())] }
}

type Measured = Passed & { readonly heads: Partial<Passed> }

function cutsOf(bytes: Measured, { stallsAreSlow = false, step }: WireFault, random: () => number): Cut[] {
  const quick = stallsAreSlow ? ways.filter(way => way !== 'stall') : ways
  return (['request', 'answer'] as const).flatMap(side => {
    // An answer that has passed whole cannot be cut any more.
    const total = side === 'answer' ? bytes.answer - 1 : bytes.request
    const sampling = { headBytes: bytes.heads[side], step: total > 200 ? step : 1 }
    const { all: chosen, boundaries } = places(total, random, sampling)
    // Every place in one way, in turn; the long form cuts the boundaries in all.
    const howsOf = (n: number) => (isLong && boundaries.has(n) ? quick : [quick[n % quick.length] as Way])
    const cuts = chosen.flatMap((afterBytes, n) =>
      howsOf(isLong ? afterBytes : n).map((how): Cut => ({ of: side, afterBytes, how })),
    )
    const stalled = stallsAreSlow ? [chosen[side === 'answer' ? 0 : 2] ?? 0] : []
    return [...cuts, ...stalled.map((afterBytes): Cut => ({ of: side, afterBytes, how: 'stall' }))]
  })
}

/** How many bytes a write takes on a wire that carries nothing else, and where the headers end. */
async function measure({ wires, cutAgent, agent, lab }: Stage, fault: WireFault, prefix: string): Promise<Measured> {
  const { wire, during } = fault
  const proxy = wires[wire] as Proxy
  const before = proxy.passed()
  const through = during === 'write through the wire' ? cutAgent : agent
  await through.write(`${prefix}/0-request-0-measure`)
  if (during === 'question') await agent.ask(`${prefix}/0-request-0-measure`)
  const after = proxy.passed()
  const passed = { request: after.request - before.request, answer: after.answer - before.answer }
  return {
    ...passed,
    heads: headsOf(passed, wire, through.lastBodies(), lab.calls().at(-1)?.headers['content-length']),
  }
}

function headsOf(passed: Passed, wire: Wire, agentBodies: Passed, serverBody: unknown): Partial<Passed> {
  if (wire === 'upstream') return { request: passed.request - Number(serverBody) }
  if (wire !== 'agent') return {}
  return { request: passed.request - agentBodies.request, answer: passed.answer - agentBodies.answer }
}

/** @returns whether the wire was cut: a statement that is not sent cannot be */
async function runCut(stage: Stage, { wire, during = 'write', carrying }: WireFault, story: Story, cut: Cut) {
  const { key } = story
  const { agent, cutAgent, wires } = stage
  const proxy = wires[wire] as Proxy
  if (during === 'question') await told(story, 'write', agent.write(key))
  let made = false
  // The agent's own connection carries nothing else, and its headers come before the key.
  const armed = during === 'write through the wire' ? cut : { ...cut, carrying: carrying ?? key }
  const striking = proxy.cutNext(armed).then(() => (made = true))
  if (during === 'question') await told(story, 'ask', agent.ask(key))
  else await told(story, 'write', (during === 'write through the wire' ? cutAgent : agent).write(key))
  await conclude(story, agent)
  // Some things follow a write at their own pace, and wait longer while a connection is silent, such as the relay.
  await Promise.race([striking, pause(carrying === undefined ? 100 : paceMs)])
  proxy.forget(armed)
  return made
}
