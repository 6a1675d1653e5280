import { fileURLToPath } from 'node:url'
import { createPostgresJournal, type PostgresJournal } from '../../shared/journal/postgres/journal.ts'
import { consumerProcess } from '../helpers/consumer-process.ts'
import { silent, testPostgres } from '../helpers/postgres.ts'
import { journalContract } from './journal.ts'

const topic = 'holdfast.test'
const leaseMs = 1_500
const script = fileURLToPath(new URL('./journal-postgres-consumer.ts', import.meta.url))

journalContract('PostgreSQL', async () => {
  const database = await (await testPostgres()).database()
  const instances: PostgresJournal[] = []
  const another = async () => {
    const journal = await createPostgresJournal({
      url: database.url,
      log: silent,
      topics: [{ name: topic, partitions: 4 }],
      leaseMs,
    })
    instances.push(journal)
    return journal
  }
  const close = async () => {
    await Promise.all(instances.map(instance => instance.close()))
    await database[Symbol.asyncDispose]()
  }
  return {
    journal: await another(),
    another,
    topic,
    leaseMs,
    close,
    consumerProcess: group => consumerProcess(script, [database.url, topic, group, String(leaseMs)]),
  }
})
