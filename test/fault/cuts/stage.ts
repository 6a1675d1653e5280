/**
 * A cluster of one process of each kind, with a proxy in each wire between them: agent to front, front to broker, broker
 * to front (replies), broker to the server, and front's and broker's connections to PostgreSQL. One for each test process.
 */
import { join } from 'node:path'
import { after } from 'node:test'
import { startProxy, type Proxy } from '../../../services/cli/crash-test/proxy.ts'
import { type Cluster, startCluster } from '../../helpers/cluster.ts'
import { postgresStores } from '../../helpers/cluster-stores.ts'
import { eventually } from '../../helpers/node.ts'
import { temporaryFolder } from '../../helpers/postgres.ts'
import { type Lab, startLab } from '../../helpers/upstream/lab.ts'
import { type Agent, agentAt } from '../agent.ts'
import { auditSettled } from '../audit.ts'

export type Wire =
  | 'agent'
  | 'upstream'
  | 'questions'
  | 'replies'
  | 'frontDatabase'
  | 'brokerDatabase'
  | 'kafka'
  | 'database'

export type Stage = {
  readonly lab: Lab
  readonly cluster: Cluster
  readonly wires: Readonly<Partial<Record<Wire, Proxy>>>
  /** Through the agent's wire, and patient for a second only. */
  readonly cutAgent: Agent
  /** Straight to front. */
  readonly agent: Agent
  /** What `holdfast audit` finds, once nothing is under way. */
  readonly audit: () => Promise<string[]>
}

/** An upstream request that stalls is unknown after this time. */
export const timeoutMs = 1_000

let opened: Promise<Stage & { close(): Promise<void> }> | undefined

/** The stage of this process. */
export const cutStage = (): Promise<Stage> => (opened ??= open())

after(async () => {
  await (await opened?.catch(() => undefined))?.close()
})

async function open(): Promise<Stage & { close(): Promise<void> }> {
  const closers: Array<() => Promise<unknown>> = []
  const close = async () => {
    for (let closer = closers.pop(); closer !== undefined; closer = closers.pop()) await closer().catch(() => {})
  }
  const kept = async <T extends { readonly stop: () => Promise<void> }>(resource: Promise<T>): Promise<T> => {
    const { stop } = await resource
    closers.push(stop)
    return resource
  }
  try {
    const folder = await temporaryFolder()
    const ledger = join(folder, 'ledger.jsonl')
    const lab = await kept(startLab({ era: 'modern', ledger }))
    const ports = { front: 0, broker: 0, database: 0 }
    const toward = (name: keyof typeof ports) => kept(startProxy(() => ({ host: '127.0.0.1', port: ports[name] })))
    const wires = {
      upstream: await kept(startProxy(() => ({ host: '127.0.0.1', port: lab.port }))),
      agent: await toward('front'),
      replies: await toward('front'),
      questions: await toward('broker'),
      frontDatabase: await toward('database'),
      brokerDatabase: await toward('database'),
    }
    let databaseUrl = ''
    const stores = async () => {
      const found = await postgresStores()
      databaseUrl = found.env['DATABASE_URL'] as string
      return found
    }
    const yaml = configFor(wires.upstream.port)
    const cluster = await startCluster({ yaml, stores, fronts: 0, brokers: 0, audits: 1 })
    closers.push(() => cluster[Symbol.asyncDispose]())
    ports.database = Number(new URL(databaseUrl).port)
    const front = await cluster.add('front', {
      DATABASE_URL: through(databaseUrl, wires.frontDatabase),
      HOLDFAST_FRONT_URL: `http://127.0.0.1:${wires.replies.port}`,
      HOLDFAST_BROKER_URLS: `http://127.0.0.1:${wires.questions.port}`,
    })
    const broker = await cluster.add('broker', { DATABASE_URL: through(databaseUrl, wires.brokerDatabase) })
    ports.front = Number(new URL(front.url).port)
    ports.broker = Number(new URL(broker.url).port)
    for (const member of [front, broker]) member.start()
    await Promise.all([front.ready(), broker.ready()])
    const agent = agentAt({ port: ports.front, key: cluster.key })
    const cutAgent = agentAt({ port: wires.agent.port, key: cluster.key, timeoutMs: 1_000 })
    await eventually(async () => ((await agent.write('warm')).state === 'succeeded' ? true : undefined))
    return { lab, cluster, wires, agent, cutAgent, audit: auditOf(cluster, ledger, folder), close }
  } catch (error) {
    await close()
    throw error
  }
}

export const configFor = (port: number) => `
servers:
  # Requests that fall silent end soon: as many as the lane is wide stay open, and beyond them they keep their slots.
  lab: { url: "http://127.0.0.1:${port}/mcp", timeout: ${timeoutMs / 1000}s, sessions: shared, lateWindow: 2s }
roles: { all: { allow: ["*"] } }
agents: { dev: { roles: [all], readHistory: true } }
`

/** The same address, by way of a proxy. */
export function through(url: string, { port }: Proxy): string {
  const changed = new URL(url)
  changed.port = String(port)
  return changed.href
}

export function auditOf(cluster: Cluster, ledger: string, cwd: string): () => Promise<string[]> {
  const env = { ...cluster.env, HOLDFAST_URL: cluster.audits[0]?.url as string, HOLDFAST_KEY: cluster.key }
  return () => auditSettled({ ...env, DATABASE_URL: cluster.env['DATABASE_URL'] as string }, { ledger, cwd })
}
