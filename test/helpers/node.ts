/** The program as a person starts it: `services/single/main.ts` in a process of its own, over a folder of its own. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Client as ModernClient, StreamableHTTPClientTransport as ModernTransport } from '@modelcontextprotocol/client'
import { Client as LegacyClient } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport as LegacyTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'

const root = fileURLToPath(new URL('../../', import.meta.url))

export type Ready = { readonly mcp: string; readonly outcomes: string; readonly sql: string; readonly key: string }

export type Node = {
  readonly folder: string
  ready(): Ready
  /** The process that runs now. */
  readonly pid: number
  /** Everything it printed. */
  output(): string
  /** Ends the process without asking it; resolves when it is gone. */
  kill(): Promise<void>
  /** Starts it again over the same folder, with this in its environment besides. */
  start(env?: Record<string, string>): Promise<void>
  /** Resolves when the process that runs now is gone: the signal that ended it, or its exit code. */
  ended(): Promise<NodeJS.Signals | number>
  /** Ctrl-C. Resolves with the exit code. */
  interrupt(): Promise<number>
  signal(signal: NodeJS.Signals): void
  sql<Row = Record<string, unknown>>(query: string): Promise<Row[]>
  modern(options?: ConnectOptions): Promise<ModernClient>
  legacy(options?: ConnectOptions): Promise<LegacyClient>
  [Symbol.asyncDispose](): Promise<void>
}

export type ConnectOptions = { readonly path?: string; readonly key?: string; readonly fetch?: typeof fetch }

const startLimitMs = 180_000

export type NodeOptions = {
  /** The configuration; `${FOLDER}` in it stands for the node's own folder. */
  readonly yaml: string
  readonly env?: Record<string, string>
  /** What Node runs, its own options first. Default: the sources. */
  readonly program?: readonly string[]
}

/** Starts what a suite is about: the single node, or the same in processes over Kafka (kafka-node.ts). */
export type StartNode = (options: NodeOptions) => Promise<Node>

const sources = ['--import', 'tsx', join(root, 'services/single/main.ts')]

