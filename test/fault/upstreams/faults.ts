/**
 * What a server does, and what that means for the write (design section 3): its outcome, the same outcome to every later
 * question, no second dispatch, a next call that works, and a process that lives.
 */
import { type Fault, type Faulted, isLong } from '../fault.ts'
import { missingEvents } from '../cuts/history.ts'
import type { Told } from '../agent.ts'
import { type ServerName, type Stage, upstreamStage } from './stage.ts'

type Meaning = { readonly state: 'succeeded' | 'unknown' | 'not_executed' | 'failed'; readonly quick?: boolean }

const succeeded = { state: 'succeeded' } as const
const unknown = { state: 'unknown' } as const
const notExecuted = { state: 'not_executed' } as const
/** Nothing ends it but the time-out. */
const timesOut = { state: 'unknown', quick: true } as const

const overHttp: Readonly<Record<string, Meaning>> = {
  // An answer, however odd the way it came.
  twice: succeeded,
  huge: succeeded,
  nul_escape: succeeded,
  lone_surrogate: succeeded,
  deep: succeeded,
  http_1_0: succeeded,
  informational: succeeded,
  pipelined: succeeded,
  pipelined_later: succeeded,
  more_than_announced: succeeded,
  result_twice: succeeded,
  batch: succeeded,
  sse_left_open: succeeded,
  // No answer that anybody may rely on.
  truncate: unknown,
  sse_cut: unknown,
  invalid_json: unknown,
  invalid_utf8: unknown,
  nul_byte: unknown,
  too_large: unknown,
  gzip: unknown,
  gzip_bomb: unknown,
  huge_headers: unknown,
  switching_protocols: unknown,
  less_than_announced: unknown,
  bad_chunk: unknown,
  two_lengths: unknown,
  wrong_protocol: unknown,
  wrong_id: unknown,
  id_of_other_type: unknown,
  no_id: unknown,
  result_and_error: unknown,
  result_is_text: unknown,
  empty_200: unknown,
  html_200: unknown,
  empty_202: unknown,
  reset_after: unknown,
  http_500_after: unknown,
  http_408_after: unknown,
  sse_long_line: unknown,
  sse_flood: unknown,
  sse_endless: timesOut,
  sse_of_others: timesOut,
  hang: timesOut,
  // Turned away before it was looked at: by the table, whatever a lying server did.
  redirect_nowhere: notExecuted,
  redirect_308: notExecuted,
  http_307: notExecuted,
  http_429: notExecuted,
  http_409: { state: 'failed' },
}

const overStdio: Readonly<Record<string, Meaning>> = {
  garbage: succeeded,
  twice: succeeded,
  answer_and_exit: succeeded,
  nul_escape: succeeded,
  half_a_line: unknown,
  exit_after: unknown,
  wrong_id: unknown,
  invalid_utf8: unknown,
  long_line: unknown,
  hang: unknown,
}

export const upstreamFaults: readonly Fault[] = [
  ...Object.keys(overHttp).map(behave => ({
    name: `server: ${behave}`,
    how: `a server over HTTP does ${behave} with a write${isLong ? ', in both eras' : ''}`,
    run: async () => {
      const meaning = overHttp[behave] as Meaning
      const servers: ServerName[] = meaning.quick === true ? ['quick'] : isLong ? ['modern', 'legacy'] : ['modern']
      return runAll(behave, servers, meaning)
    },
  })),
  ...Object.keys(overStdio).map(behave => ({
    name: `stdio server: ${behave}`,
    how: `a server over stdio does ${behave} with a write`,
    run: () => runAll(behave, ['child'], overStdio[behave] as Meaning),
  })),
  {
    name: 'server: late answers',
    how: 'answers after the time-out, and after the agent left',
    run: runLate,
  },
  {
    name: 'server: turned away, then 409',
    how: 'answers 429, and 409 to the next try with the same key',
    run: runTurnedAway,
  },
  {
    name: 'server: streams left open',
    how: 'more answers on streams that do not end than there are sockets to a server',
    run: runLeftOpen,
  },
]

let keys = 0

async function runAll(behave: string, servers: readonly ServerName[], meaning: Meaning): Promise<Faulted> {
  const stage = await upstreamStage()
  const names: string[] = []
  const broken: string[] = []
  for (const server of servers) {
    const key = `${behave}-${server}-${(keys += 1)}`
    names.push(key)
    broken.push(...(await runOne(stage, { server, key, behave, meaning })))
  }
  const missing = await missingEvents({ cluster: stage.node }, names)
  return { runs: servers.length, lost: missing.length, violations: [...broken, ...missing] }
}

type One = { readonly server: ServerName; readonly key: string; readonly behave: string; readonly meaning: Meaning }

