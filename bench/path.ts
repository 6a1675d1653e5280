/**
 * The whole path: 16 MCP sessions (v2 SDK clients) writing through Holdfast, against the same sessions calling the same
 * server directly. Prints the ratio and the CPU that Holdfast spends on a call; the server does nothing.
 *
 *   npm run bench:path [-- --seconds 5]
 */
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { startNode } from '../test/helpers/node.ts'
import { startLab } from '../test/helpers/upstream/lab.ts'

const { values } = parseArgs({ options: { seconds: { type: 'string', default: '5' } } })
const milliseconds = Number(values.seconds) * 1000
const sessions = 16

const lab = await startLab({ era: 'modern' })
const node = await startNode({
  yaml: `
servers: { lab: { url: ${lab.url}, concurrency: 64 } }
roles: { all: { allow: ["*"] } }
agents: { dev: { roles: [all] } }
`,
})
let next = 0
try {
  const direct = await Promise.all(Array.from({ length: sessions }, connectDirectly))
  const through = await Promise.all(Array.from({ length: sessions }, () => node.modern({ path: '/lab' })))
  await load(through, 1_000)
  const base = await load(direct, milliseconds)
  const before = cpuMsOf(node.pid)
  const own = await load(through, milliseconds)
  const cpu = (cpuMsOf(node.pid) - before) / own.calls
  console.log(
    `direct    ${base.perSecond.toFixed(0)} calls/s, p50 ${base.p50.toFixed(1)} ms, p99 ${base.p99.toFixed(1)} ms`,
  )
  console.log(
    `holdfast  ${own.perSecond.toFixed(0)} calls/s, p50 ${own.p50.toFixed(1)} ms, p99 ${own.p99.toFixed(1)} ms`,
  )
  console.log(`ratio     ${(own.perSecond / base.perSecond).toFixed(2)} with ${sessions} sessions`)
  console.log(
    `CPU       ${cpu.toFixed(2)} ms per call in Holdfast's process (front, broker, audit and the history's engine)`,
  )
} finally {
  await node[Symbol.asyncDispose]()
  await lab.stop()
}
process.exit(0)

async function connectDirectly(): Promise<Client> {
  const client = new Client({ name: 'bench', version: '1' }, { versionNegotiation: { mode: 'auto' } })
  await client.connect(new StreamableHTTPClientTransport(new URL(lab.url)))
  return client
}

async function load(clients: readonly Client[], forMs: number) {
  const times: number[] = []
  const began = performance.now()
  const session = async (client: Client) => {
    while (performance.now() - began < forMs) {
      const started = performance.now()
      const n = next++
      const answer = await client.callTool({ name: 'write', arguments: { n, idempotency_key: `path-${n}` } })
      if (answer.isError) throw new Error(JSON.stringify(answer))
      times.push(performance.now() - started)
    }
  }
  await Promise.all(clients.map(session))
  const seconds = (performance.now() - began) / 1000
  times.sort((a, b) => a - b)
  const at = (share: number) => times[Math.floor(times.length * share)] ?? 0
  return { calls: times.length, perSecond: times.length / seconds, p50: at(0.5), p99: at(0.99) }
}

/** User and system time of a process so far. Linux counts it in hundredths of a second; NaN elsewhere. */
function cpuMsOf(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return (Number(fields[11]) + Number(fields[12])) * 10
  } catch {
    return Number.NaN
  }
}
