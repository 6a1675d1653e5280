/**
 * Recovery that meets a server which refuses: while the first request is still on its way, after it has landed, and when
 * it never arrived. A refused attempt proves nothing of the first one (design section 3).
 */
import { join } from 'node:path'
import { temporaryFolder } from '../../helpers/postgres.ts'
import { startLab } from '../../helpers/upstream/lab.ts'
import { startNode } from '../../helpers/node.ts'
import { agentAt, type Agent } from '../agent.ts'
import { auditSettled } from '../audit.ts'
import type { Fault, Faulted } from '../fault.ts'
import { startStory, type Story, told, violations } from '../ledger.ts'
import { missingEvents } from '../cuts/history.ts'
import { pause, storesOf } from '../stages.ts'

/** What a second request with the same key may be refused with. */
const refusals = [
  ...[400, 401, 403, 404, 405, 408, 409, 413, 415, 422, 425, 429, 499, 500, 503].map(code => `http_${code}`),
  'rpc_error',
  'header_mismatch',
  'reset_before',
] as const

type Case = {
  readonly server: 'keys' | 'looks' | 'both'
  /** What is told at last. */
  readonly ends: 'succeeded' | 'unknown' | 'not_executed'
  readonly effects: number
  readonly args: (refusal: string) => { readonly behave: readonly string[]; readonly delayMs?: readonly number[] }
}

const cases: Readonly<Record<string, Case>> = {
  /** The answer comes late, past the time-out and past the refusal. */
  'landing and answered late': {
    server: 'keys',
    ends: 'succeeded',
    effects: 1,
    args: refusal => ({ behave: ['answer', refusal, refusal], delayMs: [3_000, 0, 0] }),
  },
  /** The server says so itself: 409 until the first request is through, then what came of it. */
  'landing and its answer lost': {
    server: 'keys',
    ends: 'succeeded',
    effects: 1,
    args: refusal => ({ behave: ['reset_after', refusal, 'answer'], delayMs: [3_000, 0, 0] }),
  },
  'landed and its answer lost': {
    server: 'keys',
    ends: 'succeeded',
    effects: 1,
    args: refusal => ({ behave: ['reset_after', refusal] }),
  },
  'landed, and never told': {
    server: 'keys',
    ends: 'unknown',
    effects: 1,
    args: refusal => ({ behave: ['reset_after', refusal, refusal, refusal, refusal] }),
  },
  'never arrived': {
    server: 'keys',
    ends: 'succeeded',
    effects: 1,
    args: refusal => ({ behave: ['reset_before', refusal] }),
  },
  'never arrived, and always refused': {
    server: 'keys',
    ends: 'unknown',
    effects: 0,
    args: refusal => ({ behave: ['reset_before', refusal, refusal, refusal, refusal] }),
  },
  'landed, always refused, and found': {
    server: 'both',
    ends: 'succeeded',
    effects: 1,
    args: refusal => ({ behave: ['reset_after', refusal, refusal, refusal, refusal] }),
  },
  'landing while it is looked for': {
    server: 'looks',
    ends: 'succeeded',
    effects: 1,
    args: () => ({ behave: ['reset_after'], delayMs: [3_000] }),
  },
}

export const recoveryFaults: readonly Fault[] = [
  {
    name: 'recovery refused',
    how: 'the second request with a key, sent by recovery, is refused in every way while the first one lands, has landed, or never came',
    run: refuseAll,
  },
]

const withinMs = 60_000
const atOnce = 24

async function refuseAll(): Promise<Faulted> {
  const folder = await temporaryFolder()
  const ledger = join(folder, 'ledger.jsonl')
  const lab = await startLab({ era: 'modern', ledger })
  const node = await startNode({ yaml: configFor(lab.url) })
  try {
    const at = { port: () => Number(new URL(node.ready().mcp).port), key: node.ready().key, timeoutMs: 50_000 }
    const agents = {
      keys: agentAt({ ...at, server: 'keys' }),
      looks: agentAt({ ...at, server: 'looks' }),
      both: agentAt({ ...at, server: 'both' }),
    }
    const planned = Object.entries(cases).flatMap(([name, each]) =>
      (each.server === 'looks' ? ['nothing'] : refusals).map(refusal => ({ name, refusal, each })),
    )
    const stories: Story[] = []
    const broken: string[] = []
    const waiting = [...planned]
    const lane = async () => {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
        const { name, refusal, each } = next
        const story = startStory(lab, `${name.replaceAll(/\W+/g, '-')}/${refusal}`, each.args(refusal))
        stories.push(story)
        broken.push(...(await live(story, agents[each.server], each)))
      }
    }
    await Promise.all(Array.from({ length: atOnce }, lane))
    const missing = await missingEvents(
      { cluster: node },
      stories.map(({ key }) => key),
    )
    const audited = await auditSettled(storesOf(node), { ledger, cwd: folder })
    return {
      runs: stories.length,
      lost: missing.length,
      violations: [...broken, ...stories.flatMap(violations), ...missing, ...audited],
    }
  } finally {
    await node[Symbol.asyncDispose]()
    await lab.stop()
  }
}

/** Asks until recovery is through with it. */
async function live(story: Story, agent: Agent, { ends, effects }: Case): Promise<string[]> {
  const { key, args } = story
  await told(story, 'write', agent.write(key, args))
  const until = performance.now() + withinMs
  let isOver = false
  while (!isOver && performance.now() < until) {
    const { state, text } = await told(story, 'ask', agent.ask(key))
    isOver = state === 'unknown' ? text.includes('tries no further') : state !== 'pending'
    if (!isOver) await pause(200)
  }
  const { state } = await told(story, 'outcome', agent.outcome(key))
  await told(story, 'again', agent.write(key, args))
  const problems = state === ends ? [] : [`${key} ended as ${state} and not as ${ends}`]
  if (story.effects() !== effects) problems.push(`${key} was done ${story.effects()} times and not ${effects}`)
  return problems
}

const configFor = (url: string) => {
  const replay = 'replay: { header: Idempotency-Key }'
  const probe = `probe: { tool: find, arguments: '{"what": arguments.what}', landed: 'result.structuredContent.found > 0', consistent: true, every: 500ms }`
  const budget = 'budget: { attempts: 3 }'
  const server = (steps: string) =>
    `{ url: "${url}", timeout: 1s, lateWindow: 5s, sessions: shared, concurrency: 64, tools: { write: { recover: { ${steps}, ${budget} } } } }`
  return `
servers:
  keys: ${server(replay)}
  looks: ${server(probe)}
  both: ${server(`${replay}, ${probe}`)}
roles: { all: { allow: ["*"] } }
agents: { dev: { roles: [all], readHistory: true } }
`
}
