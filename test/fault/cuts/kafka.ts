/**
 * The wire to Apache Kafka, cut: a cluster of one process of each kind over a node that calls itself by the address of a
 * proxy, so that all that front, broker and audit say to it goes through there.
 */
import { join } from 'node:path'
import { after } from 'node:test'
import { startProxy } from '../../../services/cli/crash-test/proxy.ts'
import { startCluster } from '../../helpers/cluster.ts'
import { ownKafka } from '../../helpers/kafka.ts'
import { kafkaStoresAt } from '../../helpers/kafka-stores.ts'
import { eventually } from '../../helpers/node.ts'
import { temporaryFolder } from '../../helpers/postgres.ts'
import { startLab } from '../../helpers/upstream/lab.ts'
import { agentAt } from '../agent.ts'
import type { Fault } from '../fault.ts'
import { runWire, statement, type WireFault } from './faults.ts'
import { auditOf, configFor, type Stage, through } from './stage.ts'

const shared = { wire: 'kafka', bytes: { request: 1_200, answer: 80 }, step: 8, stallsAreSlow: true } as const

const kafkaWires: readonly WireFault[] = [
  {
    ...shared,
    name: 'Kafka produce of a command cut',
    how: 'the connection is cut while front appends a command',
  },
  {
    ...shared,
    name: 'Kafka produce of events cut',
    how: 'the connection is cut while the relay publishes what became of a call',
    carrying: 'call.succeeded',
  },
  {
    ...shared,
    name: 'Kafka fetches cut',
    how: 'whichever connection says something next is cut: fetches, heartbeats, commits of offsets',
    carrying: '',
  },
  {
    name: 'Kafka relay cut as it takes',
    how: 'the connection to PostgreSQL is cut while the relay takes rows out of the outbox, before Kafka has them',
    wire: 'database',
    bytes: { request: 60, answer: 400 },
    step: 8,
    carrying: statement('outbox_take'),
    stallsAreSlow: true,
  },
  {
    name: 'Kafka relay cut as it commits',
    how: 'the connection to PostgreSQL is cut around the commit that follows the acknowledgement of Kafka',
    wire: 'database',
    bytes: { request: 11, answer: 16 },
    carrying: 'commit\0',
    stallsAreSlow: true,
  },
]

export const kafkaFaults: readonly Fault[] = kafkaWires.map(fault => ({
  name: fault.name,
  how: fault.how,
  run: seed => runWire(kafkaStage, fault, seed),
}))

let opened: Promise<Stage & { close(): Promise<void> }> | undefined

const kafkaStage = (): Promise<Stage> => (opened ??= open())

after(async () => {
  await (await opened?.catch(() => undefined))?.close()
})

async function open(): Promise<Stage & { close(): Promise<void> }> {
  const closers: Array<() => Promise<unknown>> = []
  const close = async () => {
    for (let closer = closers.pop(); closer !== undefined; closer = closers.pop()) await closer().catch(() => {})
  }
  try {
    const folder = await temporaryFolder()
    const ledger = join(folder, 'ledger.jsonl')
    const lab = await startLab({ era: 'modern', ledger })
    closers.push(() => lab.stop())
    let port = 0
    const kafka = await startProxy(() => ({ host: '127.0.0.1', port }))
    closers.push(() => kafka.stop())
    const address = `127.0.0.1:${kafka.port}`
    const node = await ownKafka({ properties: { 'advertised.listeners': `PLAINTEXT://${address}` } })
    closers.push(() => node.stop())
    port = Number(node.brokers.split(':')[1])
    let databasePort = 0
    const database = await startProxy(() => ({ host: '127.0.0.1', port: databasePort }))
    closers.push(() => database.stop())
    const stores = async () => {
      const { env, ...others } = await kafkaStoresAt([address])
      const url = env['DATABASE_URL'] as string
      databasePort = Number(new URL(url).port)
      return { ...others, env: { ...env, KAFKA_COMPRESSION: 'none', DATABASE_URL: through(url, database) } }
    }
    const cluster = await startCluster({ yaml: configFor(lab.port), stores, fronts: 1, brokers: 1, audits: 1 })
    closers.push(() => cluster[Symbol.asyncDispose]())
    const front = Number(new URL(cluster.fronts[0]?.url as string).port)
    const agent = agentAt({ port: front, key: cluster.key })
    await eventually(async () => ((await agent.write('warm')).state === 'succeeded' ? true : undefined), {
      withinMs: 30_000,
    })
    const audit = auditOf(cluster, ledger, folder)
    return { lab, cluster, wires: { kafka, database }, agent, cutAgent: agent, audit, close }
  } catch (error) {
    await close()
    throw error
  }
}
