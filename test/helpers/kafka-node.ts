/**
 * `npm run start:kafka` as a node under test: front, broker and audit, each a process, over Apache Kafka. Kafka is that of
 * the test process, under a prefix of its own; PostgreSQL and ClickHouse are the node's own.
 */
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { ownPrefix, testKafka } from './kafka.ts'
import { startNode, type StartNode } from './node.ts'

const main = fileURLToPath(new URL('../../infra/cluster/main.ts', import.meta.url))

export const startKafkaNode: StartNode = async ({ env = {}, ...options }) => {
  const kafka = { KAFKA_BROKERS: (await testKafka()).join(), KAFKA_REPLICATION: '1', KAFKA_TOPIC_PREFIX: ownPrefix() }
  const node = await startNode({
    ...options,
    program: ['--import', 'tsx', main],
    env: { HOLDFAST_BROKER_PORT: '0', ...kafka, ...env },
  })
  /** To every process at once: the services do not see one of them go before the others. */
  const signal = (name: NodeJS.Signals) => {
    for (const pid of [...servicesOf(node.pid), node.pid]) process.kill(pid, name)
  }
  return {
    ...node,
    get pid() {
      return node.pid
    },
    signal,
    async kill() {
      const ended = node.ended()
      signal('SIGKILL')
      await ended
    },
  }
}

const servicesOf = (parent: number): number[] =>
  execFileSync('ps', ['-ww', '-eo', 'pid=,ppid=,args='], { encoding: 'utf8' })
    .split('\n')
    .map(line => /^ *(\d+) +(\d+) .*services\/(?:front|broker|audit)\/main\.ts/.exec(line))
    .filter(found => Number(found?.[2]) === parent)
    .map(found => Number(found?.[1]))
