/**
 * A real Apache Kafka for tests: `KAFKA_BROKERS` when it is set, else one node per test process, started when first
 * asked for and gone with the process. A test that stops or kills brokers starts a node of its own with `ownKafka`.
 */
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'
import { type KafkaNode, type KafkaOptions, startKafka } from '../../infra/kafka/start.ts'
import { kafkaTopics } from '../../infra/kafka/topics.ts'
import { createKafkaJournal, type KafkaJournalOptions } from '../../shared/journal/kafka/journal.ts'
import type { KafkaTopic } from '../../shared/journal/kafka/topics.ts'
import { silent } from './silent.ts'

let started: Promise<KafkaNode> | undefined

/** `host:port` of brokers that every test of this process may use, and none may stop. */
export async function testKafka(): Promise<string[]> {
  const given = process.env['KAFKA_BROKERS']
  if (given) return given.split(',')
  started ??= ownKafka()
  return [(await started).brokers]
}

after(async () => {
  if (started) await (await started).stop()
})

/** A node in a temporary folder, which goes when this process and the node are gone. */
export async function ownKafka(options: Partial<KafkaOptions> = {}): Promise<KafkaNode> {
  const dataDir = await temporaryKafkaFolder()
  return startKafka({ dataDir, log: silent, ...options })
}

export async function temporaryKafkaFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-kafka-'))
  // The shell outlives this process, and waits until nothing runs in the folder any more.
  const remover =
    'read x; i=0; while pgrep -f "$0/server.properties" && [ $i -lt 200 ]; do sleep 0.1; i=$((i+1)); done; rm -rf "$0"'
  const reaper = spawn('sh', ['-c', remover, folder], { detached: true, stdio: ['pipe', 'ignore', 'ignore'], cwd: '/' })
  reaper.unref()
  ;(reaper.stdin as unknown as { unref(): void }).unref()
  return folder
}

/** A prefix that no other test has: its topics and groups are its own. */
export const ownPrefix = (): string => `test-${randomBytes(5).toString('hex')}.`

/** A topic like those of the product. */
export const kafkaTopic = (name: string, partitions: number): KafkaTopic => ({
  ...(kafkaTopics[1] as KafkaTopic),
  name,
  partitions,
})

/** Options of a journal over `brokers`; one copy of everything, as a single node has it. */
export const journalOptions = (
  brokers: readonly string[],
  options: Partial<KafkaJournalOptions> = {},
): KafkaJournalOptions => ({
  at: { brokers, tls: undefined, sasl: undefined },
  topics: kafkaTopics,
  topicPrefix: ownPrefix(),
  replication: 1,
  compression: 'none',
  log: silent,
  leaseMs: 6_000,
  ...options,
})

export { createKafkaJournal }
