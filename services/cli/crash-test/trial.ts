/** One intended change: made, disturbed, repeated as the scenario says, and counted. */
import { ConfigError } from '../../../shared/errors.ts'
import type { Counter } from './count.ts'
import type { Heard } from './post.ts'
import type { Proxy } from './proxy.ts'
import type { Fault, Names, Repeat, Sizes } from './scenarios.ts'
import { type Call, callTool, openSession, sayCancelled, type Server, type Session } from './speak.ts'
import { judge, type Told, toldBy, toldTogether, type Verdict } from './verdict.ts'

export type Plan = {
  readonly server: Server
  readonly proxy: Proxy
  readonly names: Names
  /** The call, and the question that counts, of a change. */
  readonly call: (change: string) => Call
  readonly question: (change: string) => Call
  readonly counter: Counter
  /** How long a client waits for an answer that is held back. */
  readonly timeoutMs: number
  readonly random: () => number
  readonly nextChange: () => string
}

export type Trial = {
  readonly change: string
  readonly calls: number
  readonly told: Told
  readonly effects: number
  readonly verdict: Verdict
  /** False where a cut was planned and its place was never reached. */
  readonly isDisturbed: boolean
  readonly sizes: Sizes
  readonly tookMs: number
}

/** A call that is not disturbed may take its time: gateways wait for their servers. */
const patienceMs = 60_000
const settle = { pauseMs: 100, quietMs: 300, mostMs: 10_000 } as const

/** @param sizes of a clean call of the same kind */
export async function runTrial(plan: Plan, fault: Fault, repeat: Repeat, sizes: Omit<Sizes, 'random'>): Promise<Trial> {
  const { proxy, server, random, nextChange } = plan
  const change = nextChange()
  const call = repeat.carry(plan.call(change), `crash-test-${change}`, plan.names)
  const before = await count(plan, change)
  const session = await openSession(server)
  const passed = proxy.passed()
  const began = performance.now()
  let isDisturbed = fault.cut === undefined
  if (fault.cut !== undefined) {
    const how = fault.how ?? (random() < 0.5 ? 'reset' : 'end')
    const cut = { ...fault.cut({ ...sizes, random: random() }), how, carrying: change }
    void proxy.cutNext(cut).then(() => (isDisturbed = true))
  }
  const heard = await callAndRepeat(plan, fault, repeat, session, call)
  const tookMs = performance.now() - began
  const after = proxy.passed()
  proxy.forget()
  const effects = await countEffects(plan, change, before, tookMs)
  const told = fault.together ? toldTogether(heard.map(toldBy)) : toldBy(heard.at(-1) as Heard)
  return {
    change,
    calls: heard.length,
    told,
    effects,
    verdict: judge(told, effects),
    isDisturbed,
    sizes: { requestBytes: after.request - passed.request, answerBytes: after.answer - passed.answer, random: 0 },
    tookMs,
  }
}

async function callAndRepeat(
  { server, timeoutMs }: Plan,
  fault: Fault,
  repeat: Repeat,
  session: Session,
  call: Call,
): Promise<Heard[]> {
  // Ids of one length, so that requests of one kind have one size.
  const [firstId, secondId] = ['call-1', repeat.sameId ? 'call-1' : 'call-2']
  if (fault.together) {
    const both = [firstId, secondId].map(id => callTool(server, session, { id, call, timeoutMs: patienceMs }))
    return Promise.all(both)
  }
  const first = await callTool(server, session, {
    id: firstId,
    call,
    timeoutMs: fault.how === 'stall' ? timeoutMs : patienceMs,
  })
  // As SDKs do when they give up waiting.
  if (first.kind === 'timeout') await sayCancelled(server, session, firstId)
  if (first.kind === 'answer' || repeat.never) return [first]
  const next = repeat.newSession ? await openSession(server) : session
  return [first, await callTool(server, next, { id: secondId, call, timeoutMs: patienceMs })]
}

async function count({ server, question, counter }: Plan, change: string): Promise<number> {
  const call = question(change)
  const heard = await callTool(server, await openSession(server), { id: 'count', call, timeoutMs: patienceMs })
  const result = heard.kind === 'answer' ? heard.message?.result : undefined
  if (result === undefined || result['isError'] === true)
    throw new ConfigError([
      `the effects cannot be counted: ${call.tool} answered ${JSON.stringify(heard).slice(0, 300)}`,
    ])
  return counter(result, change)
}

/** Effects may come after the answer: counts until the number has been still for a while. */
async function countEffects(plan: Plan, change: string, before: number, tookMs: number): Promise<number> {
  const quietMs = Math.max(settle.quietMs, Math.min(tookMs, 1_000))
  const end = performance.now() + settle.mostMs
  let last = await count(plan, change)
  let since = performance.now()
  while (performance.now() - since < quietMs && performance.now() < end) {
    await new Promise(resolve => setTimeout(resolve, settle.pauseMs))
    const now = await count(plan, change)
    if (now !== last) since = performance.now()
    last = now
  }
  // Sums of decimal fractions are a hair off.
  const effects = Math.round(Math.abs(last - before) * 1e6) / 1e6
  if (!Number.isInteger(effects))
    throw new ConfigError([
      `the count changed by ${effects} (give --count an expression that changes by one per effect)`,
    ])
  return effects
}
