/**
 * Keyed writes through a whole cluster of processes over real Apache Kafka, with 1, 2 and 4 brokers in one run: 64 MCP
 * clients over two fronts, against a server that takes 20 ms. Clients, server, stores and all services share this
 * machine's cores, so the figures say what brokers add only as long as cores are left.
 *
 *   npm run bench:cluster [-- --seconds 10 --rounds 2]
 */
import { parseArgs } from 'node:util'
import { startCluster, type Cluster } from '../test/helpers/cluster.ts'
import { kafkaStores } from '../test/helpers/kafka-stores.ts'
import { type Lab, startLab } from '../test/helpers/upstream/lab.ts'

const { values } = parseArgs({
  options: { seconds: { type: 'string', default: '10' }, rounds: { type: 'string', default: '2' } },
})
const seconds = Number(values.seconds)
const callers = 64
const upstreamMs = 20

type Measured = { readonly perSecond: number; readonly p50: number; readonly p99: number }

const lab = await startLab({ era: 'modern' })
console.log(`brokers  writes/s   p50 ms   p99 ms`)
const all = new Map<number, Measured[]>()
for (let round = 0; round < Number(values.rounds); round += 1) {
  // Forth and back, so that a machine that grows slower or faster does not favour one of them.
  const order = round % 2 === 0 ? [1, 2, 4] : [4, 2, 1]
  for (const brokers of order) {
    const measured = await measure(brokers)
    all.set(brokers, [...(all.get(brokers) ?? []), measured])
    console.log(row(brokers, measured))
  }
}
const mean = (brokers: number) => {
  const runs = all.get(brokers) as Measured[]
  return runs.reduce((sum, { perSecond }) => sum + perSecond, 0) / runs.length
}
console.log(`2 brokers: ${(mean(2) / mean(1)).toFixed(2)} of one; 4 brokers: ${(mean(4) / mean(1)).toFixed(2)} of one`)
await lab.stop()
process.exit(0)

async function measure(brokers: number): Promise<Measured> {
  const cluster = await startCluster({ yaml: configFor(lab), stores: kafkaStores, fronts: 2, brokers, audits: 1 })
  try {
    await load(cluster, 2, `warm-${brokers}-${Date.now()}`)
    return await load(cluster, seconds, `run-${brokers}-${Date.now()}`)
  } finally {
    await cluster[Symbol.asyncDispose]()
  }
}

async function load(cluster: Cluster, forSeconds: number, name: string): Promise<Measured> {
  const clients = await Promise.all(
    Array.from({ length: callers }, (_, n) =>
      cluster.modern([cluster.fronts[n % cluster.fronts.length] as (typeof cluster.fronts)[number]], { path: '/lab' }),
    ),
  )
  const times: number[] = []
  const began = performance.now()
  const until = began + forSeconds * 1000
  await Promise.all(
    clients.map(async (client, n) => {
      for (let write = 0; performance.now() < until; write += 1) {
        const key = `${name}-${n}-${write}`
        const start = performance.now()
        const answer = await client.callTool({
          name: 'write',
          arguments: { what: key, delayMs: upstreamMs, idempotency_key: key },
        })
        if (answer.isError === true) throw new Error(JSON.stringify(answer))
        times.push(performance.now() - start)
      }
      await client.close()
    }),
  )
  const elapsed = (performance.now() - began) / 1000
  times.sort((a, b) => a - b)
  const at = (share: number) => times[Math.floor(times.length * share)] ?? 0
  return { perSecond: times.length / elapsed, p50: at(0.5), p99: at(0.99) }
}

function configFor({ url }: Lab): string {
  return `
servers:
  lab: { url: ${url}, sessions: shared, concurrency: 64 }
roles: { all: { allow: ["*"] } }
agents: { dev: { roles: [all], readHistory: true } }
`
}

function row(brokers: number, { perSecond, p50, p99 }: Measured): string {
  return [
    String(brokers).padStart(7),
    perSecond.toFixed(0).padStart(9),
    p50.toFixed(0).padStart(8),
    p99.toFixed(0).padStart(8),
  ].join(' ')
}
