/** An agent that runs, with a test in the place of its model. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Agent, Launch } from './agent.ts'
import { createTurns, type Shown, type ShownResult, type ShownTool, type Turn } from './model/turns.ts'

export type Session = {
  /** What the model was shown with the newest question. */
  shown(): Shown
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

export async function openSession(
  agent: Agent,
  { folder, server }: Pick<Launch, 'folder' | 'server'>,
): Promise<Session> {
  const home = mkdtempSync(join(tmpdir(), 'holdfast-agent-'))
  const turns = createTurns()
  const model = await agent.startModel(turns)
  const { program, args, env } = agent.launch({ folder, home, server, modelUrl: model.url })
  const child = spawn(program, args, {
    cwd: join(home, 'work'),
    // Nothing of the machine's own settings: no proxy, no key, no home.
    env: { PATH: process.env['PATH'], HOME: home, TMPDIR: home, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const gone = once(child, 'close')
  let printed = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', chunk => (printed += String(chunk)))

  const next = async (): Promise<Turn> => {
    const timer = new AbortController()
    const late = new Promise<never>((_, reject) => {
      const timeout = setTimeout(() => reject(new Error(`${agent.title} asked nothing\n${printed}`)), turnWithinMs)
      timer.signal.addEventListener('abort', () => clearTimeout(timeout))
    })
    const ended = gone.then(() => Promise.reject(new Error(`${agent.title} ended\n${printed}`)))
    try {
      return await Promise.race([turns.next(), ended, late])
    } finally {
      timer.abort()
      ended.catch(() => {})
    }
  }
  const close = async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM')
    await gone
    await model.stop()
    if (process.env['HOLDFAST_AGENT_LOG'] !== undefined) console.log(printed, log(home))
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
  const callAll: Session['callAll'] = async list => {
    const made = list.map(([name, input]) => {
      calls += 1
      return { id: `call_${calls}`, name: name.startsWith('!') ? name.slice(1) : agent.toolName(name), input }
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
  return {
    shown: () => turn.shown,
    tool: name => turn.shown.tools.find(tool => tool.name === agent.toolName(name)),
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

function log(home: string): string {
  try {
    return readFileSync(join(home, 'debug.log'), 'utf8')
  } catch {
    return ''
  }
}
