/** An agent that runs, with a test in the place of its model. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Agent, Launch } from './agent.ts'
import { createTurns, type Shown, type ShownResult, type ShownTool, type Turn } from './model/turns.ts'

export type Session = {
  /** What the model was shown with the newest question. */
  shown(): Shown
  /** Sees to it that the model is shown these tools whole, by our names for them. */
  load(names: readonly string[]): Promise<void>
  /** The tool as the model is shown it, by our name for it. */
  tool(name: string): ShownTool | undefined
  /** The model calls one tool. Resolves with what it is shown of the result. */
  call(name: string, input: object): Promise<ShownResult>
  /** The model calls several tools at once. */
  callAll(calls: ReadonlyArray<readonly [name: string, input: object]>): Promise<ShownResult[]>
  /** The model ends its turn; resolves with what the agent printed when it is gone. */
  say(text: string): Promise<string>
  [Symbol.asyncDispose](): Promise<void>
}

/** The agent's next question comes within this, whatever its tools take. */
const turnWithinMs = 180_000
/** A client may begin its conversation before it has heard from the server. */
const loadingTurns = 20

export async function openSession(
  agent: Agent,
  options: Pick<Launch, 'server' | 'asking'> & { readonly program: string },
): Promise<Session> {
  const home = mkdtempSync(join(tmpdir(), 'holdfast-agent-'))
  mkdirSync(join(home, 'work'))
  const turns = createTurns()
  const model = await agent.startModel(turns)
  const { args, env } = agent.launch({ ...options, home, modelUrl: model.url })
  const child = spawn(options.program, args, {
    cwd: join(home, 'work'),
    // Nothing of the machine's own settings: no proxy, no key, no home.
    env: { PATH: process.env['PATH'], HOME: home, TMPDIR: home, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const gone = once(child, 'close')
  let printed = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', chunk => (printed += String(chunk)))

  const next = async (): Promise<Turn> => {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`${agent.title} asked nothing\n${printed}`)), turnWithinMs)
    })
    const ended = gone.then(() => Promise.reject(new Error(`${agent.title} ended\n${printed}`)))
    ended.catch(() => {})
    try {
      return await Promise.race([turns.next(), ended, late])
    } finally {
      clearTimeout(timer)
    }
  }
  const close = async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM')
    await gone
    await model.stop()
    if (process.env['HOLDFAST_AGENT_LOG'] !== undefined) console.log(printed, logOf(home))
    rmSync(home, { recursive: true, force: true })
  }

  let turn: Turn
  try {
    turn = await next()
  } catch (error) {
    await close()
    throw error
  }
  let calls = 0
  const make = async (list: ReadonlyArray<{ readonly name: string; readonly input: unknown }>) => {
    const made = list.map(call => {
      calls += 1
      return { id: `call_${calls}`, ...call }
    })
    turn.move({ calls: made })
    turn = await next()
    const { results } = turn.shown
    return made.map(({ id }) => {
      const found = results.find(({ callId }) => callId === id)
      if (found === undefined) throw new Error(`${agent.title} showed no result of ${id}`)
      return found
    })
  }
  const callAll: Session['callAll'] = list => make(list.map(([name, input]) => ({ name: agent.toolName(name), input })))
  const tool = (name: string) => turn.shown.tools.find(each => each.name === agent.toolName(name))
  return {
    shown: () => turn.shown,
    load: async names => {
      const missing = () => names.filter(name => tool(name) === undefined)
      for (let tries = 0; missing().length > 0 && tries < loadingTurns; tries += 1) await make([agent.load(missing())])
      if (missing().length > 0) throw new Error(`${agent.title} does not show ${missing().join(', ')}\n${printed}`)
    },
    tool,
    callAll,
    call: async (name, input) => (await callAll([[name, input]]))[0] as ShownResult,
    say: async text => {
      turn.move({ say: text })
      await gone
      return printed
    },
    [Symbol.asyncDispose]: close,
  }
}

const logOf = (home: string): string => {
  const path = join(home, 'debug.log')
  return existsSync(path) ? readFileSync(path, 'utf8') : ''
}
