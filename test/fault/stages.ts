/** A node, or a cluster, with agents that work, for a fault to happen to; and what must hold when it is over. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Node, type NodeOptions, startNode } from '../helpers/node.ts'
import { temporaryFolder } from '../helpers/postgres.ts'
import type { Client as LegacyClient } from '@modelcontextprotocol/sdk/client/index.js'
import { type LabChild, startLabChild } from '../helpers/upstream/lab-child.ts'
import { agentAt } from './agent.ts'
import { type Cluster, type ClusterInput, startCluster } from '../helpers/cluster.ts'
import { auditStores, settled, type StoresEnv } from './audit.ts'
import { violations } from './ledger.ts'
import { type Cast, startWorkload, type Workload } from './workload.ts'

export type Stage = {
  readonly workload: Workload
  readonly env: () => StoresEnv
  /** What the server did. */
  readonly lab: Pick<LabChild, 'effects'>
}
export type NodeStage = Stage & { readonly node: Node }
export type ClusterStage = Stage & { readonly cluster: Cluster }

type Playing = {
  readonly prefix: string
  readonly lanes?: number
  /** How long an agent waits before it drops its connection. */
  readonly patienceMs?: number
}

/**
 * @param disturb the fault; the node runs before it and after it
 * @returns violations of any promise, by what agents were told and by what the stores say
 */
export async function onNode(
  options: Playing & { readonly node?: Pick<NodeOptions, 'program' | 'env'> },
  disturb: (stage: NodeStage) => Promise<readonly string[]>,
): Promise<string[]> {
  const folder = await temporaryFolder()
  const lab = await startLabChild(join(folder, 'ledger.jsonl'))
  const node = await startNode({ yaml: configFor(lab.url), ...options.node })
  try {
    const client = {
      key: node.ready().key,
      port: () => Number(new URL(node.ready().mcp).port),
      legacy: () => node.legacy({ path: '/narrow' }),
    }
    return await play({ ...options, lab, client, env: () => storesOf(node), cwd: folder }, stage =>
      disturb({ ...stage, node }),
    )
  } finally {
    await node[Symbol.asyncDispose]()
    await lab.stop()
  }
}

/** The same with front, broker and audit in processes of their own. */
export async function onCluster(
  options: Playing & { readonly cluster: Omit<ClusterInput, 'yaml'> },
  disturb: (stage: ClusterStage) => Promise<readonly string[]>,
): Promise<string[]> {
  const folder = await temporaryFolder()
  const lab = await startLabChild(join(folder, 'ledger.jsonl'))
  const cluster = await startCluster({ yaml: configFor(lab.url), ...options.cluster })
  try {
    let turn = 0
    const ports = cluster.fronts.map(({ url }) => Number(new URL(url).port))
    const client = {
      key: cluster.key,
      port: () => ports[turn++ % ports.length] as number,
      legacy: () => cluster.legacy(cluster.fronts.slice(0, 1), { path: '/narrow' }),
    }
    const audit = cluster.audits.at(-1)?.url as string
    const env = { ...cluster.env, HOLDFAST_URL: audit, HOLDFAST_KEY: cluster.key } as StoresEnv
    return await play({ ...options, lab, client, env: () => env, cwd: folder }, stage => disturb({ ...stage, cluster }))
  } finally {
    await cluster[Symbol.asyncDispose]()
    await lab.stop()
  }
}

/** A single node's own stores. */
export const storesOf = ({ folder }: Node): StoresEnv => ({
  HOLDFAST_DATA: join(folder, 'data'),
  DATABASE_URL: (JSON.parse(readFileSync(join(folder, 'data', 'postgres.json'), 'utf8')) as { url: string }).url,
})

type Client = { readonly key: string; readonly port: () => number; readonly legacy: () => Promise<LegacyClient> }
type Play = Playing & {
  readonly lab: LabChild
  readonly client: Client
  /** Of the stores, which may move when a node is started again. */
  readonly env: () => StoresEnv
  readonly cwd: string
}

async function play(
  { prefix, lanes = 10, patienceMs = 8_000, lab, client, env, cwd }: Play,
  disturb: (stage: Stage) => Promise<readonly string[]>,
): Promise<string[]> {
  const workload = startWorkload(castOf(client, lab, patienceMs), { prefix, lanes })
  const problems = await disturb({ workload, env, lab }).catch(error => {
    // Agents that go on would keep the process alive.
    workload.finish().catch(() => {})
    throw error
  })
  const stories = await workload.finish()
  await settled(env())
  const findings = await auditStores(env(), { ledger: lab.ledger, cwd })
  console.log(`${prefix}: ${stories.length} stories, ${lab.effects().length} effects`)
  return [...problems, ...stories.flatMap(violations), ...findings]
}

const configFor = (url: string) => `
servers:
  lab: { url: "${url}", timeout: 20s, sessions: shared, concurrency: 4 }
  quick: { url: "${url}", timeout: 1s, sessions: shared }
  narrow: { url: "${url}", timeout: 20s, sessions: shared, concurrency: 1, queue: 8 }
  keys:
    url: "${url}"
    timeout: 1s
    sessions: shared
    tools: { write: { recover: { replay: { header: Idempotency-Key } } } }
  looks:
    url: "${url}"
    timeout: 1s
    sessions: shared
    tools:
      write:
        recover:
          probe:
            tool: find
            arguments: '{"what": arguments.what}'
            landed: 'result.structuredContent.found > 0'
            consistent: true
            every: 500ms
roles: { all: { allow: ["*"], resolve: true } }
agents: { dev: { roles: [all], readHistory: true } }
`

function castOf({ key, port, legacy }: Client, ledger: Cast['ledger'], timeoutMs: number): Cast {
  const at = (server: string) => agentAt({ port, key, server, timeoutMs })
  return {
    lab: at('lab'),
    quick: at('quick'),
    narrow: at('narrow'),
    keys: at('keys'),
    looks: at('looks'),
    hasty: agentAt({ port, key, timeoutMs: 150 }),
    ledger,
    waitMs: Math.min(1_000, timeoutMs / 4),
    async cancelled(idempotencyKey, args) {
      const client = await legacy()
      const aborting = new AbortController()
      const call = client.callTool(
        { name: 'write', arguments: { what: idempotencyKey, ...args, idempotency_key: idempotencyKey } },
        undefined,
        { signal: aborting.signal, timeout: 8_000 },
      )
      setTimeout(() => aborting.abort('no longer wanted'), 300)
      await call.catch(() => {})
      // The notification is still on its way.
      await pause(500)
      await client.close()
    },
  }
}

export const pause = (ms: number) => new Promise<undefined>(resolve => setTimeout(resolve, ms, undefined))
