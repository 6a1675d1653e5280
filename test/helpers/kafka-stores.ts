import { startLocalClickhouse } from '../../infra/clickhouse/local/start.ts'
import { silent, temporaryFolder } from './clickhouse.ts'
import { type OpenStores, postgresStores } from './cluster-stores.ts'
import { ownPrefix, testKafka } from './kafka.ts'

/** Kafka and PostgreSQL; audit has the embedded engine: one process. */
export const kafkaStores: OpenStores = async () => kafkaStoresAt(await testKafka())

export async function kafkaStoresAt(brokers: readonly string[]): ReturnType<OpenStores> {
  const postgres = await postgresStores()
  const env = { KAFKA_BROKERS: brokers.join(), KAFKA_REPLICATION: '1', KAFKA_TOPIC_PREFIX: ownPrefix() }
  return { env: { ...postgres.env, ...env }, close: () => postgres.close() }
}

/** With a ClickHouse that several audit processes share; once in a test process, which can hold one engine. */
export const sharedKafkaStores: OpenStores = async () => {
  const stores = await kafkaStores()
  const folder = await temporaryFolder()
  const clickhouse = await startLocalClickhouse({ dataDir: folder.path, port: 0, log: silent })
  return {
    env: { ...stores.env, CLICKHOUSE_URL: clickhouse.url },
    async close() {
      await clickhouse.stop()
      await folder[Symbol.asyncDispose]()
      await stores.close()
    },
  }
}
