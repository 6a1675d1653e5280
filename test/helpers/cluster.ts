/**
 * Front, broker and audit as an operator runs them: each `main.ts` in a process of its own, any number of each, over one
 * set of stores. Every process keeps its port, so that it can be ended and started again under its address.
 */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Client as ModernClient, StreamableHTTPClientTransport as ModernTransport } from '@modelcontextprotocol/client'
import { Client as LegacyClient } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport as LegacyTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { createSigningKey } from '../../shared/proof/note.ts'
import { type OpenStores, postgresStores } from './cluster-stores.ts'
import { eventually } from './node.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))

export type Service = 'front' | 'broker' | 'audit'

export type Readyz = {
  readonly ready: boolean
  readonly missing: Record<string, string>
  readonly degraded: Record<string, string>
}

/** One process, across its restarts. */
export type Member = {
  readonly service: Service
  readonly url: string
  /** Starts it; does not wait until it is ready. */
  /** With this in its environment besides. */
  start(env?: Record<string, string>): void
  /** Resolves when `/readyz` is 200. */
  ready(): Promise<void>
  readyz(): Promise<Readyz>
  /** What it logged since its last start. */
  log(): string
  /** Its process id. */
  pid(): number
  /** Ends it without asking; resolves when it is gone. */
  kill(): Promise<void>
  /** Asks it to end. Resolves with the exit code. */
  terminate(): Promise<number>
  /** Does not wait for anything. */
  signal(signal: NodeJS.Signals): void
  /** It does not run now. */
  isStopped(): boolean
}

/** Where a client's requests go: to fronts in turn, as behind a load balancer that knows nothing of sessions, or by their body. */
export type Way = readonly Member[] | ((body: string) => Member)

export type Cluster = {
  readonly key: string
  readonly fronts: readonly Member[]
  readonly brokers: readonly Member[]
  readonly audits: readonly Member[]
  readonly members: readonly Member[]
  /** Where the stores are, as the processes are told. */
  readonly env: Readonly<Record<string, string>>
  /** One more process, not started. */
  add(service: Service, env?: Record<string, string>): Promise<Member>
  modern(at: Way, options?: { path?: string; key?: string }): Promise<ModernClient>
  legacy(at: Way, options?: { path?: string }): Promise<LegacyClient>
  outcome(at: Member, server: string, key: string): Promise<{ status: number; body: Record<string, unknown> }>
  sql<Row = Record<string, unknown>>(query: string): Promise<Row[]>
  [Symbol.asyncDispose](): Promise<void>
}

export type ClusterInput = {
  readonly yaml: string
  /** Default: PostgreSQL, with the journal in it. */
  readonly stores?: OpenStores
  readonly fronts?: number
  readonly brokers?: number
  readonly audits?: number
  readonly env?: Record<string, string>
  /** False: nothing is started. */
  readonly start?: boolean
  /** What Node runs for a service, its own options first. Default: the sources. */
  readonly program?: (service: Service) => readonly string[]
}

const sources = (service: Service) => ['--import', 'tsx', join(root, `services/${service}/main.ts`)]

const readyWithinMs = 180_000