async function runOne(stage: Stage, { server, key, behave, meaning }: One): Promise<string[]> {
  const agent = stage.agent(server)
  const { pid } = stage.node
  const first = await agent.write(key, { behave })
  const effects = stage.effects(server, key)
  const asked = await agent.outcome(key)
  const calls = stage.calls(server, key)
  const again = meaning.state === 'not_executed' ? undefined : await agent.write(key, { behave })
  const next = await nextWrite(agent, `${key}-next`)
  const story = JSON.stringify({
    effects,
    calls,
    first: short(first),
    asked: short(asked),
    again: short(again),
    next: short(next),
  })
  const broken: string[] = []
  const breaks = (promise: string) => broken.push(`${key}: ${promise}: ${story}`)
  if (first.state !== meaning.state) breaks(`told ${first.state}, not ${meaning.state}`)
  if (first.state === 'succeeded' && effects !== 1) breaks('I3, told succeeded and it was not done once')
  if (asked.state !== first.state) breaks('another session is told something else')
  if (again !== undefined && again.state !== first.state) breaks('the same key is told something else')
  if (again?.state === 'succeeded' && again.text !== first.text) breaks('I10, the replay is not what was recorded')
  if (stage.calls(server, key) > 1) breaks('I1, sent more than once')
  if (next.state !== 'succeeded') breaks('the next call does not work')
  if (stage.node.pid !== pid || !isAlive(pid)) breaks('the process died')
  return broken
}

/** A child that died needs its pause before it is started again. */
async function nextWrite(agent: ReturnType<Stage['agent']>, key: string): Promise<Told> {
  for (let tries = 0; ; tries += 1) {
    const told = await agent.write(key)
    if (told.state !== 'not_executed' || tries === 60) return told
    await new Promise(resolve => setTimeout(resolve, 500))
  }
}

const short = (told: Told | undefined) => told && { ...told, text: told.text.slice(0, 120) }

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

async function runLate(): Promise<Faulted> {
  const stage = await upstreamStage()
  const broken: string[] = []
  const names: string[] = []
  for (const [server, patienceMs] of [
    ['quick', undefined],
    ['modern', 300],
  ] as const) {
    const key = `late-${server}-${(keys += 1)}`
    names.push(key)
    const calls = stage.labs.modern.calls().length
    const first = stage.agent(server, patienceMs).write(key, { behave: 'late' })
    await stage.labs.modern.waitForCall(calls + 1)
    const told = await first
    if (!['unknown', 'no_answer'].includes(told.state)) broken.push(`${key}: told ${told.state} before the answer`)
    // A second try would be answered 409 by a server that still works on the first: there is none.
    const again = await stage.agent(server, 1_000).write(key, { behave: 'late' })
    if (!['unknown', 'no_answer'].includes(again.state)) broken.push(`${key}: told ${again.state} at the second try`)
    stage.labs.modern.release()
    let asked = await stage.agent(server).ask(key, 10_000)
    for (let tries = 0; tries < 40 && asked.state !== 'succeeded'; tries += 1)
      asked = await stage.agent(server).ask(key, 500)
    if (asked.state !== 'succeeded') broken.push(`${key}: the late answer is not on record: ${JSON.stringify(asked)}`)
    if (stage.calls(server, key) !== 1) broken.push(`${key}: I1, sent more than once`)
  }
  const missing = await missingEvents({ cluster: stage.node }, names)
  return { runs: names.length, lost: missing.length, violations: [...broken, ...missing] }
}

/** The first is no attempt that counts: the same key may try again, and what it hears then is the outcome. */
async function runTurnedAway(): Promise<Faulted> {
  const stage = await upstreamStage()
  const agent = stage.agent('modern')
  const key = `turned-away-${(keys += 1)}`
  stage.labs.modern.behave('http_429', 'http_409')
  const states = [await agent.write(key), await agent.write(key), await agent.write(key)].map(({ state }) => state)
  const broken: string[] = []
  if (states.join() !== 'not_executed,failed,failed') broken.push(`${key}: told ${states.join()}`)
  if (stage.calls('modern', key) !== 2) broken.push(`${key}: sent ${stage.calls('modern', key)} times`)
  const missing = await missingEvents({ cluster: stage.node }, [key])
  return { runs: 1, lost: missing.length, violations: [...broken, ...missing] }
}

/** More than `maxConnections` of shared/upstream. */
const manyStreams = 130

async function runLeftOpen(): Promise<Faulted> {
  const stage = await upstreamStage()
  const agent = stage.agent('modern')
  const broken: string[] = []
  const names: string[] = []
  for (let n = 0; n < manyStreams; n += 1) {
    const key = `left-open-${(keys += 1)}`
    names.push(key)
    const told = await agent.write(key, { behave: 'sse_left_open' })
    if (told.state !== 'succeeded') broken.push(`${key}, the ${n + 1}th stream: ${JSON.stringify(told)}`)
    if (broken.length > 2) break
  }
  const missing = await missingEvents({ cluster: stage.node }, names)
  return { runs: names.length, lost: missing.length, violations: [...broken, ...missing] }
}
