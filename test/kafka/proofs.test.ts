/** Checkpoints of a cluster over Kafka: one log by two audit processes, whichever of them is killed, and proofs from it. */
import assert from 'node:assert/strict'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { Report } from '../../services/cli/verify.ts'
import { createPool, type Pool } from '../../shared/postgres/pool.ts'
import { runCli } from '../helpers/cli.ts'
import { type Cluster, startCluster } from '../helpers/cluster.ts'
import { sharedKafkaStores } from '../helpers/kafka-stores.ts'
import { eventually, outcomeOf } from '../helpers/node.ts'
import { silent } from '../helpers/silent.ts'
import { type Lab, startLab } from '../helpers/upstream/lab.ts'

let lab: Lab
let cluster: Cluster
let pool: Pool
const cwd = mkdtempSync(join(tmpdir(), 'holdfast-proofs-'))

before(async () => {
  lab = await startLab({ era: 'modern' })
  const yaml = `
servers:
  lab: { url: ${lab.url}, timeout: 20s, sessions: shared }
roles: { all: { allow: ["*"] } }
agents: { dev: { roles: [all], readHistory: true } }
`
  cluster = await startCluster({ yaml, stores: sharedKafkaStores, fronts: 1, brokers: 1, audits: 2 })
  pool = createPool({ url: cluster.env['DATABASE_URL'] as string, name: 'test', max: 2, log: silent })
})

after(async () => {
  await pool?.end()
  await cluster?.[Symbol.asyncDispose]()
  await lab?.stop()
})

async function write(key: string): Promise<string> {
  const client = await cluster.modern(cluster.fronts, { path: '/lab' })
  const answer = await client.callTool({ name: 'write', arguments: { what: key, idempotency_key: key } })
  return outcomeOf(answer).callId
}

const proof = (callId: string) =>
  eventually(
    async () => {
      const { exit, out } = await runCli(['prove', callId, '--json'], { env: cluster.env, cwd })
      return exit === 0 ? (JSON.parse(out) as { events: unknown[] }) : undefined
    },
    { withinMs: 60_000, what: 'a proof' },
  )

test('when the audit process that makes checkpoints is killed, the other goes on with the same log', async () => {
  const first = await write('before')
  assert.equal((await proof(first)).events.length, 2)
  const makers = async () =>
    (await pool.query<{ maker: string }>('select maker from checkpoints order by size')).rows.map(({ maker }) => maker)
  const [maker] = (await makers()).slice(-1)
  // Which of the two it is does not show: both are killed, and one of them is started again.
  for (const audit of cluster.audits) await audit.kill()
  cluster.audits[0]?.start()
  await cluster.audits[0]?.ready()
  const second = await write('after')
  assert.equal((await proof(second)).events.length, 2)
  assert.notEqual((await makers()).at(-1), maker)
  const report = await eventually(
    async () => {
      const { out } = await runCli(['verify', '--json'], { env: cluster.env, cwd })
      const found = JSON.parse(out) as Report
      return found.findings.length === 0 ? found : undefined
    },
    { withinMs: 60_000, what: 'a check that finds nothing' },
  )
  assert.equal(report.checked.places.length, 3)
  assert.equal((await proof(first)).events.length, 2)
})
