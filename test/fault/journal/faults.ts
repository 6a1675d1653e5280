/** The journal away by itself: Apache Kafka is ended, stopped and frozen under a cluster whose other stores go on. */
import { type KafkaNode, startKafka } from '../../../infra/kafka/start.ts'
import { postgresStores } from '../../helpers/cluster-stores.ts'
import { temporaryKafkaFolder } from '../../helpers/kafka.ts'
import { eventually } from '../../helpers/node.ts'
import { silent } from '../../helpers/silent.ts'
import { type Fault, type Faulted, isLong } from '../fault.ts'
import { type ClusterStage, onCluster, pause } from '../stages.ts'

const outageMs = isLong ? 40_000 : 15_000

export const journalFaults: readonly Fault[] = [
  {
    name: 'Kafka away',
    how: `killed and started at once, then stopped for ${outageMs / 1000} s, then frozen for ${outageMs / 1000} s, under load`,
    run: takeAway,
  },
]

type Outage = (kafka: KafkaNode, again: () => Promise<KafkaNode>) => Promise<KafkaNode>

const outages: Readonly<Record<string, Outage>> = {
  killed: async (kafka, again) => {
    await kafka.kill()
    return again()
  },
  stopped: async (kafka, again) => {
    await kafka.stop()
    await pause(outageMs)
    return again()
  },
  frozen: async kafka => {
    process.kill(kafka.pid, 'SIGSTOP')
    await pause(outageMs)
    process.kill(kafka.pid, 'SIGCONT')
    return kafka
  },
}

async function takeAway(): Promise<Faulted> {
  const dataDir = await temporaryKafkaFolder()
  // The same folder gives it the same port: everybody finds it again.
  const again = () => startKafka({ dataDir, log: silent })
  let kafka = await again()
  const stores = async () => {
    const postgres = await postgresStores()
    return { ...postgres, env: { ...postgres.env, KAFKA_BROKERS: kafka.brokers, KAFKA_REPLICATION: '1' } }
  }
  const cluster = { stores, fronts: 1, brokers: 2, audits: 1 }
  try {
    const violations = await onCluster({ prefix: 'journal', cluster }, async stage => {
      const problems: string[] = []
      for (const [name, outage] of Object.entries(outages)) {
        await goesOn(stage)
        kafka = await outage(kafka, again)
        const seconds = await goesOn(stage)
        if (seconds === undefined) problems.push(`${name}: it does not come back by itself`)
        console.log(`Kafka ${name}: writes land again after ${seconds} s`)
      }
      return problems
    })
    return { runs: Object.keys(outages).length, lost: 0, violations }
  } finally {
    await kafka.stop()
  }
}

/** Twenty changes more than now. @returns after how many seconds; undefined: not at all */
async function goesOn({ lab }: ClusterStage): Promise<number | undefined> {
  const began = performance.now()
  const before = lab.effects().length
  const look = async () => (lab.effects().length >= before + 20 ? true : undefined)
  return eventually(look, { withinMs: 180_000 }).then(
    () => Math.round((performance.now() - began) / 100) / 10,
    () => undefined,
  )
}
