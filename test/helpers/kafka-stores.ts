import { startLocalClickhouse } from '../../infra/clickhouse/local/start.ts'
import { silent, temporaryFolder } from './clickhouse.ts'
import { type OpenStores, postgresStores } from './cluster-stores.ts'
import { ownPrefix, testKafka } from './kafka.ts'

/** What a production has: Kafka, PostgreSQL, and a ClickHouse that several audit processes share. */
export const kafkaStores: OpenStores = async () => kafkaStoresAt(await testKafka())

export async function kafkaStoresAt(brokers: readonly string[]): ReturnType<OpenStores> {
  const postgres = await postgresStores()
  const folder = await temporaryFolder()
  const clickhouse = await startLocalClickhouse({ dataDir: folder.path, port: 0, log: silent })
  return {
    env: {
      ...postgres.env,
      KAFKA_BROKERS: brokers.join(),
      KAFKA_REPLICATION: '1',
      KAFKA_TOPIC_PREFIX: ownPrefix(),
      CLICKHOUSE_URL: clickhouse.url,
    },
    async close() {
      await clickhouse.stop()
      await folder[Symbol.asyncDispose]()
      await postgres.close()
    },
  }
}