export async function startNode({ yaml, env = {}, program = sources }: NodeOptions): Promise<Node> {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-node-'))
  chmodSync(folder, 0o755)
  const config = join(folder, 'holdfast.yaml')
  writeFileSync(config, yaml.replaceAll('${FOLDER}', folder))
  const closers: Array<() => Promise<unknown>> = []
  let child: ChildProcess | undefined
  let printed = ''

  const readyFile = () => JSON.parse(readFileSync(join(folder, 'data', 'ready.json'), 'utf8')) as Ready
  const spawnNode = (more: Record<string, string>) => {
    const spawned = spawn(process.execPath, program, {
      cwd: root,
      env: {
        ...process.env,
        HOLDFAST_CONFIG: config,
        HOLDFAST_DATA: join(folder, 'data'),
        HOLDFAST_FRONT_PORT: '0',
        HOLDFAST_AUDIT_PORT: '0',
        ...env,
        ...more,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    for (const stream of [spawned.stdout, spawned.stderr]) stream?.on('data', chunk => (printed += String(chunk)))
    return spawned
  }
  const start = async (more: Record<string, string> = {}) => {
    printed = ''
    const spawned = spawnNode(more)
    child = spawned
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`not ready within ${startLimitMs} ms:\n${printed}`)),
        startLimitMs,
      )
      spawned.stdout?.on('data', () => {
        if (!printed.includes('Holdfast is ready')) return
        clearTimeout(timer)
        resolve()
      })
      spawned.once('exit', code => {
        clearTimeout(timer)
        reject(new Error(`ended with ${code} before it was ready:\n${printed}`))
      })
    })
  }
  const end = async (signal: NodeJS.Signals): Promise<number> => {
    const running = child
    if (running === undefined || running.exitCode !== null || running.signalCode !== null) return 0
    const exit = once(running, 'exit')
    running.kill(signal)
    const [code] = (await exit) as [number | null]
    return code ?? -1
  }

  try {
    await start()
  } catch (error) {
    await end('SIGTERM')
    rmSync(folder, { recursive: true, force: true })
    throw error
  }
  return {
    folder,
    ready: readyFile,
    get pid() {
      return child?.pid as number
    },
    output: () => printed,
    kill: async () => void (await end('SIGKILL')),
    start,
    ended: async () => {
      const running = child as ChildProcess
      if (running.exitCode === null && running.signalCode === null) await once(running, 'exit')
      return running.signalCode ?? (running.exitCode as number)
    },
    interrupt: () => end('SIGINT'),
    signal: signal => void child?.kill(signal),
    async sql<Row>(query: string) {
      const { sql, key } = readyFile()
      const response = await fetch(`${sql}/?default_format=JSON`, {
        method: 'POST',
        headers: { authorization: `Bearer ${key}` },
        body: query,
      })
      const text = await response.text()
      if (!response.ok) throw new Error(text)
      return (JSON.parse(text) as { data: Row[] }).data
    },
    async modern({ path = '', key = readyFile().key, fetch } = {}) {
      const client = new ModernClient({ name: 'modern-test', version: '2' }, { versionNegotiation: { mode: 'auto' } })
      const options = { requestInit: { headers: { authorization: `Bearer ${key}` } }, ...(fetch && { fetch }) }
      await client.connect(new ModernTransport(new URL(`${readyFile().mcp}${path}`), options))
      closers.push(() => client.close())
      return client
    },
    async legacy({ path = '', key = readyFile().key, fetch } = {}) {
      const client = new LegacyClient({ name: 'legacy-test', version: '1' })
      const options = { requestInit: { headers: { authorization: `Bearer ${key}` } }, ...(fetch && { fetch }) }
      const transport = new LegacyTransport(new URL(`${readyFile().mcp}${path}`), options)
      await client.connect(transport as Parameters<typeof client.connect>[0])
      closers.push(() => client.close())
      return client
    },
    async [Symbol.asyncDispose]() {
      await Promise.allSettled(closers.map(close => close()))
      await end('SIGTERM')
      await gone(join(folder, 'data', 'postgres', 'pgdata', 'postmaster.pid'))
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** Waits until a file is gone: PostgreSQL removes its own when it has stopped. */
async function gone(path: string): Promise<void> {
  for (let tries = 0; tries < 500; tries += 1) {
    try {
      readFileSync(path)
    } catch {
      return
    }
    await new Promise(resolve => setTimeout(resolve, 10))
  }
}

/** Repeats `look` until it returns something, for at most `withinMs`. */
export async function eventually<T>(
  look: () => Promise<T | undefined>,
  { withinMs = 30_000, what = 'it' } = {},
): Promise<T> {
  const until = performance.now() + withinMs
  for (;;) {
    const found = await look()
    if (found !== undefined) return found
    if (performance.now() > until) throw new Error(`${what} did not come within ${withinMs} ms`)
    await new Promise(resolve => setTimeout(resolve, 25))
  }
}

export type Outcome = {
  readonly state: string
  readonly code?: string
  readonly callId: string
  readonly receipt?: { readonly event: string; readonly leaf: string }
  readonly of?: string
  readonly key?: string
  readonly epoch?: number
  readonly replayed: boolean
  readonly attempts?: number
}

export type Answer = {
  readonly content: ReadonlyArray<{ readonly type: string; readonly text: string }>
  readonly isError?: boolean
  readonly structuredContent?: Record<string, unknown>
  readonly _meta: { readonly 'dev.holdfast/outcome': Outcome }
}

export const outcomeOf = (answer: unknown): Outcome => (answer as Answer)._meta['dev.holdfast/outcome']
export const textOf = (answer: unknown): string => (answer as Answer).content.map(block => block.text).join('\n')
