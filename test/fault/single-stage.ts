/** A single node with agents that work, for a fault to happen to; and what must hold when it is over. */
import { join } from 'node:path'
import { type Node, type NodeOptions, startNode } from '../helpers/node.ts'
import { temporaryFolder } from '../helpers/postgres.ts'
import { startLabChild } from '../helpers/upstream/lab-child.ts'
import { agentAt } from './agent.ts'
import { auditNode, settledNode } from './audit.ts'
import { violations } from './ledger.ts'
import { type Cast, startWorkload, type Workload } from './workload.ts'

export type Stage = { readonly node: Node; readonly workload: Workload }

export type StageOptions = Pick<NodeOptions, 'program' | 'env'> & {
  readonly prefix: string
  readonly lanes?: number
  /** How long an agent waits before it drops its connection. */
  readonly patienceMs?: number
}

/**
 * @param disturb the fault; the node runs before it and after it
 * @returns violations of any promise, by what agents were told and by what the stores say
 */
export async function onStage(
  options: StageOptions,
  disturb: (stage: Stage) => Promise<readonly string[]>,
): Promise<string[]> {
  const { prefix, lanes = 10, patienceMs = 8_000, ...more } = options
  const lab = await startLabChild(join(await temporaryFolder(), 'ledger.jsonl'))
  const node = await startNode({ yaml: configFor(lab.url), ...more })
  try {
    const workload = startWorkload(castOf(node, lab, patienceMs), { prefix, lanes })
    const problems = await disturb({ node, workload })
    const stories = await workload.finish()
    await settledNode(node)
    const findings = await auditNode(node, lab.ledger)
    console.log(`${prefix}: ${stories.length} stories, ${lab.effects().length} effects`)
    return [...problems, ...stories.flatMap(violations), ...findings]
  } finally {
    await node[Symbol.asyncDispose]()
    await lab.stop()
  }
}

const configFor = (url: string) => `
servers:
  lab: { url: "${url}", timeout: 20s, sessions: shared, concurrency: 4 }
  quick: { url: "${url}", timeout: 1s, sessions: shared }
  narrow: { url: "${url}", timeout: 20s, sessions: shared, concurrency: 1, queue: 8 }
roles: { all: { allow: ["*"] } }
agents: { dev: { roles: [all], readHistory: true } }
`

function castOf(node: Node, ledger: Cast['ledger'], timeoutMs: number): Cast {
  const { key } = node.ready()
  const port = () => Number(new URL(node.ready().mcp).port)
  const at = (server: string) => agentAt({ port, key, server, timeoutMs })
  return {
    lab: at('lab'),
    quick: at('quick'),
    narrow: at('narrow'),
    hasty: agentAt({ port, key, timeoutMs: 150 }),
    ledger,
    async cancelled(idempotencyKey, args) {
      const client = await node.legacy({ path: '/narrow' })
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