export async function startCluster(input: ClusterInput): Promise<Cluster> {
  const { yaml, fronts = 2, brokers = 2, audits = 1, env = {}, start = true, program = sources } = input
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-cluster-'))
  chmodSync(folder, 0o755)
  const config = join(folder, 'holdfast.yaml')
  const checkpoints = join(folder, 'checkpoints')
  mkdirSync(checkpoints)
  writeFileSync(config, yaml)
  const closers: Array<() => Promise<unknown>> = []
  const members: Member[] = []
  const key = 'the-key-of-the-cluster-tests'

  try {
    const stores = await (input.stores ?? postgresStores)()
    closers.push(() => stores.close())
    const brokerPorts = await freePorts(brokers)
    const shared = {
      ...stores.env,
      HOLDFAST_CONFIG: config,
      HOLDFAST_DEV_KEY: key,
      HOLDFAST_SECRET: 'a-secret-that-every-process-of-the-cluster-has',
      HOLDFAST_SIGNING_KEYS: createSigningKey('test.example/cluster').text,
      HOLDFAST_CHECKPOINTS: checkpoints,
      HOLDFAST_INTERNAL_TOKEN: 'a-token-that-every-process-has',
      HOLDFAST_BROKER_URLS: brokerPorts.map(port => `http://127.0.0.1:${port}`).join(','),
      ...env,
    }
    const addAt = (service: Service, port: number, more: Record<string, string> = {}): Member => {
      const dataDir = join(folder, `${service}-${port}`)
      mkdirSync(dataDir)
      const ports = { [`HOLDFAST_${service.toUpperCase()}_PORT`]: String(port), HOLDFAST_DATA: dataDir }
      const member = createMember(service, port, { program: program(service), env: { ...shared, ...ports, ...more } })
      closers.push(() => member.kill())
      members.push(member)
      return member
    }
    const add = async (service: Service, more?: Record<string, string>) => addAt(service, await freePort(), more)
    for (const port of brokerPorts) addAt('broker', port)
    for (let n = 0; n < fronts; n += 1) await add('front')
    for (let n = 0; n < audits; n += 1) await add('audit')
    const of = (service: Service) => members.filter(member => member.service === service)
    if (start) {
      for (const member of members) member.start()
      await Promise.all(members.map(member => member.ready()))
    }
    return {
      key,
      fronts: of('front'),
      brokers: of('broker'),
      audits: of('audit'),
      members,
      env: shared,
      add,
      async modern(at, { path = '', key: own = key } = {}) {
        const client = new ModernClient({ name: 'modern-test', version: '2' }, { versionNegotiation: { mode: 'auto' } })
        await client.connect(new ModernTransport(new URL(`http://127.0.0.1/mcp${path}`), optionsFor(at, own)))
        closers.push(() => client.close())
        return client
      },
      async legacy(at, { path = '' } = {}) {
        const client = new LegacyClient({ name: 'legacy-test', version: '1' })
        const transport = new LegacyTransport(new URL(`http://127.0.0.1/mcp${path}`), optionsFor(at, key))
        await client.connect(transport as Parameters<typeof client.connect>[0])
        closers.push(() => client.close())
        return client
      },
      async outcome(at, server, name) {
        const response = await fetch(`${at.url}/v1/outcomes/${server}/${encodeURIComponent(name)}`, {
          headers: { authorization: `Bearer ${key}` },
        })
        return { status: response.status, body: (await response.json()) as Record<string, unknown> }
      },
      async sql<Row>(query: string) {
        const response = await fetch(`${of('audit').find(audit => !audit.isStopped())?.url}/?default_format=JSON`, {
          method: 'POST',
          headers: { authorization: `Bearer ${key}` },
          body: query,
        })
        const text = await response.text()
        if (!response.ok) throw new Error(text)
        return (JSON.parse(text) as { data: Row[] }).data
      },
      [Symbol.asyncDispose]: close,
    }
  } catch (error) {
    await close()
    throw error
  }

  async function close() {
    for (let closer = closers.pop(); closer !== undefined; closer = closers.pop()) await closer().catch(() => {})
    rmSync(folder, { recursive: true, force: true })
  }
}

type Run = { readonly program: readonly string[]; readonly env: Record<string, string> }

function createMember(service: Service, port: number, { program, env }: Run): Member {
  const url = `http://127.0.0.1:${port}`
  let child: ChildProcess | undefined
  let printed = ''
  const running = () =>
    child !== undefined && child.exitCode === null && child.signalCode === null ? child : undefined
  const end = async (signal: NodeJS.Signals): Promise<number> => {
    const ending = running()
    if (ending === undefined) return child?.exitCode ?? -1
    const exit = once(ending, 'exit')
    ending.kill(signal)
    const [code] = (await exit) as [number | null]
    return code ?? -1
  }
  return {
    service,
    url,
    start(more = {}) {
      assert.equal(running(), undefined, 'it runs already')
      printed = ''
      const started = spawn(process.execPath, program, {
        cwd: root,
        env: { ...process.env, ...env, ...more },
        stdio: ['ignore', 'pipe', 'pipe'],
      })
      for (const stream of [started.stdout, started.stderr]) stream.on('data', chunk => (printed += String(chunk)))
      child = started
    },
    async ready() {
      await eventually(
        async () => {
          if (running() === undefined) throw new Error(`${service} ended before it was ready:\n${printed}`)
          const response = await fetch(`${url}/readyz`).catch(() => undefined)
          await response?.body?.cancel()
          return response?.status === 200 ? true : undefined
        },
        { withinMs: readyWithinMs, what: `${service} at ${url}` },
      ).catch(error => {
        throw new Error(`${String(error)}\n${printed}`, { cause: error })
      })
    },
    readyz: async () => (await (await fetch(`${url}/readyz`)).json()) as Readyz,
    log: () => printed,
    pid: () => running()?.pid ?? assert.fail(`${service} at ${url} does not run`),
    kill: async () => void (await end('SIGKILL')),
    signal: signal => void running()?.kill(signal),
    terminate: () => end('SIGTERM'),
    isStopped: () => running() === undefined,
  }
}

function optionsFor(at: Way, key: string) {
  let turn = 0
  const choose = typeof at === 'function' ? at : () => at[turn++ % at.length] as Member
  return {
    requestInit: { headers: { authorization: `Bearer ${key}` } },
    fetch: (url: string | URL, init?: RequestInit) => {
      const { pathname, search } = new URL(url)
      const front = choose(typeof init?.body === 'string' ? init.body : '')
      return fetch(new URL(pathname + search, front.url), init)
    },
  }
}

async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer().listen(0, '127.0.0.1')
      await once(server, 'listening')
      return server
    }),
  )
  const ports = servers.map(server => (server.address() as AddressInfo).port)
  await Promise.all(servers.map(server => new Promise(resolve => server.close(resolve))))
  return ports
}

export const freePort = async (): Promise<number> => (await freePorts(1))[0] as number
